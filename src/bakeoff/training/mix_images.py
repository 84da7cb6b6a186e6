"""Mixup and cutmix of one batch: every image with the next one, by shares of its own.

Shape legend: N images, C channels, H and W pixels, D draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.registry import bind
from bakeoff.training.augmentation.draws import uniform
from bakeoff.training.mixing import MIXES, AnyMix

_MIX_STREAM = 1_000_007
"""Keeps the draws of mixing apart from all else that is drawn from the replicate's seed."""

_Numbers = npt.NDArray[np.float64]

Blend = Callable[[Tensor, Tensor, _Numbers, _Numbers], tuple[Tensor, _Numbers]]


@dataclass(frozen=True)
class Mixed:
    """What a batch was mixed with.

    Attributes:
        partner_labels_N: the label of the other image in each, int64; (K, N) where members see other images.
        share_N: how much of each is its own image, float32 from 0 to 1; (N,), or (K, N) where members differ.
    """

    partner_labels_N: Tensor
    share_N: Tensor


def mix(
    images_NCHW: Tensor,
    labels_N: Tensor,
    choice: AnyMix,
    seed: int,
    epoch: int,
    image_numbers_N: npt.NDArray[np.int64],
) -> tuple[Tensor, Mixed]:
    """Mix every image with the next of the batch, the last with the first.

    What is drawn for an image is a function of (seed, epoch, its number); whom it is mixed with, of the batch's order.

    Args:
        images_NCHW: floating, as the network is to see them; left as they are.
        labels_N: int64.
        choice: how to mix.
        seed: the replicate's.
        epoch: counted from 1.
        image_numbers_N: the images' positions in their data set.

    Returns:
        New images, channels-last; the partners' labels and the images' shares. Cutmix's share is the area that is kept
        exactly, after the box was cut off at the image's border.

    Source: Zhang et al. (2018), mixup; Yun et al. (2019), CutMix. Both draw one share per batch, we one per image.
    """
    draws_ND = uniform(seed, epoch, image_numbers_N, "mix", 0, 4, stream=_MIX_STREAM)
    share_N = np.where(draws_ND[:, 0] < choice.probability, draw_shares(choice.alpha, draws_ND[:, 1]), 1.0)
    partners_NCHW, partner_labels_N = images_NCHW.roll(-1, 0), labels_N.roll(-1, 0)
    blend_images: Blend = bind(MIXES.find(choice.name).blend)
    mixed, share_N = blend_images(images_NCHW, partners_NCHW, share_N, draws_ND[:, 2:])
    shares = torch.from_numpy(share_N.astype(np.float32)).to(images_NCHW.device)
    return mixed.contiguous(memory_format=torch.channels_last), Mixed(partner_labels_N, shares)


def blend(images_NCHW: Tensor, partners_NCHW: Tensor, share_N: _Numbers, draws_ND: _Numbers) -> tuple[Tensor, _Numbers]:
    """Return the means of images and partners, weighted by the shares: mixup."""
    weights = torch.from_numpy(share_N).to(images_NCHW)
    return torch.lerp(partners_NCHW, images_NCHW, weights.view(-1, 1, 1, 1)), share_N


def paste(images_NCHW: Tensor, partners_NCHW: Tensor, share_N: _Numbers, draws_ND: _Numbers) -> tuple[Tensor, _Numbers]:
    """Return images with a box of their partners, and the shares of their area that are left free: cutmix."""
    pasted_NHW = place_boxes(share_N, draws_ND[:, 0], draws_ND[:, 1], *images_NCHW.shape[2:])
    chosen = torch.from_numpy(pasted_NHW).to(images_NCHW.device).unsqueeze(1)
    return torch.where(chosen, partners_NCHW, images_NCHW), 1 - pasted_NHW.mean(axis=(1, 2))


def draw_shares(alpha: float, uniform_N: _Numbers) -> _Numbers:
    """Return the quantiles of Beta(alpha, alpha) at `uniform_N`: shares from 0 to 1, one draw each."""
    from scipy.special import betaincinv  # only those who mix wait for SciPy

    shares_N: _Numbers = betaincinv(alpha, alpha, uniform_N)
    return shares_N


def place_boxes(
    share_N: _Numbers, vertical_N: _Numbers, horizontal_N: _Numbers, height: int, width: int
) -> npt.NDArray[np.bool_]:
    """Return which pixels of each image a box covers, shape (N, H, W).

    Args:
        share_N: share of the image to leave free, before the box is cut off at the border.
        vertical_N: where the box's centre is, from 0 to 1 of the height.
        horizontal_N: the same of the width.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    side_N = np.sqrt(1 - share_N)
    rows_NH = _cover(side_N, vertical_N, height)
    columns_NW = _cover(side_N, horizontal_N, width)
    return rows_NH[:, :, None] & columns_NW[:, None, :]


def _cover(side_N: _Numbers, centre_N: _Numbers, length: int) -> npt.NDArray[np.bool_]:
    """Return which of `length` positions lie within half a side of the centre, in whole pixels as published."""
    half_N = (np.floor(side_N * length) // 2)[:, None]
    middle_N = np.floor(centre_N * length)[:, None]
    positions = np.arange(length)
    covered: npt.NDArray[np.bool_] = (positions >= middle_N - half_N) & (positions < middle_N + half_N)
    return covered
