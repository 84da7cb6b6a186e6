"""Stratified splits, drawn by an integer seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bakeoff.errors import DataError

Indices = npt.NDArray[np.int64]

_FOLD_STREAM = 1_000_005
"""Keeps the folds' random stream apart from the split's and training's."""


def split_stratified(labels: npt.NDArray[np.integer], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split images into a training and a validation part with equal class shares.

    The validation part holds `round(len(labels) * fraction)` images. Every class gives the floor or the ceiling of its
    exact share; the classes with the largest remainders are rounded up (ties are drawn). Which images of a class go is
    drawn without replacement.

    Args:
        labels: integer label of every image, shape [n].
        fraction: share of the validation part, between 0 and 1 exclusive.
        seed: non-negative; the same seed gives the same split.

    Returns:
        Indices of the training part and of the validation part, each sorted ascending. Together every image once.

    Raises:
        DataError: the fraction leaves some class without a training or without a validation image.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"The validation fraction is {fraction:g}; it must lie between 0 and 1, as 0.1 does.")
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    taken = _share_out(counts, fraction, generator)
    _check_every_class(classes, counts, taken, fraction)
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


def _check_every_class(classes: Indices, counts: Indices, taken: Indices, fraction: float) -> None:
    if len(classes) == 0:
        raise DataError("There are no images to split.")
    for label, count, num_taken in zip(classes, counts, taken, strict=True):
        if 0 < num_taken < count:
            continue
        part, change = ("validation", "larger") if num_taken == 0 else ("training", "smaller")
        raise DataError(
            f"A validation fraction of {fraction:g} leaves class {label} ({count} images) without a {part} image; "
            f"choose a {change} fraction."
        )
