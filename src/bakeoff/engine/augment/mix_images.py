"""Mixup and cutmix of one batch: every image is mixed with the next one, with its own weight.

Shape legend: N images, C channels, H and W pixels, D draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.mixing import MIXES, AnyMix
from bakeoff.engine.augment.draws import uniform
from bakeoff.registry import bind

_MIX_STREAM = 1_000_007
"""Separates the random stream of mixing from others derived from the replicate's seed."""

_Numbers = npt.NDArray[np.float64]

Blend = Callable[[AnyMix, Tensor, Tensor, _Numbers, _Numbers], tuple[Tensor, _Numbers]]


@dataclass(frozen=True)
class Mixed:
    """How a batch was mixed.

    Attributes:
        partner_labels_N: label of the image mixed into each, int64; (K, N) if members have different images.
        share_N: weight of each image itself, float32 from 0 to 1; (N,), or (K, N) if members differ.
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

    An image's draws are a function of (seed, epoch, index); its partner depends on the order of the batch.

    Args:
        images_NCHW: floating-point network input; not changed.
        labels_N: int64.
        choice: how to mix.
        seed: the replicate's.
        epoch: counted from 1.
        image_numbers_N: the images' indices in their dataset.

    Returns:
        New images, channels-last; the partners' labels and the images' weights. For cutmix the weight is exactly the
        area that is kept, after the box was clipped at the image's border.

    Source: Zhang et al. (2018), mixup; Yun et al. (2019), CutMix. Both draw one weight per batch, we one per image.
    """
    draws_ND = uniform(seed, epoch, image_numbers_N, "mix", 0, 4, stream=_MIX_STREAM)
    share_N = np.where(draws_ND[:, 0] < choice.probability, draw_shares(choice.alpha, draws_ND[:, 1]), 1.0)
    partners_NCHW, partner_labels_N = images_NCHW.roll(-1, 0), labels_N.roll(-1, 0)
    blend_images: Blend = bind(MIXES.find(choice.name).blend)
    mixed, share_N = blend_images(choice, images_NCHW, partners_NCHW, share_N, draws_ND[:, 2:])
    shares = torch.from_numpy(share_N.astype(np.float32)).to(images_NCHW.device)
    return mixed.contiguous(memory_format=torch.channels_last), Mixed(partner_labels_N, shares)


def blend(
    settings: AnyMix, images_NCHW: Tensor, partners_NCHW: Tensor, share_N: _Numbers, draws_ND: _Numbers
) -> tuple[Tensor, _Numbers]:
    """Return weighted means of images and partners, and the weights: mixup."""
    weights = torch.from_numpy(share_N).to(images_NCHW)
    return torch.lerp(partners_NCHW, images_NCHW, weights.view(-1, 1, 1, 1)), share_N


def paste(
    settings: AnyMix, images_NCHW: Tensor, partners_NCHW: Tensor, share_N: _Numbers, draws_ND: _Numbers
) -> tuple[Tensor, _Numbers]:
    """Return images with a box from their partners, and the fractions of their area outside it: cutmix."""
    pasted_NHW = place_boxes(share_N, draws_ND[:, 0], draws_ND[:, 1], *images_NCHW.shape[2:])
    chosen = torch.from_numpy(pasted_NHW).to(images_NCHW.device).unsqueeze(1)
    return torch.where(chosen, partners_NCHW, images_NCHW), 1 - pasted_NHW.mean(axis=(1, 2))


def draw_shares(alpha: float, uniform_N: _Numbers) -> _Numbers:
    """Return the quantiles of Beta(alpha, alpha) at `uniform_N`: weights from 0 to 1, one draw each."""
    from scipy.special import betaincinv  # imported late: only mixing needs SciPy

    shares_N: _Numbers = betaincinv(alpha, alpha, uniform_N)
    return shares_N


def place_boxes(
    share_N: _Numbers, vertical_N: _Numbers, horizontal_N: _Numbers, height: int, width: int
) -> npt.NDArray[np.bool_]:
    """Return which pixels of each image a box covers, shape (N, H, W).

    Args:
        share_N: fraction of the image outside the box, before the box is clipped at the border.
        vertical_N: the box's centre, from 0 to 1 of the height.
        horizontal_N: the same for the width.
        height: height of the images in pixels.
        width: width of the images in pixels.
    """
    side_N = np.sqrt(1 - share_N)
    rows_NH = _cover(side_N, vertical_N, height)
    columns_NW = _cover(side_N, horizontal_N, width)
    return rows_NH[:, :, None] & columns_NW[:, None, :]


def _cover(side_N: _Numbers, centre_N: _Numbers, length: int) -> npt.NDArray[np.bool_]:
    """Return which of `length` positions are within half a side of the centre, in whole pixels as published."""
    half_N = (np.floor(side_N * length) // 2)[:, None]
    middle_N = np.floor(centre_N * length)[:, None]
    positions = np.arange(length)
    covered: npt.NDArray[np.bool_] = (positions >= middle_N - half_N) & (positions < middle_N + half_N)
    return covered
