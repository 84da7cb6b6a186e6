"""Stratified splits, drawn by an integer seed. Groups of images stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bakeoff.data.group_draws import deal_groups, draw_groups
from bakeoff.data.source import show_text
from bakeoff.errors import DataOptionError, TooFewImagesError

Indices = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int64] | None
"""The number of every image's group, [n]; None if every image stands alone."""

LEAST_SPLIT = 2
"""Images a class needs to be split: one on each side."""

MAX_NAMED = 10

_FOLD_STREAM = 1_000_005
"""Separates the random stream of folds from those of splits and training."""


def split_stratified(
    labels: npt.NDArray[np.integer], fraction: float, seed: int, groups: Groups = None
) -> tuple[Indices, Indices]:
    """Split images into a stratified training and validation part.

    The validation part has `round(len(labels) * fraction)` images. Every class contributes the floor or the ceiling
    of its exact share; the classes with the largest remainders are rounded up (ties are broken at random). A class
    that would have no image on one side gets one, taken from the classes that were rounded most the other way; if these
    cannot spare any, the validation part is larger or smaller by that number. Images of a class are drawn without
    replacement. With groups, whole groups are drawn, and these counts are met as nearly as they allow; see
    `draw_groups`.

    Args:
        labels: integer label of every image, shape [n].
        fraction: fraction of images in the validation part, between 0 and 1 exclusive.
        seed: non-negative; the same seed gives the same split.
        groups: images that stay together.

    Returns:
        Indices of the training part and of the validation part, each sorted ascending. Together they cover all images.

    Raises:
        DataError: there are no images, or a class has only one, or one group.
    """
    if not 0.0 < fraction < 1.0:
        raise DataOptionError(f"The validation fraction is {fraction:g}; it must be between 0 and 1, such as 0.1.")
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    _check_every_class(classes, counts)
    taken = _keep_both_sides(_apportion(counts, fraction, generator), counts, fraction)
    walks = [generator.permutation(np.flatnonzero(labels == label)) for label in classes]
    if groups is None:
        is_validation = np.zeros(len(labels), dtype=bool)
        is_validation[np.concatenate([walk[:count] for walk, count in zip(walks, taken, strict=True)])] = True
    else:
        is_validation = draw_groups(np.searchsorted(classes, labels), groups, walks, taken.tolist(), classes)
    return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)


def split_fold(
    labels: npt.NDArray[np.integer], num_folds: int, fold: int, seed: int, groups: Groups = None
) -> tuple[Indices, Indices]:
    """Split images into `num_folds` stratified folds and hold one out.

    Every class is shuffled and dealt to the folds in turn, starting where the previous class stopped: fold sizes
    differ by at most one image, in total and per class. The folds of one seed are disjoint and cover every image. With
    groups, whole groups are dealt, each to the fold with the fewest images of its class; see `deal_groups`.

    Args:
        labels: integer label of every image, shape [n].
        num_folds: 2 or more.
        fold: the held-out fold, 0 to `num_folds` - 1.
        seed: non-negative; the same seed gives the same folds.
        groups: images that stay together.

    Returns:
        Indices of the training part and of the held-out fold, each sorted ascending.

    Raises:
        DataError: some class has fewer images, or groups, than there are folds.
    """
    generator = np.random.default_rng([seed, _FOLD_STREAM])
    classes, counts = np.unique(labels, return_counts=True)
    for label, count in zip(classes, counts, strict=True):
        if count < num_folds:
            raise TooFewImagesError(
                f"class {label} has too few images ({count}) for {num_folds} folds; use fewer folds."
            )
    walks = [generator.permutation(np.flatnonzero(labels == label)) for label in classes]
    if groups is None:
        assigned = np.empty(len(labels), dtype=np.int64)
        assigned[np.concatenate(walks)] = np.arange(len(labels)) % num_folds
    else:
        assigned = deal_groups(np.searchsorted(classes, labels), groups, walks, num_folds, classes)
    return np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


def split_nested(
    labels: npt.NDArray[np.integer], num_folds: int, fold: int, validation: float, seed: int, groups: Groups = None
) -> tuple[Indices, Indices, Indices]:
    """Hold one fold out as `split_fold` does, and split the rest into a training and a validation part.

    The held-out fold is locked: early stopping and selection use the validation part.

    Args:
        labels: integer label of every image, shape [n].
        num_folds: 2 or more.
        fold: the held-out fold, 0 to `num_folds` - 1.
        validation: fraction of the remaining images, between 0 and 1 exclusive.
        seed: non-negative; the same seed gives the same parts.
        groups: images that stay together.

    Returns:
        Indices of the training part, the validation part and the held-out fold, each sorted ascending.

    Raises:
        DataError: a class would have no image in one of them.
    """
    rest, held_out = split_fold(labels, num_folds, fold, seed, groups)
    train, inner = split_stratified(labels[rest], validation, seed, None if groups is None else groups[rest])
    return rest[train], rest[inner], held_out


def _apportion(counts: npt.NDArray[np.int64], fraction: float, generator: np.random.Generator) -> Indices:
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
    """Give every class an image on each side, keeping the total if other classes can compensate."""
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
        raise TooFewImagesError("There are no images to split.")
    for label, count in zip(classes, counts, strict=True):
        if count < LEAST_SPLIT:
            raise TooFewImagesError(f"Class {label} has one image; one must train and one must validate.")


def check_classes(
    counts: Sequence[int],
    class_names: Sequence[str],
    where: str,
    *,
    folds: int | None = None,
    advice: str = "",
    of: str = "images",
) -> None:
    """Check before training that every class can have an image on each side of a split.

    Args:
        counts: training images of every class, including those reserved for validation.
        class_names: the names of these classes.
        where: name of the images in messages.
        folds: the number of folds, or None.
        advice: an additional remedy, if any.
        of: what is counted: images, or groups of images.

    Raises:
        DataError: a class is too small; names it and the remedy.
    """
    # Two images of a class must remain outside a held-out fold; with two folds the other one has half of them.
    least = LEAST_SPLIT if folds is None else max(folds, 2 * LEAST_SPLIT if folds == 2 else 0)
    small = [(count, name) for count, name in zip(counts, class_names, strict=True) if count < least]
    if not small:
        return
    named = ", ".join(f"'{show_text(name)}' ({count:,})" for count, name in small[:MAX_NAMED])
    more = f" and {len(small) - MAX_NAMED:,} more" if len(small) > MAX_NAMED else ""
    reason = f"two training {of} of every class are needed, one to train and one to validate"
    fewer = ""
    if folds:
        reason = f"{folds} folds need {least} training {of} of every class"
        fewer = f"take {min(small)[0]} folds, " if min(small)[0] > LEAST_SPLIT else ""
    remedy = f"Add {of}, {fewer}{advice}or leave such classes out with classes"
    raise TooFewImagesError(f"{where}: too few {of} of {named}{more}: {reason}. {remedy}.")
