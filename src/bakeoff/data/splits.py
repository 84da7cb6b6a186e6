"""Stratified splits, drawn by an integer seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bakeoff.data.source import show_text
from bakeoff.errors import DataError

Indices = npt.NDArray[np.int64]

LEAST_SPLIT = 2
"""Images a class needs to be split: one a side."""

MAX_NAMED = 10

_FOLD_STREAM = 1_000_005
"""Keeps the folds' random stream apart from the split's and training's."""


def split_stratified(labels: npt.NDArray[np.integer], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split images into a training and a validation part with equal class shares.

    The validation part holds `round(len(labels) * fraction)` images. Every class gives the floor or the ceiling of its
    exact share; the classes with the largest remainders are rounded up (ties are drawn). A class that would be left
    without an image on one side gets one there, from the classes that were rounded most the other way; where these
    cannot spare any, the validation part is larger or smaller by so many. Which images of a class go is drawn without
    replacement.

    Args:
        labels: integer label of every image, shape [n].
        fraction: share of the validation part, between 0 and 1 exclusive.
        seed: non-negative; the same seed gives the same split.

    Returns:
        Indices of the training part and of the validation part, each sorted ascending. Together every image once.

    Raises:
        DataError: there are no images, or a class has only one.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"The validation fraction is {fraction:g}; it must lie between 0 and 1, as 0.1 does.")
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    _check_every_class(classes, counts)
    taken = _keep_both_sides(_share_out(counts, fraction, generator), counts, fraction)
    drawn = [
        generator.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, taken, strict=True)
    ]
    is_validation = np.zeros(len(labels), dtype=bool)
    is_validation[np.concatenate(drawn)] = True
    return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)


def split_fold(labels: npt.NDArray[np.integer], num_folds: int, fold: int, seed: int) -> tuple[Indices, Indices]:
    """Split images into `num_folds` stratified folds and hold one out.

    Every class is shuffled and dealt to the folds in turn, each class going on where the one before stopped: folds
    differ by one image at most, in all and in every class. The folds of one seed are disjoint and cover every image.

    Args:
        labels: integer label of every image, shape [n].
        num_folds: 2 or more.
        fold: which one is held out, 0 to `num_folds` - 1.
        seed: non-negative; the same seed gives the same folds.

    Returns:
        Indices of the training part and of the held-out fold, each sorted ascending.

    Raises:
        DataError: some class has fewer images than there are folds.
    """
    generator = np.random.default_rng([seed, _FOLD_STREAM])
    assigned = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < num_folds:
            raise DataError(f"{num_folds} folds leave some without an image of class {label} ({count}); choose fewer.")
        assigned[generator.permutation(np.flatnonzero(labels == label))] = (dealt + np.arange(count)) % num_folds
        dealt += int(count)
    return np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


def split_nested(
    labels: npt.NDArray[np.integer], num_folds: int, fold: int, validation: float, seed: int
) -> tuple[Indices, Indices, Indices]:
    """Hold one fold out as `split_fold` does, and split what is left into a training and a validation part.

    The held-out fold is locked: the validation part is what early stopping and selection may see.

    Args:
        labels: integer label of every image, shape [n].
        num_folds: 2 or more.
        fold: which one is held out, 0 to `num_folds` - 1.
        validation: share of the images that are left, between 0 and 1 exclusive.
        seed: non-negative; the same seed gives the same parts.

    Returns:
        Indices of the training part, the validation part and the held-out fold, each sorted ascending.

    Raises:
        DataError: some class is left without an image in one of them.
    """
    rest, held_out = split_fold(labels, num_folds, fold, seed)
    train, inner = split_stratified(labels[rest], validation, seed)
    return rest[train], rest[inner], held_out


def _share_out(counts: npt.NDArray[np.int64], fraction: float, generator: np.random.Generator) -> Indices:
    """Round every class's share down, then up for the largest remainders until the total is right."""
    exact = counts * fraction
    shares: Indices = np.floor(exact).astype(np.int64)
    num_missing = round(float(counts.sum()) * fraction) - int(shares.sum())
    # Rounded, so that equal remainders tie: 0.29 * 100 is 28.999999999999996 (remainder 1: always rounded up).
    remainders = np.round(exact - shares, 9)
    order = np.lexsort((generator.permutation(len(counts)), -remainders))
    shares[order[: max(0, num_missing)]] += 1
    return shares


def _keep_both_sides(taken: Indices, counts: Indices, fraction: float) -> Indices:
    """Leave every class an image on each side, and the total as it is where other classes can make up for it."""
    kept = np.clip(taken, 1, counts - 1)
    surplus = int(kept.sum() - taken.sum())
    step = 1 if surplus > 0 else -1
    while surplus:
        spare = (kept - step >= 1) & (kept - step <= counts - 1)
        if not spare.any():
            break
        gain = np.where(spare, step * (kept - counts * fraction), -np.inf)
        kept[int(np.argmax(np.round(gain, 9)))] -= step
        surplus -= step
    return kept


def _check_every_class(classes: Indices, counts: Indices) -> None:
    if len(classes) == 0:
        raise DataError("There are no images to split.")
    for label, count in zip(classes, counts, strict=True):
        if count < LEAST_SPLIT:
            raise DataError(f"Class {label} has one image; one must train and one must validate.")


def check_classes(
    counts: Sequence[int], class_names: Sequence[str], where: str, *, folds: int | None = None, advice: str = ""
) -> None:
    """Check that every class can have an image on each side of a split, before anything is trained.

    Args:
        counts: training images of every class, those kept for validation included.
        class_names: theirs.
        where: what messages call the images.
        folds: the number of folds, where images are dealt to folds.
        advice: one more remedy, where there is one.

    Raises:
        DataError: a class is too small; names it, and what to do.
    """
    # Outside a held-out fold two images of a class must be left; of two folds the other one has half of them.
    least = LEAST_SPLIT if folds is None else max(folds, 2 * LEAST_SPLIT if folds == 2 else 0)
    small = [(count, name) for count, name in zip(counts, class_names, strict=True) if count < least]
    if not small:
        return
    named = ", ".join(f"'{show_text(name)}' ({count:,})" for count, name in small[:MAX_NAMED])
    more = f" and {len(small) - MAX_NAMED:,} more" if len(small) > MAX_NAMED else ""
    reason = "two training images of every class are needed, one to train and one to validate"
    fewer = ""
    if folds:
        reason = f"{folds} folds need {least} training images of every class"
        fewer = f"take {min(small)[0]} folds, " if min(small)[0] > LEAST_SPLIT else ""
    remedy = f"Add images, {fewer}{advice}or leave such classes out with classes"
    raise DataError(f"{where}: too few images of {named}{more}: {reason}. {remedy}.")
