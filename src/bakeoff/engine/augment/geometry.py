"""Geometric augmentations: crops, padding, flips, rotations and resizing, each image with its own random numbers.

Shape legend: N images, H rows, W columns, C channels, D draws. Images are (N, H, W, C), uint8 or float32 in [0, 1];
steps that only move whole pixels keep the dtype. Images are not modified in place.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.augmentation.steps import (
    Affine,
    AlternatingFlip,
    CenterCrop,
    HorizontalFlip,
    Pad,
    RandomCrop,
    Resize,
    Rotation,
    VerticalFlip,
)
from bakeoff.catalog.augmentation.values import Fill

Draws = npt.NDArray[np.float64]

_PADDING_MODES = {"zero": "zeros", "edge": "border", "reflect": "reflection"}


def scale_to_unit(images_NHWC: Tensor) -> Tensor:
    """Return images as float32 in [0, 1]; float32 images are returned unchanged."""
    if images_NHWC.dtype == torch.float32:
        return images_NHWC
    return images_NHWC.float().mul_(1 / 255)


def change_some(
    images_NHWC: Tensor, chance_N: Draws, probability: float, change: Callable[[Tensor, npt.NDArray[np.int64]], Tensor]
) -> Tensor:
    """Change each image with a probability.

    Args:
        images_NHWC: the batch.
        chance_N: one uniform number per image, which is changed if its number is below `probability`.
        probability: from 0 to 1.
        change: takes the chosen images and their positions in the batch; returns the changed images.

    Returns:
        The batch with the chosen images changed, in the dtype that `change` returns.
    """
    chosen = np.flatnonzero(chance_N < probability)
    if len(chosen) == len(chance_N):
        return change(images_NHWC, chosen)
    if not len(chosen):
        return images_NHWC
    positions = torch.from_numpy(chosen).to(images_NHWC.device)
    changed = change(images_NHWC[positions], chosen)
    result = images_NHWC.clone() if changed.dtype == images_NHWC.dtype else scale_to_unit(images_NHWC)
    return result.index_copy_(0, positions, changed)


def to_column(values_N: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    """Return one number per image as a float32 tensor of shape (N, 1, 1, 1) on the device of `like`."""
    return torch.from_numpy(values_N.astype(np.float32)).to(like.device).view(-1, 1, 1, 1)


def resize(choice: Resize, images_NHWC: Tensor) -> Tensor:
    """Resize to `choice.size`.

    uint8 images stay uint8, rounded as in Pillow and torchvision: several times faster. Others are resized in float32;
    bicubic overshoot is clipped, so values stay within [0, 1].
    """
    if tuple(images_NHWC.shape[1:3]) == choice.size:
        return images_NHWC
    if choice.interpolation == "nearest":
        return F.interpolate(images_NHWC.permute(0, 3, 1, 2), size=choice.size, mode="nearest").permute(0, 2, 3, 1)
    if images_NHWC.device.type != "cpu":
        images_NHWC = scale_to_unit(images_NHWC)  # other devices have no kernels for uint8
    images_NCHW = images_NHWC.permute(0, 3, 1, 2)
    if images_NCHW.is_floating_point() and (choice.antialias or choice.interpolation == "bicubic"):
        images_NCHW = images_NCHW.contiguous()  # these float kernels take twice as long on interleaved channels
    resized = F.interpolate(
        images_NCHW, size=choice.size, mode=choice.interpolation, align_corners=False, antialias=choice.antialias
    )
    if choice.interpolation == "bicubic" and resized.is_floating_point():
        resized = resized.clamp_(0, 1)
    return resized.permute(0, 2, 3, 1)


def pad(choice: Pad, images_NHWC: Tensor) -> Tensor:
    """Add `choice.amount` pixels on all four sides."""
    return add_border(images_NHWC, choice.amount, choice.fill)


def add_border(images_NHWC: Tensor, amount: int, fill: Fill) -> Tensor:
    """Add `amount` pixels on all four sides; a mirror image excludes the border pixel, like NumPy's `reflect`."""
    if not amount:
        return images_NHWC
    if fill == "zero":
        return F.pad(images_NHWC, (0, 0, amount, amount, amount, amount))
    rows, columns = (_find_sources(size, amount, fill, images_NHWC.device) for size in images_NHWC.shape[1:3])
    return images_NHWC.index_select(1, rows).index_select(2, columns)


