"""Fused predictions: K members on the same images, nothing learned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from bakeoff.networks.build import FusedNetwork
from bakeoff.training.batches import iterate_batches

EVALUATION_BATCH = 128
"""Images per forward pass. A constant: it must not depend on the cohort, or rounding would."""


@torch.no_grad()
def predict(
    network: FusedNetwork,
    pixels_NHWC: npt.NDArray[np.uint8],
    labels_N: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return class probabilities (K, len(indices), L), float32, of the images at `indices` for every member."""
    weights = network.cast()
    parts = [
        torch.softmax(network(images, weights), dim=2)
        for images, _ in iterate_batches(pixels_NHWC, labels_N, indices, EVALUATION_BATCH, network.dtype)
    ]
    return torch.cat(parts, dim=1).numpy()
