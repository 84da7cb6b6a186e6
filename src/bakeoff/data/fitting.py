"""Brings an image to a size: which part of it is kept, and how much of a JPEG has to be decoded for that."""

from __future__ import annotations

from typing import TypeAlias

from PIL import Image

from bakeoff.data.source import Fit

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a part of an image, in its pixels."""

DRAFT_MARGIN = 2
"""A JPEG is decoded at a reduced scale only if this leaves it at least this many times as large as it is resized to."""

_DRAFTED_FORMATS = ("JPEG", "MPO")
_ORIENTATION_TAG = 0x0112


def scale_whole(size_WH: tuple[int, int], target_HW: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the width and height that a whole image is resized to, before it is cropped or padded.

    Source of `crop`: torchvision's `Resize` of the shorter side, which rounds the longer one down.
    """
    (width, height), (target_height, target_width) = size_WH, target_HW
    if fit == "stretch" or width * target_height == height * target_width:
        return target_width, target_height
    is_wider = width * target_height > height * target_width
    if fit == "crop":
        if is_wider:
            return int(target_height * width / height), target_height
        return target_width, int(target_width * height / width)
    if is_wider:
        return target_width, max(1, round(target_width * height / width))
    return max(1, round(target_height * width / height)), target_height


def draft(image: Image.Image, target_HW: tuple[int, int], fit: Fit) -> Box | None:
    """Let Pillow decode a large JPEG at 1/2, 1/4 or 1/8 of its size, which takes a fraction of the time.

    Args:
        image: opened, not decoded yet.
        target_HW: the size it will be resized to, upright.
        fit: how.

    Returns:
        The part of the reduced image, as stored, that the original's area covers: sizes are rounded up to whole pixels.
        None if it will be decoded at its full size.
    """
    if image.format not in _DRAFTED_FORMATS:
        return None
    full_WH = image.size
    upright = scale_whole(full_WH, target_HW, fit)
    turned = scale_whole((full_WH[1], full_WH[0]), target_HW, fit)  # EXIF may turn it by 90 degrees
    least = (DRAFT_MARGIN * max(upright[0], turned[1]), DRAFT_MARGIN * max(upright[1], turned[0]))
    drafted = image.draft(None, least)
    return None if drafted is None or image.size == full_WH else drafted[1]


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if there is none or it cannot be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises undocumented exceptions of many kinds
        return 1
    return orientation if orientation in range(1, 9) else 1


def turn_box(box: Box, size_WH: tuple[int, int], orientation: int) -> Box:
    """Return where a part of a stored image is after the image was turned upright.

    Args:
        box: the part.
        size_WH: width and height of the stored image.
        orientation: EXIF's, 1 to 8.
    """
    left, top, right, bottom = box
    width, height = size_WH
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
        width, height = height, width
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def fit_image(
    image: Image.Image, box: Box | None, original_WH: tuple[int, int], target_HW: tuple[int, int], fit: Fit
) -> Image.Image:
    """Resize an image bilinearly, with antialiasing.

    Args:
        image: upright, L or RGB, possibly decoded at a reduced scale.
        box: the part of it that shows the original; None: all of it.
        original_WH: width and height of the original, upright.
        target_HW: height and width of the result.
        fit: stretch to the target; crop the middle as torchvision's `Resize` and `CenterCrop` do; or pad with black.
    """
    height, width = target_HW
    whole_WH = scale_whole(original_WH, target_HW, fit)
    if box is None and image.size == whole_WH == (width, height):
        return image
    kept_WH = (min(whole_WH[0], width), min(whole_WH[1], height))
    part = _take_middle(box or (0.0, 0.0, float(image.width), float(image.height)), whole_WH, kept_WH)
    resized = image.resize(kept_WH, Image.Resampling.BILINEAR, box=part)
    if kept_WH == (width, height):
        return resized
    padded = Image.new(image.mode, (width, height))
    padded.paste(resized, ((width - kept_WH[0]) // 2, (height - kept_WH[1]) // 2))
    return padded


def _take_middle(box: Box, whole_WH: tuple[int, int], kept_WH: tuple[int, int]) -> Box:
    """Return the part of `box` that becomes the middle `kept_WH` pixels if all of it becomes `whole_WH` pixels."""
    starts, ends = [], []
    for axis in (0, 1):
        start, end, whole, kept = box[axis], box[axis + 2], whole_WH[axis], kept_WH[axis]
        first = round((whole - kept) / 2)  # to even, as in torchvision
        scale = (end - start) / whole
        starts.append(start + first * scale if first else start)
        ends.append(min(end, start + (first + kept) * scale) if first + kept < whole else end)
    return starts[0], starts[1], ends[0], ends[1]
