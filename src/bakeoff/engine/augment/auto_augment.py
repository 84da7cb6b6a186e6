"""TrivialAugment and RandAugment: of a list of operations one (or several) per image, at a strength of its own.

Images are changed in 8 bits as in torchvision, whose operations these are, for a whole batch: one pass per kind of
operation. Images that are float32 are rounded to 8 bits first.

Shape legend: N images, H rows, W columns, C channels, D draws, B bins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.augmentation.steps import RandAugment, TrivialAugment
from bakeoff.engine.augment.geometry import Draws, to_column, warp
from bakeoff.engine.augment.intensity import weigh_channels

Numbers = npt.NDArray[np.float64]

_GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = (
    "identity",
    *_GEOMETRIC,
    *("brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
"""In torchvision's order. From `brightness` to `sharpness` a strength is a factor, less 1."""

_SIGNED = frozenset((*_GEOMETRIC, "brightness", "color", "contrast", "sharpness"))


@dataclass(frozen=True)
class _Most:
    """The largest strength of each kind of operation: of translations in pixels, of bits those that are lost."""

    shear: float
    translate_x: float
    translate_y: float
    degrees: float
    factor: float
    bits: int


def list_strengths(most: _Most, num_bins: int) -> dict[str, Numbers]:
    """Return the strength of each operation that has one, by bin: [B]."""

    def line(first: float, last: float) -> Numbers:
        return torch.linspace(first, last, num_bins).double().numpy()  # rounded to float32 as in torchvision

    bits = (8 - torch.arange(num_bins) / ((num_bins - 1) / most.bits)).round().double().numpy()
    factors = line(0, most.factor)
    return {
        **dict.fromkeys(("shear_x", "shear_y"), line(0, most.shear)),
        "translate_x": line(0, most.translate_x),
        "translate_y": line(0, most.translate_y),
        "rotate": line(0, most.degrees),
        **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), factors),
        "posterize": bits,
        "solarize": line(1, 0),
    }