def _find_sources(size: int, amount: int, fill: Fill, device: torch.device) -> Tensor:
    """Return the source index of each pixel of a side after padding both ends by `amount`."""
    positions = torch.arange(-amount, size + amount, device=device)
    if fill == "edge":
        return positions.clamp_(0, size - 1)
    last = size - 1
    return last - (last - positions.abs()).abs()


def center_crop(choice: CenterCrop, images_NHWC: Tensor) -> Tensor:
    """Crop the middle; an odd remaining pixel is kept at the bottom and right."""
    return _crop_middle(images_NHWC, choice.size)


def crop_without_drawing(choice: RandomCrop, images_NHWC: Tensor) -> Tensor:
    """Crop the middle of the unpadded images if they are large enough, else of the padded ones."""
    if choice.size[0] > images_NHWC.shape[1] or choice.size[1] > images_NHWC.shape[2]:
        images_NHWC = add_border(images_NHWC, choice.padding, choice.fill)
    return _crop_middle(images_NHWC, choice.size)


def _crop_middle(images_NHWC: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = ((images_NHWC.shape[axis + 1] - size[axis]) // 2 for axis in (0, 1))
    return images_NHWC[:, top : top + size[0], left : left + size[1]]


def random_crop(choice: RandomCrop, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Crop a part of each image, at a uniformly random position. Draws: top, left."""
    padded = add_border(images_NHWC, choice.padding, choice.fill)
    num_images, height, width, channels = padded.shape
    num_positions = (height - choice.size[0] + 1, width - choice.size[1] + 1)
    if num_positions == (1, 1):
        return padded
    tops, lefts = torch.from_numpy((draws_ND * num_positions).astype(np.int64).T).to(padded.device)
    # A view of all windows of all images, without a copy; selecting one per image copies whole windows.
    strides = padded.stride()
    windows = padded.as_strided(
        (num_images, *num_positions, *choice.size, channels), (*strides[:3], strides[1], strides[2], strides[3])
    )
    return windows[torch.arange(num_images, device=padded.device), tops, lefts]


def flip_columns(choice: HorizontalFlip, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Mirror left and right. Draws: the chance."""
    return change_some(images_NHWC, draws_ND[:, 0], choice.probability, lambda images, _: images.flip(2))


def flip_rows(choice: VerticalFlip, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Mirror top and bottom. Draws: the chance."""
    return change_some(images_NHWC, draws_ND[:, 0], choice.probability, lambda images, _: images.flip(1))


def flip_chosen(choice: AlternatingFlip, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Mirror left and right the images whose number is below 1/2. Draws: this number, which alternates by epoch."""
    return change_some(images_NHWC, draws_ND[:, 0], 0.5, lambda images, _: images.flip(2))


def rotate(choice: Rotation, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Rotate each image about its centre. Draws: the chance, the angle (0 is the largest clockwise angle)."""
    turns_N = np.deg2rad(choice.degrees) * (1 - 2 * draws_ND[:, 1])
    cosines, sines, zeros = np.cos(turns_N), np.sin(turns_N), np.zeros_like(turns_N)
    inverses = np.stack([cosines, sines, zeros, -sines, cosines, zeros], axis=1)
    return _warp_some(choice, images_NHWC, draws_ND[:, 0], inverses)


def transform(choice: Affine, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Shear, scale, rotate, then shift each image. Draws: the chance, angle, shift across and down, scale, two shears.

    Source: the parametrization of torchvision's `RandomAffine`; shifts are not rounded to whole pixels.
    """
    height, width = images_NHWC.shape[1:3]
    signed_ND = 2 * draws_ND - 1
    turns_N = -np.deg2rad(choice.degrees) * signed_ND[:, 1]
    across_N = choice.translate[0] * width * signed_ND[:, 2]
    down_N = choice.translate[1] * height * signed_ND[:, 3]
    scales_N = choice.scale[0] + (choice.scale[1] - choice.scale[0]) * draws_ND[:, 4]
    slants_N = [np.deg2rad(choice.shear[axis]) * signed_ND[:, 5 + axis] for axis in (0, 1)]
    inverses = invert_affine(turns_N, across_N, down_N, scales_N, slants_N[0], slants_N[1])
    return _warp_some(choice, images_NHWC, draws_ND[:, 0], inverses)


def invert_affine(
    turns_N: Draws, across_N: Draws, down_N: Draws, scales_N: Draws, slants_x_N: Draws, slants_y_N: Draws
) -> Draws:
    """Return each image's map from output to input pixels, as (a, b, c, d, e, f): x' = ax + by + c, y' = dx + ey + f.

    Args:
        turns_N: clockwise, in radians.
        across_N: to the right, in pixels.
        down_N: downwards, in pixels.
        scales_N: factors on the size.
        slants_x_N: shear along the rows, in radians.
        slants_y_N: shear along the columns, in radians.

    Returns:
        Six numbers per image; x and y are in pixels from the image's centre, to the right and down.

    Source: torchvision, `_get_inverse_affine_matrix`, about the centre.
    """
    cosine, sine = np.cos(turns_N - slants_y_N) / np.cos(slants_y_N), np.sin(turns_N - slants_y_N) / np.cos(slants_y_N)
    a = (np.cos(turns_N) - sine * np.tan(slants_x_N)) / scales_N
    b = (np.sin(turns_N) + cosine * np.tan(slants_x_N)) / scales_N
    d, e = -sine / scales_N, cosine / scales_N
    return np.stack([a, b, -a * across_N - b * down_N, d, e, -d * across_N - e * down_N], axis=1)


def _warp_some(choice: Rotation | Affine, images_NHWC: Tensor, chance_N: Draws, inverses: Draws) -> Tensor:
    def change(images: Tensor, chosen: npt.NDArray[np.int64]) -> Tensor:
        return warp(images, inverses[chosen], choice.interpolation, choice.fill)

    return change_some(images_NHWC, chance_N, choice.probability, change)


def warp(images_NHWC: Tensor, inverses: Draws, interpolation: str, fill: Fill) -> Tensor:
    """Resample all images, each by its own affine map.

    Args:
        images_NHWC: the batch.
        inverses: six numbers per image, as returned by `invert_affine`.
        interpolation: nearest or bilinear.
        fill: how the outside is filled; here mirror images repeat the border.

    Returns:
        float32 images in [0, 1] of the same shape.
    """
    height, width = images_NHWC.shape[1:3]
    units = np.repeat([2 / width, 2 / height], 3)  # grid_sample's coordinates go from -1 to 1 across the image
    maps = torch.from_numpy((inverses * units).astype(np.float32)).to(images_NHWC.device).view(-1, 2, 3, 1, 1)
    x = (torch.arange(width, device=maps.device) - (width - 1) / 2).view(1, 1, 1, width)
    y = (torch.arange(height, device=maps.device) - (height - 1) / 2).view(1, 1, height, 1)
    # Separate products and sums, not fused ones: so an image's grid does not depend on its position in the batch.
    grid = (maps[:, :, 0] * x + (maps[:, :, 1] * y + maps[:, :, 2])).permute(0, 2, 3, 1)
    images_NCHW = scale_to_unit(images_NHWC).permute(0, 3, 1, 2)
    mode = "nearest" if interpolation == "nearest" else "bilinear"
    warped = F.grid_sample(images_NCHW, grid, mode, _PADDING_MODES[fill], align_corners=False)
    return warped.permute(0, 2, 3, 1)
