"""Augmentations of pixel values: blur, colours, erasing, normalization, each image with its own random numbers.

Shape legend: N images, H rows, W columns, C channels, D draws. Images are (N, H, W, C), uint8 or float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.steps import ColorJitter, Erasing, GaussianBlur, Grayscale, Normalize
from bakeoff.catalog.networks.pretrained import IMAGENET_MEAN, IMAGENET_SD
from bakeoff.engine.augment.geometry import Draws, add_border, change_some, scale_to_unit, to_column

Statistics = tuple[npt.ArrayLike, npt.ArrayLike]
"""Mean and standard deviation per channel of images with values in [0, 1]."""

_GREY_WEIGHTS = (0.2989, 0.587, 0.114)
"""The weights of red, green and blue in brightness: ITU-R BT.601, with torchvision's digits."""


def blur(choice: GaussianBlur, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Blur each image with a Gaussian with its own sd. Draws: the chance, the sd."""
    sds_N = choice.sigma[0] + (choice.sigma[1] - choice.sigma[0]) * draws_ND[:, 1]
    offsets_K = np.arange(choice.kernel) - choice.kernel // 2
    kernels_NK = np.exp(-0.5 * (offsets_K / sds_N[:, None]) ** 2)
    kernels_NK /= kernels_NK.sum(axis=1, keepdims=True)

    def change(images: Tensor, chosen: npt.NDArray[np.int64]) -> Tensor:
        return _blur_all(scale_to_unit(images), kernels_NK[chosen])

    return change_some(images_NHWC, draws_ND[:, 0], choice.probability, change)


def _blur_all(images_NHWC: Tensor, kernels_NK: Draws) -> Tensor:
    """Convolve rows, then columns: with one kernel per image, summing shifted images is faster than N groups."""
    size = kernels_NK.shape[1]
    height, width = images_NHWC.shape[1:3]
    padded = add_border(images_NHWC, size // 2, "reflect")
    weights = [to_column(kernels_NK[:, k], images_NHWC) for k in range(size)]
    rows = padded[:, :height] * weights[0]
    for k in range(1, size):
        rows += padded[:, k : k + height] * weights[k]
    result = rows[:, :, :width] * weights[0]
    for k in range(1, size):
        result += rows[:, :, k : k + width] * weights[k]
    return result.clamp_(0, 1)


def jitter(choice: ColorJitter, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Change brightness, contrast, saturation, hue. Draws: the chance, then one for each of the four.

    Source: torchvision's `ColorJitter`, but in a fixed order.
    """

    def change(images: Tensor, chosen: npt.NDArray[np.int64]) -> Tensor:
        return _jitter_all(choice, scale_to_unit(images), draws_ND[chosen])

    return change_some(images_NHWC, draws_ND[:, 0], choice.probability, change)


def _jitter_all(choice: ColorJitter, images: Tensor, draws_ND: Draws) -> Tensor:
    coloured = images.shape[3] == 3
    if choice.brightness:
        images = (images * _draw_factor(choice.brightness, draws_ND[:, 1], images)).clamp_(0, 1)
    if choice.contrast:
        means = weigh_channels(images).mean(dim=(1, 2, 3), keepdim=True)
        images = _blend(images, means, _draw_factor(choice.contrast, draws_ND[:, 2], images))
    if choice.saturation and coloured:
        images = _blend(images, weigh_channels(images), _draw_factor(choice.saturation, draws_ND[:, 3], images))
    if choice.hue and coloured:
        images = shift_hue(images, to_column(choice.hue * (2 * draws_ND[:, 4] - 1), images))
    return images


def _draw_factor(strength: float, draws_N: Draws, like: Tensor) -> Tensor:
    least, greatest = max(0.0, 1 - strength), 1 + strength
    return to_column(least + (greatest - least) * draws_N, like)


def weigh_channels(images_NHWC: Tensor) -> Tensor:
    """Return the brightness of each pixel, shape (N, H, W, 1)."""
    if images_NHWC.shape[3] == 1:
        return images_NHWC
    red, green, blue = (images_NHWC[..., c : c + 1] * weight for c, weight in enumerate(_GREY_WEIGHTS))
    return red + green + blue


def _blend(images: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    """Interpolate, or extrapolate, from `others` (share 0) to `images` (share 1), clipped to [0, 1]."""
    return (images * shares + others * (1 - shares)).clamp_(0, 1)


def shift_hue(images_NHWC: Tensor, shifts: Tensor) -> Tensor:
    """Shift the hue of colour images, as a fraction of the colour circle, at constant HSV saturation and value.

    Args:
        images_NHWC: float32 in [0, 1], three channels.
        shifts: one number per image, shape (N, 1, 1, 1); 1/3 turns red into green.

    Source: Smith (1978), Color gamut transform pairs; the inverse in the closed form of Wikipedia, HSL and HSV.
    """
    # One plane per channel: reductions over three interleaved channels take several times as long.
    red, green, blue = (plane.contiguous() for plane in images_NHWC.unbind(3))
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    per_chroma = chroma.clamp(min=1e-12).reciprocal_()
    below_red = torch.where(value == green, (blue - red) * per_chroma + 2, (red - green) * per_chroma + 4)
    sixths = torch.where(value == red, (green - blue) * per_chroma, below_red) + 6 * shifts[:, 0]
    planes = []
    for offset in (5, 3, 1):
        turned = sixths + offset
        k = turned - 6 * (turned * (1 / 6)).floor_()
        planes.append(value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(planes, dim=3)


def grey(choice: Grayscale, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Convert some images to grey. Draws: the chance."""
    if images_NHWC.shape[3] == 1:
        return images_NHWC

    def change(images: Tensor, _: npt.NDArray[np.int64]) -> Tensor:
        return weigh_channels(scale_to_unit(images)).expand(images.shape)

    return change_some(images_NHWC, draws_ND[:, 0], choice.probability, change)


def erase(choice: Erasing, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Set a rectangle of some images to zero. Draws: the chance, area, ratio, top, left.

    Source: Zhong et al. (2020), algorithm 1; a rectangle too long for the image is clipped, not redrawn, and the values
        are zero instead of noise, as in torchvision.
    """
    sides = images_NHWC.shape[1:3]
    areas_N = (choice.area[0] + (choice.area[1] - choice.area[0]) * draws_ND[:, 1]) * sides[0] * sides[1]
    ratios_N = choice.ratio[0] * (choice.ratio[1] / choice.ratio[0]) ** draws_ND[:, 2]
    inside = []
    for axis, lengths_N in enumerate((np.sqrt(areas_N * ratios_N), np.sqrt(areas_N / ratios_N))):
        lengths_N = np.minimum(np.rint(lengths_N), sides[axis])
        starts_N = np.floor(draws_ND[:, 3 + axis] * (sides[axis] - lengths_N + 1))
        positions = np.arange(sides[axis])
        inside.append((positions >= starts_N[:, None]) & (positions < (starts_N + lengths_N)[:, None]))
    chosen_N = draws_ND[:, 0] < choice.probability
    erased_NHW = inside[0][:, :, None] & inside[1][:, None, :] & chosen_N[:, None, None]
    return images_NHWC.masked_fill(torch.from_numpy(erased_NHW).to(images_NHWC.device)[..., None], 0)


def normalize(
    choice: Normalize, images_NHWC: Tensor, data_statistics: Statistics | None, for_colour: bool = False
) -> Tensor:
    """Subtract the mean and divide by the sd, channel by channel.

    With ImageNet's statistics, a grey image for a network for colour images is first repeated to three channels;
    otherwise the statistics are averaged. With three numbers a grey image is always repeated.

    Raises:
        ValueError: the step needs the data's or the network's statistics, but there are none.
    """
    if for_colour and choice.mean == "imagenet" and images_NHWC.shape[3] == 1:
        images_NHWC = images_NHWC.expand(-1, -1, -1, 3)
    images_NHWC = images_NHWC.expand(*images_NHWC.shape[:3], choice.resulting_shape(tuple(images_NHWC.shape[1:]))[2])
    mean, sd = _find_statistics(choice, images_NHWC.shape[3], data_statistics)
    return (scale_to_unit(images_NHWC) - mean.to(images_NHWC.device)).div_(sd.to(images_NHWC.device))


def _find_statistics(choice: Normalize, channels: int, data_statistics: Statistics | None) -> tuple[Tensor, Tensor]:
    """Return mean and sd as float32 tensors of one number, or one per channel."""
    if choice.mean == "imagenet":
        found: Statistics = (IMAGENET_MEAN, IMAGENET_SD)
        if channels == 1:
            found = (np.mean(IMAGENET_MEAN), np.mean(IMAGENET_SD))
    elif choice.mean == "data":
        if data_statistics is None:
            raise ValueError("normalize: data needs the mean and sd of the training images")
        found = data_statistics
    elif choice.mean == "pretrained":
        raise ValueError("normalize: pretrained is replaced by the network's numbers before training")
    else:
        found = (choice.mean, choice.sd)
    mean, sd = (torch.from_numpy(np.asarray(value, dtype=np.float32).reshape(-1)) for value in found)
    # A constant channel has sd 0: it becomes 0, not infinite.
    return mean, torch.where(sd > 0, sd, 1.0)
