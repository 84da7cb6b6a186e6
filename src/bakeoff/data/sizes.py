"""Sizes of images: what a folder's images have, and which one to bring them to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SIDES = (32, 48, 64, 96, 128, 160, 224)
"""Sides that published networks are commonly trained at."""

MOST_PIXELS = 2**30
"""More pixels in all training images take long to train on."""

LEAST_REDUCED = 64
"""Many images alone are no reason for a smaller side than this."""


@dataclass(frozen=True, kw_only=True)
class SizeFacts:
    """The sizes of a folder's or manifest's training images, as far as they can be read.

    Attributes:
        num_sizes: how many different ones there are.
        smallest_HW, median_HW, largest_HW: by area.
        aspect_ratios: the smallest, the median and the largest width divided by height.
        suggested_image_size: a sensible side for square images.
        num_unreadable: images whose header cannot be read.
    """

    num_sizes: int
    smallest_HW: tuple[int, int]
    median_HW: tuple[int, int]
    largest_HW: tuple[int, int]
    aspect_ratios: tuple[float, float, float]
    suggested_image_size: int
    num_unreadable: int


def describe_sizes(sizes_HW: Counter[tuple[int, int]], num_unreadable: int = 0) -> SizeFacts:
    """Return the facts about counted sizes; there is at least one."""
    by_area = sorted(sizes_HW, key=lambda size: (size[0] * size[1], size))
    by_ratio = sorted(sizes_HW, key=lambda size: size[1] / size[0])
    narrow, middle, wide = (by_ratio[0], _find_median(by_ratio, sizes_HW), by_ratio[-1])
    return SizeFacts(
        num_sizes=len(sizes_HW),
        smallest_HW=by_area[0],
        median_HW=_find_median(by_area, sizes_HW),
        largest_HW=by_area[-1],
        aspect_ratios=(narrow[1] / narrow[0], middle[1] / middle[0], wide[1] / wide[0]),
        suggested_image_size=suggest_side(sizes_HW, sizes_HW.total()),
        num_unreadable=num_unreadable,
    )


def suggest_side(sizes_HW: Counter[tuple[int, int]], num_images: int) -> int:
    """Return a sensible side for square images.

    It is the largest of `SIDES` that the median image's shorter side reaches, so that few images are enlarged, and that
    keeps all images within `MOST_PIXELS`; the median itself if it reaches none.

    Args:
        sizes_HW: how many images have which height and width; not empty.
        num_images: the number of images that will be trained on.
    """
    median = min(_find_median(sorted(sizes_HW, key=min), sizes_HW))
    reached = [side for side in SIDES if side <= median] or [median]
    light = [side for side in reached if side <= LEAST_REDUCED or num_images * side**2 <= MOST_PIXELS]
    return max(light)


def _find_median(ordered: Sequence[tuple[int, int]], counts: Counter[tuple[int, int]]) -> tuple[int, int]:
    """Return the lower median of counted sizes, in the given order."""
    left = (counts.total() + 1) // 2
    for size in ordered:
        left -= counts[size]
        if left <= 0:
            return size
    raise ValueError("no sizes to take the median of")
