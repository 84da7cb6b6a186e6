"""Fused predictions of K members on the same images, without training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.numeric_modes import EVALUATION_BATCH
from bakeoff.engine.inputs import Inputs
from bakeoff.engine.parts import Network


def predict(network: Network, inputs: Inputs, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return class probabilities (K, len(indices), L), float32, of the images at `indices` for every member."""
    return predict_batches(network, inputs.evaluate(indices, EVALUATION_BATCH), inputs.mirrored)


@torch.no_grad()
def predict_batches(network: Network, batches: Iterable[Tensor], mirrored: Sequence[bool]) -> npt.NDArray[np.float32]:
    """Return class probabilities (K, N, L), float32, of batched images, for every member.

    With `mirrored`, a member's logits are averaged over an image and its mirror image.
    """
    weights = network.cast()

    def judge(images: Tensor) -> Tensor:
        logits_KNL = network(images, weights)
        if any(mirrored):
            both_KNL = (logits_KNL + network(images.flip(-1), weights)) / 2
            chosen_K11 = torch.tensor(mirrored, device=logits_KNL.device)[:, None, None]
            logits_KNL = torch.where(chosen_K11, both_KNL, logits_KNL)
        return torch.softmax(logits_KNL, dim=2)

    parts = [judge(images) for images in batches]
    probabilities_KNL: npt.NDArray[np.float32] = torch.cat(parts, dim=1).cpu().numpy()
    return probabilities_KNL
