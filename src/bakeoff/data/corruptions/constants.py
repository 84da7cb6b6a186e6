"""The strength of every corruption at every severity, by the size of the images.

The constants of CIFAR-10-C hold up to 48 pixels, those of ImageNet-C from 224 pixels on; in between, each is
interpolated linearly in the shorter side. Both are published with Hendrycks and Dietterich (2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_PIXELS, LARGE_PIXELS = 48, 224

Table: TypeAlias = Sequence[Sequence[float]]
"""One row per severity."""

# ImageNet-C makes images of 224 pixels, but measures its elastic transform in units of 244.
_ELASTIC_UNIT = 244 / 224

_TABLES: Mapping[str, tuple[Table, Table]] = {
    # standard deviation
    "gaussian_noise": (((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)), ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))),
    # photons of a white pixel
    "shot_noise": (((500,), (250,), (100,), (75,), (50,)), ((60,), (25,), (12,), (5,), (3,))),
    # fraction of values
    "impulse_noise": (((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)), ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    # radius; standard deviation of the smoothing of its edge
    "defocus_blur": (
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    # standard deviation of the blur before and after; largest shift; passes
    "glass_blur": (
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    # radius; standard deviation
    "motion_blur": (
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    # largest zoom factor; step from 1 to it
    "zoom_blur": (
        ((1.06, 0.01), (1.11, 0.01), (1.15, 0.01), (1.20, 0.01), (1.25, 0.01)),
        ((1.11, 0.01), (1.15, 0.01), (1.20, 0.02), (1.24, 0.02), (1.30, 0.03)),
    ),
    # mean and standard deviation of the flakes; zoom; threshold; radius and standard deviation of their motion; weight
    # of the image against a whitened one
    "snow": (
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    # thickness; decay of roughness from one scale to the next
    "fog": (
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    # added to the value
    "brightness": (((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)), ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    # factor of the distance from the mean
    "contrast": (((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)), ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    # shares of the image's size: height of the displacement, its smoothness, largest shift of the affine map's points
    "elastic_transform": (
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        tuple(
            tuple(_ELASTIC_UNIT * value for value in row)
            for row in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
        ),
    ),
    # size of the coarse image, as a factor
    "pixelate": (((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)), ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    # quality
    "jpeg_compression": (((80,), (65,), (58,), (50,), (40,)), ((25,), (18,), (15,), (10,), (7,))),
}


def find_constants(name: str, severity: int, size_pixels: int) -> tuple[float, ...]:
    """Return the constants of a corruption for images whose shorter side has this many pixels.

    Raises:
        ValueError: a severity that is not 1..5.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity}, not one of 1 to 5")
    small, large = (table[severity - 1] for table in _TABLES[name])
    share = min(max((size_pixels - SMALL_PIXELS) / (LARGE_PIXELS - SMALL_PIXELS), 0.0), 1.0)
    return tuple((1 - share) * a + share * b for a, b in zip(small, large, strict=True))
