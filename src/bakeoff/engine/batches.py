"""Shared batches: the same images in the same order for every arm of a replicate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bakeoff.data.splits import split_fold, split_nested, split_stratified
from bakeoff.data.store import Images
from bakeoff.errors import NoValidationImagesError
from bakeoff.messages import DataView

Indices = npt.NDArray[np.int64]

_ORDER_STREAM = 1_000_003
"""Separates the order's random stream from those of the split, the weights and dropout."""


def epoch_order(indices: Indices, seed: int, epoch: int) -> Indices:
    """Return `indices` shuffled: a function of (`seed`, `epoch`) alone, so a resumed epoch sees the same batches."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(indices)


def split_view(images: Images, view: DataView) -> tuple[Indices, Indices]:
    """Return the indices of the training and validation images.

    The latter are a stratified fraction, drawn by the view's seed, or the source's own validation images. With folds
    the fraction is of the images outside the held-out fold, which is in neither part: only `held_out` returns it.
    Without validation both parts are all images.

    Raises:
        DataError: the source has no own validation images, or a class is left without images.
    """
    if view.validation == "none":
        return np.arange(len(images.labels)), np.arange(len(images.labels))
    if view.folds is not None and view.fold is not None and view.validation != "own":
        return split_nested(images.labels, view.folds, view.fold, view.validation, view.seed, images.groups)[:2]
    if view.validation != "own":
        return split_stratified(images.labels, view.validation, view.seed, images.groups)
    if images.own_validation is None:
        raise NoValidationImagesError(
            f"{view.source.label} has no validation images of its own; set validation to a fraction, such as 0.1."
        )
    held_out = np.sort(images.own_validation)
    return np.setdiff1d(np.arange(len(images.labels)), held_out), held_out


def held_out(images: Images, view: DataView) -> Indices | None:
    """Return the indices of a view's held-out fold; None without folds. For the final test only.

    Raises:
        DataError: a class has fewer images than there are folds.
    """
    if view.folds is None or view.fold is None:
        return None
    return split_fold(images.labels, view.folds, view.fold, view.seed, images.groups)[1]


def leave_out_fold(images: Images, view: DataView) -> Images:
    """Return the images outside a view's held-out fold; all images without folds.

    Statistics of training images (mean and sd, whitening) are computed from these.
    """
    locked = held_out(images, view)
    if locked is None:
        return images
    kept = np.setdiff1d(np.arange(len(images.labels)), locked)
    return replace(
        images,
        pixels=images.pixels[kept],
        labels=images.labels[kept],
        fingerprint=f"{images.fingerprint} without fold {view.fold} of {view.folds}, seed {view.seed}",
        own_validation=None,
        groups=None,
        files=None,
    )
