"""The implementations that need torch, imported by workers when a study uses them.

Shape legend: N images, H and W pixels, C channels or classes, D draws.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bakeoff.engine.augment.geometry import scale_to_unit
from example_plugin.augmentation import Shade
from example_plugin.loss import Brier
from example_plugin.mix import Stack

Numbers = npt.NDArray[np.float64]


class SignSGD(torch.optim.Optimizer):
    """Every weight moves by the learning rate, against its gradient's sign. The names are those of the settings."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * parameter.grad.sign())


def score_brier(settings: Brier, log_probabilities_NC: Tensor, labels_N: Tensor) -> Tensor:
    """Return each image's loss."""
    right_NC = F.one_hot(labels_N, log_probabilities_NC.shape[1])
    return (log_probabilities_NC.exp() - right_NC).square().sum(1)


def shade(settings: Shade, images_NHWC: Tensor, draws_ND: Numbers) -> Tensor:
    """Return darkened images; the draws are uniform, 0 to 1, `num_draws` for each image."""
    images = scale_to_unit(images_NHWC)
    factors_N = settings.darkest + (1 - settings.darkest) * draws_ND[:, 0]
    return images * torch.from_numpy(factors_N).to(images).view(-1, 1, 1, 1)


def stack(
    settings: Stack, images_NCHW: Tensor, partners_NCHW: Tensor, share_N: Numbers, draws_ND: Numbers
) -> tuple[Tensor, Numbers]:
    """Return mixed images, and the fraction of each that is still its own.

    Args:
        settings: as in the study file.
        images_NCHW: not changed.
        partners_NCHW: the image that each is mixed with.
        share_N: the fraction of each image that shall stay; 1 where it is not mixed.
        draws_ND: two further draws per image, uniform, 0 to 1.
    """
    height = images_NCHW.shape[2]
    num_kept_N = np.rint(share_N * height)
    is_kept_NH = torch.from_numpy(np.arange(height) < num_kept_N[:, None]).to(images_NCHW.device)
    return torch.where(is_kept_NH[:, None, :, None], images_NCHW, partners_NCHW), num_kept_N / height
