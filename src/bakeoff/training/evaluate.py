"""Fused predictions: K members on the same images, nothing learned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from bakeoff.training.assembly import Network
from bakeoff.training.inputs import Inputs

EVALUATION_BATCH = 128
"""Images per forward pass. A constant: it must not depend on the cohort, or rounding would."""


@torch.no_grad()
def predict(network: Network, inputs: Inputs, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return class probabilities (K, len(indices), L), float32, of the images at `indices` for every member."""
    weights = network.cast()
    parts = [torch.softmax(network(images, weights), dim=2) for images in inputs.evaluate(indices, EVALUATION_BATCH)]
    return torch.cat(parts, dim=1).numpy()
