"""Shared batches: the same images, in the same order, for every arm of a replicate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bakeoff.data.splits import split_fold, split_stratified
from bakeoff.data.store import Images
from bakeoff.errors import DataError
from bakeoff.training.task import DataView

Indices = npt.NDArray[np.int64]

_ORDER_STREAM = 1_000_003
"""Keeps the order's random stream apart from the split's, the weights' and dropout's."""


def epoch_order(indices: Indices, seed: int, epoch: int) -> Indices:
    """Return `indices` shuffled: a function of (`seed`, `epoch`) alone, so a resumed epoch sees the same batches."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(indices)


def split_view(images: Images, view: DataView) -> tuple[Indices, Indices]:
    """Return the indices to train on and those held out for validation.

    These are a stratified share, drawn by the view's seed; one fold; or the source's own validation images.

    Raises:
        DataError: the source has no validation images of its own, or a class is left without images.
    """
    if view.folds is not None and view.fold is not None:
        return split_fold(images.labels, view.folds, view.fold, view.seed)
    if view.validation != "own":
        return split_stratified(images.labels, view.validation, view.seed)
    if images.own_validation is None:
        raise DataError(
            f"{view.source.label} has no validation images of its own; give validation a share, such as 0.1."
        )
    held_out = np.sort(images.own_validation)
    return np.setdiff1d(np.arange(len(images.labels)), held_out), held_out