def trivial_augment(choice: TrivialAugment, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Change each image by one operation at any strength. Draws: the operation, the strength, the sign.

    Source: torchvision's `TrivialAugmentWide`.
    """
    most = _Most(shear=0.99, translate_x=32, translate_y=32, degrees=135, factor=0.99, bits=6)
    strengths = list_strengths(most, choice.num_magnitude_bins)
    bins_N = np.floor(draws_ND[:, 1] * choice.num_magnitude_bins).astype(np.int64)
    return _apply(_round_to_bytes(images_NHWC), draws_ND[:, 0], strengths, bins_N, draws_ND[:, 2], choice.interpolation)


def rand_augment(choice: RandAugment, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Change each image by several operations of one strength. Draws: the operation and the sign of each.

    Source: torchvision's `RandAugment`.
    """
    height, width = images_NHWC.shape[1:3]
    share = 150 / 331
    most = _Most(shear=0.3, translate_x=share * width, translate_y=share * height, degrees=30, factor=0.9, bits=4)
    strengths = list_strengths(most, choice.num_magnitude_bins)
    bins_N = np.full(len(draws_ND), choice.magnitude)
    images_NHWC = _round_to_bytes(images_NHWC)
    for number in range(choice.num_ops):
        which_N, sign_N = draws_ND[:, 2 * number], draws_ND[:, 2 * number + 1]
        images_NHWC = _apply(images_NHWC, which_N, strengths, bins_N, sign_N, choice.interpolation)
    return images_NHWC


def choose(which_N: Numbers) -> npt.NDArray[np.int64]:
    """Return the position in OPERATIONS that each number from 0 to 1 stands for."""
    return np.floor(which_N * len(OPERATIONS)).astype(np.int64)


def _apply(
    images_NHWC: Tensor,
    which_N: Numbers,
    strengths: Mapping[str, Numbers],
    bins_N: npt.NDArray[np.int64],
    sign_N: Numbers,
    interpolation: str,
) -> Tensor:
    """Apply one operation to each image; returns new images."""
    chosen_N, signs_N = choose(which_N), np.where(sign_N < 0.5, -1.0, 1.0)
    result = images_NHWC.clone()
    inverses, moved = [], []
    for number in np.unique(chosen_N):
        name = OPERATIONS[number]
        if name == "identity":
            continue
        positions = np.flatnonzero(chosen_N == number)
        values_N = strengths[name][bins_N[positions]] if name in strengths else np.zeros(len(positions))
        if name in _SIGNED:
            values_N = values_N * signs_N[positions]
        if name in _GEOMETRIC:
            moved.append(positions)
            inverses.append(_invert(name, values_N, images_NHWC.shape[1], images_NHWC.shape[2]))
            continue
        index = torch.from_numpy(positions).to(images_NHWC.device)
        result.index_copy_(0, index, _CHANGES[name](images_NHWC[index], values_N))
    if moved:
        index = torch.from_numpy(np.concatenate(moved)).to(images_NHWC.device)
        warped = warp(images_NHWC[index], np.concatenate(inverses), interpolation, "zero")
        result.index_copy_(0, index, _round_to_bytes(warped))
    return result


def _round_to_bytes(images_NHWC: Tensor) -> Tensor:
    if images_NHWC.dtype == torch.uint8:
        return images_NHWC
    return images_NHWC.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _invert(name: str, values_N: Numbers, height: int, width: int) -> Numbers:
    """Return each image's map from output to input pixels, as `geometry.invert_affine` does.

    Shears keep the top row (or left column) in place; translations are by whole pixels.
    """
    ones, zeros = np.ones_like(values_N), np.zeros_like(values_N)
    if name == "shear_x":
        rows = (ones, values_N, values_N * height / 2, zeros, ones, zeros)
    elif name == "shear_y":
        rows = (ones, zeros, zeros, values_N, ones, values_N * width / 2)
    elif name == "translate_x":
        rows = (ones, zeros, -np.trunc(values_N), zeros, ones, zeros)
    elif name == "translate_y":
        rows = (ones, zeros, zeros, zeros, ones, -np.trunc(values_N))
    else:
        turns_N = np.deg2rad(values_N)
        rows = (np.cos(turns_N), -np.sin(turns_N), zeros, np.sin(turns_N), np.cos(turns_N), zeros)
    return np.stack(rows, axis=1)


def _blend(images_NHWC: Tensor, others: Tensor | float, values_N: Numbers) -> Tensor:
    """Interpolate, or extrapolate, from others (strength -1) to images (strength 0), in 8 bits, cut off."""
    factors_N = 1 + values_N
    mixed = images_NHWC.float() * to_column(factors_N, images_NHWC) + others * to_column(1 - factors_N, images_NHWC)
    return mixed.clamp_(0, 255).to(torch.uint8)


def _brighten(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    return _blend(images_NHWC, 0.0, values_N)


def _color(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    if images_NHWC.shape[3] == 1:
        return images_NHWC
    return _blend(images_NHWC, weigh_channels(images_NHWC.float()).floor_(), values_N)


def _contrast(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    grey = weigh_channels(images_NHWC.float()).floor_()
    return _blend(images_NHWC, grey.mean(dim=(1, 2, 3), keepdim=True), values_N)


def _sharpen(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    """Blend with the image blurred by 3x3 pixels, the middle of which weighs 5 times as much; the border stays."""
    height, width, channels = images_NHWC.shape[1:]
    if height <= 2 or width <= 2:
        return images_NHWC
    kernel = torch.ones(channels, 1, 3, 3, device=images_NHWC.device)
    kernel[:, :, 1, 1] = 5
    output = images_NHWC.permute(0, 3, 1, 2).float().contiguous()
    blurred = F.conv2d(output, kernel / 13, groups=channels).round_()
    inner = output[..., 1:-1, 1:-1]
    inner += (blurred - inner) * to_column(-values_N, images_NHWC)
    return output.clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _posterize(images_NHWC: Tensor, bits_N: Numbers) -> Tensor:
    masks_N = torch.from_numpy((256 - 2 ** (8 - bits_N)).astype(np.uint8)).to(images_NHWC.device)
    return images_NHWC & masks_N.view(-1, 1, 1, 1)


def _solarize(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    return torch.where(images_NHWC >= to_column(255 * values_N, images_NHWC), 255 - images_NHWC, images_NHWC)


def _autocontrast(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    """Stretch every channel from its darkest to its brightest pixel over all 8 bits."""
    images = images_NHWC.float()
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    is_flat = low == high
    scale = torch.where(is_flat, 1.0, (high - low) * (1 / 255))
    return ((images - torch.where(is_flat, 0.0, low)) / scale).clamp_(0, 255).to(torch.uint8)


def _equalize(images_NHWC: Tensor, values_N: Numbers) -> Tensor:
    """Spread every channel's histogram evenly, as Pillow does."""
    num_images, height, width, channels = images_NHWC.shape
    flat = images_NHWC.permute(0, 3, 1, 2).reshape(num_images, channels, -1).long()
    counts = flat.new_zeros(num_images, channels, 256).scatter_add_(2, flat, torch.ones_like(flat))
    total = counts.cumsum(dim=2)
    brightest = flat.amax(dim=2, keepdim=True)
    step = (height * width - counts.gather(2, brightest)) // 255
    table = ((total - counts + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    equalized = torch.where(step > 0, table.gather(2, flat), flat).to(torch.uint8)
    return equalized.view(num_images, channels, height, width).permute(0, 2, 3, 1)


_CHANGES: Mapping[str, Callable[[Tensor, Numbers], Tensor]] = {
    "brightness": _brighten,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpen,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
