"""Changes of light, shape and storage: brightness, contrast, elastic transform, pixelation, JPEG compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.corruptions.noise import Draws, Images

if TYPE_CHECKING:
    from PIL import Image


def brighten(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Add to the value of every pixel in HSV; hue and saturation stay, so its channels keep their proportions."""
    value = images.max(axis=-1, keepdims=True)
    brighter = np.clip(value + constants[0], 0, 1)
    return np.asarray(np.where(value > 0, images / np.where(value > 0, value, 1) * brighter, brighter))


def reduce_contrast(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Move every value towards its channel's mean in the image."""
    means = images.mean(axis=(1, 2), keepdims=True)
    return np.asarray(means + constants[0] * (images - means))


def transform_elastically(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Shift three points at random, for an affine map, and every pixel by a smooth random displacement."""
    from scipy.ndimage import map_coordinates

    height, width = images.shape[1:3]
    unit = min(height, width)
    alpha, smooth, most_shift = (unit * constant for constant in constants)
    transformed = np.empty_like(images)
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")).astype(np.float64)
    for number, draw in enumerate(draws):
        back = _draw_affine(height, width, most_shift, draw)
        displaced = grid + alpha * _smooth(draw.uniform(-1, 1, (2, height, width)), smooth)
        places = np.tensordot(back[:, :2], displaced, axes=1) + back[:, 2, None, None]
        for channel in range(images.shape[-1]):
            image = images[number, :, :, channel]
            transformed[number, :, :, channel] = map_coordinates(image, places, order=1, mode="reflect")
    return transformed


def _draw_affine(height: int, width: int, most_shift: float, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return the map [2, 3] of a pixel (row, column, 1) to where it comes from, by three points of a square shifted."""
    reach = min(height, width) // 3 or 1
    middle = np.array([height // 2, width // 2])
    points = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    shifted = points + draw.uniform(-most_shift, most_shift, (3, 2))
    return np.asarray(np.linalg.solve(np.column_stack([shifted, np.ones(3)]), points).T)


def _smooth(noise: NDArray[np.float64], sd: float) -> NDArray[np.float64]:
    """Filter planes [n, H, W] by a Gaussian with reflected borders; by the cosine transform, for sd may be large."""
    from scipy.fft import dctn, idctn

    frequencies = (np.pi * np.arange(size) / size for size in noise.shape[1:])
    rows, columns = (np.exp(-((sd * frequency) ** 2) / 2) for frequency in frequencies)
    return np.asarray(idctn(dctn(noise, axes=(1, 2)) * rows[:, None] * columns, axes=(1, 2)))


def pixelate(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Shrink the image and enlarge it again, both by averaging over boxes."""
    from PIL import Image

    height, width = images.shape[1:3]
    coarse = (max(1, int(width * constants[0])), max(1, int(height * constants[0])))
    box = Image.Resampling.BOX
    return _change(images, lambda picture: picture.resize(coarse, box).resize((width, height), box))


def compress(images: Images, constants: Sequence[float], draws: Draws) -> Images:
    """Store the image as JPEG of low quality, and read it."""
    from PIL import Image

    def store(picture: Image.Image) -> Image.Image:
        file = BytesIO()
        picture.save(file, "JPEG", quality=round(constants[0]))
        return Image.open(file)

    return _change(images, store)


def _change(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    from PIL import Image

    pixels = np.rint(255 * images).astype(np.uint8)
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    changed = np.stack([np.asarray(change(Image.fromarray(picture))) for picture in flat])
    return changed.reshape(images.shape) / 255.0
