"""Sizes of images: what a folder's images have, and which one to bring them to."""

from __future__ import annotations

from collections import Counter

SIDES = (32, 48, 64, 96, 128, 160, 224)
"""Sides that published networks are commonly trained at."""

MOST_PIXELS = 2**30
"""More pixels in all training images take long to train on."""

LEAST_REDUCED = 64
"""Many images alone are no reason for a smaller side than this."""


def suggest_side(sizes_HW: Counter[tuple[int, int]], num_images: int) -> int:
    """Return a sensible side for square images.

    It is the largest of `SIDES` that the median image's shorter side reaches, so that few images are enlarged, and that
    keeps all images within `MOST_PIXELS`; the median itself if it reaches none.

    Args:
        sizes_HW: how many images have which height and width; not empty.
        num_images: the number of images that will be trained on.
    """
    median = find_median(count_shorter(sizes_HW))
    reached = [side for side in SIDES if side <= median] or [median]
    light = [side for side in reached if side <= LEAST_REDUCED or num_images * side**2 <= MOST_PIXELS]
    return max(light)


def count_shorter(sizes_HW: Counter[tuple[int, int]]) -> Counter[int]:
    """Count the shorter sides."""
    shorter = Counter[int]()
    for size, count in sizes_HW.items():
        shorter[min(size)] += count
    return shorter


def find_median(counts: Counter[int]) -> int:
    """Return the lower median of counted values."""
    left = (counts.total() + 1) // 2
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    raise ValueError("no values to take the median of")
