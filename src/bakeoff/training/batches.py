"""Shared batches: the same images, in the same order, for every arm of a replicate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_ORDER_STREAM = 1_000_003
"""Keeps the order's random stream apart from the split's, the weights' and dropout's."""


def epoch_order(indices: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return `indices` shuffled: a function of (`seed`, `epoch`) alone, so a resumed epoch sees the same batches."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(indices)


def iterate_batches(
    pixels_NHWC: npt.NDArray[np.uint8],
    labels_N: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    batch_size: int,
    dtype: torch.dtype,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (images_NCHW, labels_N) for consecutive slices of `order`; the last may be smaller.

    Images are scaled to [0, 1] in `dtype`, channels-last in memory: the memory map lies that way, so nothing
    is transposed.
    """
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        images_NHWC = torch.from_numpy(pixels_NHWC[chosen])
        images = images_NHWC.permute(0, 3, 1, 2).float().mul_(1 / 255).to(dtype)
        yield images, torch.from_numpy(labels_N[chosen])
