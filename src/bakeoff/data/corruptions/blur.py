"""Blur: out of focus, through frosted glass, by motion, by zooming in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.corruptions.noise import Draws, Images

_LEAST_WEIGHT = 1e-4
"""Weights of a motion below this are left out."""


def defocus(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Average over a disk whose edge is smoothed; images are mirrored at their borders."""
    from scipy.signal import fftconvolve  # slow to import

    kernel = make_disk(*constants)
    margin = len(kernel) // 2
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    return np.asarray(fftconvolve(padded, kernel[None, :, :, None], mode="valid", axes=(1, 2)))


def make_disk(radius: float, edge_sd: float) -> NDArray[np.float64]:
    """Return a disk, smoothed by a Gaussian over 3 x 3 pixels (5 x 5 beyond a radius of 8), with sum 1."""
    reach = 1 if radius <= 8 else 2
    extent = int(np.floor(radius)) + reach
    squares = np.arange(-extent, extent + 1) ** 2
    disk = (squares[:, None] + squares <= radius**2).astype(np.float64)
    gaussian = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * edge_sd**2))
    for axis in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis, disk, gaussian, mode="same")
    return np.asarray(disk / disk.sum())


def blur_by_glass(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Blur, swap every pixel with one nearby, again and again, and blur."""
    from scipy.ndimage import gaussian_filter

    sd, most_shift, num_passes = constants[0], round(constants[1]), round(constants[2])
    blurred = gaussian_filter(images, (0, sd, sd, 0), mode="nearest")
    shuffled = _shuffle(blurred, most_shift, num_passes, draws)
    return np.asarray(gaussian_filter(shuffled, (0, sd, sd, 0), mode="nearest"))


def _shuffle(images: Images, most_shift: int, num_passes: int, draws: Draws) -> Images:
    """Swap the pixels of all images at once, position by position from the lower right corner."""
    number, height, width, channels = images.shape
    shape = (num_passes, height, width, 2)
    shifts = np.stack([draw.integers(-most_shift, most_shift, size=shape) for draw in draws], axis=-1)
    flat_shifts = shifts[..., 0, :] * width + shifts[..., 1, :]
    order_PN = np.tile(np.arange(height * width)[:, None], number)
    columns = np.arange(number)
    for step in range(num_passes):
        for row in range(height - most_shift, most_shift, -1):
            for column in range(width - most_shift, most_shift, -1):
                here = row * width + column
                there = here + flat_shifts[step, row, column]
                moved = order_PN[there, columns]
                order_PN[there, columns] = order_PN[here]
                order_PN[here] = moved
    flat = images.reshape(number, height * width, channels)
    return np.take_along_axis(flat, order_PN.T[:, :, None], axis=1).reshape(images.shape)


def blur_by_motion(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Average along a line up to 45 degrees from the horizontal, with a Gaussian's falling weights."""
    angles = np.array([draw.uniform(-45, 45) for draw in draws])
    return move(images, round(constants[0]), constants[1], np.deg2rad(angles))


def move(images: Images, radius: int, sd: float, angles_N: NDArray[np.float64]) -> Images:
    """Average each pixel with those ahead of it in a direction; borders are repeated.

    Args:
        images: [N, H, W, C].
        radius: half the most pixels ahead.
        sd: of the weights, in pixels.
        angles_N: in radians, clockwise from the right.
    """
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sd**2))
    weights = weights[weights >= _LEAST_WEIGHT]
    numbers, (height, width) = np.arange(len(images))[:, None, None], images.shape[1:3]
    moved = np.zeros_like(images)
    for distance, weight in enumerate(weights / weights.sum()):
        down_N, right_N = (np.rint(distance * part(angles_N)).astype(int) for part in (np.sin, np.cos))
        rows = np.clip(np.arange(height) + down_N[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right_N[:, None], 0, width - 1)
        moved += weight * images[numbers, rows[:, :, None], columns[:, None, :]]
    return moved


def blur_by_zoom(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Average the image with itself zoomed in by factors from 1 on."""
    largest, step = constants
    factors = np.linspace(1, largest, round((largest - 1) / step) + 1)
    total = images + sum(zoom(images, factor) for factor in factors)
    return np.asarray(total / (len(factors) + 1))


def zoom(images: Images, factor: float) -> Images:
    """Zoom in on the middle by linear interpolation; the size stays."""
    rows, columns = (_make_zoom(size, factor) for size in images.shape[1:3])
    channels_first = images.transpose(0, 3, 1, 2)
    return np.asarray((rows @ channels_first @ columns.T).transpose(0, 2, 3, 1))


def _make_zoom(size: int, factor: float) -> NDArray[np.float64]:
    """Return the matrix that zooms in on a line of pixels."""
    middle = (size - 1) / 2
    distances = np.abs((middle + (np.arange(size) - middle) / factor)[:, None] - np.arange(size))
    return np.asarray(np.maximum(0.0, 1.0 - distances))
