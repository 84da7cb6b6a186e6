"""Noise of a sensor: Gaussian in low light, shot noise of photons, impulses of faulty bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float64]
"""Images [N, H, W, C] of 0..1."""

Draws = Sequence[np.random.Generator]
"""One generator per image."""


def add_gaussian_noise(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Add independent normal noise to every value."""
    (sd,) = constants
    return images + sd * np.stack([draw.standard_normal(images.shape[1:]) for draw in draws])


def add_shot_noise(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Replace every value by a Poisson count of photons, in units of a white pixel's mean count."""
    (photons,) = constants
    counts = [draw.poisson(photons * image) for draw, image in zip(draws, images, strict=True)]
    return np.stack(counts) / photons


def add_impulse_noise(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Replace a fraction of the values, half by 0 and half by 1 (salt and pepper)."""
    (fraction,) = constants
    uniform = np.stack([draw.random(images.shape[1:]) for draw in draws])
    return np.where(uniform < fraction, uniform < fraction / 2, images)
