"""Weather: snow and fog. Frost needs photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.corruptions.blur import move, zoom
from bakeoff.data.corruptions.noise import Draws, Images

_LUMA = (0.299, 0.587, 0.114)


def add_snow(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Whiten the image, and add flakes that fall in one direction, and again turned around."""
    mean, sd, factor, threshold, radius, motion_sd, weight = constants
    noise = np.stack([draw.normal(mean, sd, images.shape[1:3]) for draw in draws])[..., None]
    angles = np.deg2rad([draw.uniform(-135, -45) for draw in draws])
    flakes = zoom(noise, factor)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    flakes = move(flakes, round(radius), motion_sd, angles)
    grey = images if images.shape[-1] == 1 else (images * _LUMA).sum(axis=-1, keepdims=True)
    whitened = weight * images + (1 - weight) * np.maximum(images, 1.5 * grey + 0.5)
    return np.asarray(whitened + flakes + np.rot90(flakes, 2, axes=(1, 2)))


def add_fog(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Add a fractal of 0..1, and scale so that the brightest value stays."""
    thickness, decay = constants
    height, width = images.shape[1:3]
    size = 2 ** int(np.ceil(np.log2(max(height, width, 2))))
    fog = make_plasma(size, decay, draws)[:, :height, :width, None]
    brightest = images.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray((images + thickness * fog) * brightest / (brightest + thickness))


def make_plasma(size: int, decay: float, draws: Draws) -> NDArray[np.float64]:
    """Return a periodic fractal per image by the diamond-square algorithm, scaled to 0..1: [N, size, size].

    Fournier, Fussell and Carpenter (1982), "Computer rendering of stochastic models". At every scale, the noise's
    amplitude is that of the next larger one over `decay` squared.

    Args:
        size: a power of 2.
        decay: of roughness.
        draws: one per image.
    """
    noise = np.stack([draw.uniform(-1, 1, (size, size)) for draw in draws])
    heights = np.zeros_like(noise)
    step, amplitude = size, 100.0**2
    while step >= 2:
        half = step // 2
        corners, middles = np.s_[:, ::step, ::step], np.s_[:, half::step, half::step]
        rows, columns = np.s_[:, ::step, half::step], np.s_[:, half::step, ::step]
        across = heights[corners] + np.roll(heights[corners], -1, axis=1)
        heights[middles] = (across + np.roll(across, -1, axis=2)) / 4 + amplitude * noise[middles]
        for places, axis in ((rows, 1), (columns, 2)):
            beside = heights[middles] + np.roll(heights[middles], 1, axis=axis)
            along = heights[corners] + np.roll(heights[corners], -1, axis=3 - axis)
            heights[places] = (beside + along) / 4 + amplitude * noise[places]
        step, amplitude = half, amplitude / decay**2
    heights -= heights.min(axis=(1, 2), keepdims=True)
    return np.asarray(heights / heights.max(axis=(1, 2), keepdims=True))
