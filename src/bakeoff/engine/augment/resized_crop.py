"""Random resized crops: of each image a part with its own size, aspect ratio and place, resized to one size.

Shape legend: N images, H rows, W columns, C channels, S rows or columns of the result, L rows or columns of the image,
T tries, D draws. Images are (N, H, W, C), uint8 or float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.augmentation.steps import RandomResizedCrop, Resize
from bakeoff.engine.augment import geometry
from bakeoff.engine.augment.geometry import Draws, scale_to_unit

NUM_TRIES = 10
"""Sizes that are drawn before the largest crop of an allowed aspect ratio is taken, as in torchvision."""

Boxes = npt.NDArray[np.int64]
"""Top, left, height and width in pixels, per image: shape (N, 4)."""


def crop_and_resize(choice: RandomResizedCrop, images_NHWC: Tensor, draws_ND: Draws) -> Tensor:
    """Crop a random part of each image and resize it. Draws: area and ratio of every try, then top, left.

    uint8 images on the CPU stay uint8, rounded as in torchvision.
    """
    height, width = images_NHWC.shape[1:3]
    boxes_N4 = draw_boxes(choice, height, width, draws_ND)
    if images_NHWC.device.type == "cpu":
        return resize_one_by_one(choice, images_NHWC, boxes_N4)
    return resize_by_products(choice, images_NHWC, boxes_N4)


def crop_middle(choice: RandomResizedCrop, images_NHWC: Tensor) -> Tensor:
    """Crop the middle of each image, `choice.center` of the largest part with the result's aspect ratio, and resize."""
    top, left, height, width = find_middle(choice, images_NHWC.shape[1], images_NHWC.shape[2])
    middle_NHWC = images_NHWC[:, top : top + height, left : left + width]
    return geometry.resize(Resize(size=choice.size, interpolation=choice.interpolation), middle_NHWC)


def draw_boxes(choice: RandomResizedCrop, height: int, width: int, draws_ND: Draws) -> Boxes:
    """Return the part of each image that is cropped.

    Source: torchvision's `RandomResizedCrop.get_params`.
    """
    tries_NT2 = draws_ND[:, : 2 * NUM_TRIES].reshape(-1, NUM_TRIES, 2)
    areas_NT = height * width * (choice.scale[0] + (choice.scale[1] - choice.scale[0]) * tries_NT2[..., 0])
    ratios_NT = choice.ratio[0] * (choice.ratio[1] / choice.ratio[0]) ** tries_NT2[..., 1]
    widths_NT, heights_NT = np.rint(np.sqrt(areas_NT * ratios_NT)), np.rint(np.sqrt(areas_NT / ratios_NT))
    fits_NT = (widths_NT > 0) & (widths_NT <= width) & (heights_NT > 0) & (heights_NT <= height)
    images_N, first_N, found_N = np.arange(len(draws_ND)), fits_NT.argmax(axis=1), fits_NT.any(axis=1)
    largest_height, largest_width = _find_largest(choice.ratio, height, width)
    heights_N = np.where(found_N, heights_NT[images_N, first_N], largest_height)
    widths_N = np.where(found_N, widths_NT[images_N, first_N], largest_width)
    tops_N = np.where(found_N, draws_ND[:, -2] * (height - heights_N + 1), (height - heights_N) // 2)
    lefts_N = np.where(found_N, draws_ND[:, -1] * (width - widths_N + 1), (width - widths_N) // 2)
    boxes_N4: Boxes = np.stack([tops_N, lefts_N, heights_N, widths_N], axis=1).astype(np.int64)
    return boxes_N4


def _find_largest(ratio: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """Return height and width of the largest crop whose width / height is allowed."""
    if width / height < ratio[0]:
        return min(height, max(1, round(width / ratio[0]))), width
    if width / height > ratio[1]:
        return height, min(width, max(1, round(height * ratio[1])))
    return height, width


def find_middle(choice: RandomResizedCrop, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the part that evaluation sees."""
    factor = choice.center * min(height / choice.size[0], width / choice.size[1])
    rows, columns = (max(1, round(side * factor)) for side in choice.size)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def resize_one_by_one(choice: RandomResizedCrop, images_NHWC: Tensor, boxes_N4: Boxes) -> Tensor:
    """Resize each part with torch's kernels, antialiased, in the images' dtype; bicubic overshoot is clipped.

    On a CPU this is several times faster than matrix products.
    """
    resized = images_NHWC.new_empty((len(images_NHWC), *choice.size, images_NHWC.shape[3]))
    for image_HWC, result_HWC, (top, left, height, width) in zip(images_NHWC, resized, boxes_N4.tolist(), strict=True):
        part_CHW = image_HWC[top : top + height, left : left + width].permute(2, 0, 1)
        if part_CHW.is_floating_point():
            part_CHW = part_CHW.contiguous()  # these kernels take twice as long on interleaved channels
        changed = F.interpolate(
            part_CHW[None], size=choice.size, mode=choice.interpolation, align_corners=False, antialias=True
        )
        result_HWC.copy_(changed[0].permute(1, 2, 0))
    return resized.clamp_(0, 1) if resized.is_floating_point() else resized


def resize_by_products(choice: RandomResizedCrop, images_NHWC: Tensor, boxes_N4: Boxes) -> Tensor:
    """Resize by two products with matrices of weights per image, in float32: the same on every device, at once."""
    images_NHWC = scale_to_unit(images_NHWC)
    num_images, height, width, channels = images_NHWC.shape
    boxes = torch.from_numpy(boxes_N4.astype(np.float32)).to(images_NHWC.device)
    rows_NSL = _make_weights(choice.interpolation, boxes[:, 0], boxes[:, 2], height, choice.size[0])
    columns_NSL = _make_weights(choice.interpolation, boxes[:, 1], boxes[:, 3], width, choice.size[1])
    fewer_rows = torch.bmm(rows_NSL, images_NHWC.reshape(num_images, height, width * channels))
    by_channel = fewer_rows.view(num_images, -1, width, channels).permute(0, 1, 3, 2).reshape(num_images, -1, width)
    resized = torch.bmm(by_channel, columns_NSL.transpose(1, 2)).view(num_images, -1, channels, choice.size[1])
    return resized.permute(0, 1, 3, 2).clamp(0, 1)


def _make_weights(interpolation: str, starts_N: Tensor, lengths_N: Tensor, length: int, size: int) -> Tensor:
    """Return the weight of each of `length` pixels in each of `size` pixels, (N, S, L), for parts of one side.

    Source: torch's `interpolate` with antialiasing, which widens the filter by the factor of shrinking.
    """
    steps_N11 = (lengths_N / size).view(-1, 1, 1)
    centres_NS1 = starts_N.view(-1, 1, 1) + steps_N11 * (torch.arange(size, device=starts_N.device) + 0.5).view(
        1, -1, 1
    )
    places_L = torch.arange(length, device=starts_N.device) + 0.5
    distances = (places_L - centres_NS1).abs() / steps_N11.clamp(min=1)
    if interpolation == "bilinear":
        weights = (1 - distances).clamp_(min=0)
    else:  # Keys (1981) with a = -1/2
        near = (1.5 * distances - 2.5) * distances**2 + 1
        far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
        weights = torch.where(distances < 1, near, torch.where(distances < 2, far, 0.0))
    first_N11 = starts_N.view(-1, 1, 1)
    weights *= (places_L > first_N11) & (places_L < first_N11 + lengths_N.view(-1, 1, 1))
    return weights / weights.sum(dim=2, keepdim=True)
