"""How the images were prepared on which a network's published weights were trained. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, red, green and blue, of pixels from 0 to 1."""


@dataclass(frozen=True)
class PretrainedConfig:
    """The preparation of the images on which published weights were trained.

    Attributes:
        mean: subtracted from each channel, of pixels from 0 to 1.
        sd: divided by, after that.
        size: height and width of the images, in pixels.
        interpolation: how they were resized.
        crop_ratio: side of the central crop that was evaluated, as a fraction of the resized image's side.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    size: tuple[int, int]
    interpolation: str
    crop_ratio: float

    def name_statistics(self) -> tuple[str, str] | tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and sd as the settings of `normalize`: `imagenet`, one number for all channels, or one each."""
        if (self.mean, self.sd) == (IMAGENET_MEAN, IMAGENET_SD):
            return "imagenet", "imagenet"
        return _shorten(self.mean), _shorten(self.sd)

    def describe(self) -> str:
        """Return the size, interpolation and crop in a few words."""
        height, width = self.size
        return f"{height}x{width} images ({self.interpolation}, central crop of {self.crop_ratio:.3g})"


def _shorten(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values[:1]) if len(set(values)) == 1 else tuple(values)
