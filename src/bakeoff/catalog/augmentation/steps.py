"""The settings of every augmentation step, and an image's shape (height, width, channels) after it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.augmentation.values import (
    INCOMPATIBLE,
    Amount,
    Angle,
    Center,
    Deviations,
    Fill,
    HueShift,
    Interpolation,
    Means,
    OddExtent,
    Range,
    Share,
    ShareRange,
    Shares,
    Size,
    Slants,
    Strength,
)
from bakeoff.catalog.choices import Record
from bakeoff.catalog.networks.shapes import Shape, format_shape
from bakeoff.errors import NetworkFitError

_SIZE = "Size of the result, in pixels: [height, width], or one number for a square."
_FILL = "How the outside is filled: zero (black), edge (the nearest pixel) or reflect (the mirror image)."
_PROBABILITY = "Probability that the step is applied to an image."
_BINS = "Number of strengths, from none to the largest."
_INTERPOLATION = "Interpolation method of shears, translations and rotations."
_DEGREES = "Largest rotation either way, in degrees; the angle is drawn uniformly."


MAX_NUM_OPS = 10
"""Operations of one RandAugment step."""

NumBins: TypeAlias = Annotated[int, Field(strict=True, ge=2, le=1_000)]


class AugmentationStep(Record):
    """An augmentation step."""

    name: str

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step.

        Raises:
            NetworkError: the step does not fit images of this shape; gives the reason and the remedy.
        """
        return shape_HWC


class Resize(AugmentationStep):
    """Resize to a fixed size; the aspect ratio is not kept."""

    name: Literal["resize"] = "resize"
    size: Size = Field(description=_SIZE)
    interpolation: Interpolation = Field(default="bilinear", description="Interpolation method.")
    antialias: bool = Field(
        default=True,
        strict=True,
        description="Whether to apply an anti-aliasing filter when shrinking; nearest never does.",
    )

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        return (*self.size, shape_HWC[2])


class Pad(AugmentationStep):
    """Add pixels on all four sides."""

    name: Literal["pad"] = "pad"
    amount: Amount = Field(description="Pixels added on each side.")
    fill: Fill = Field(default="zero", description=_FILL)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        return _pad_shape(shape_HWC, self.amount, self.fill)


class CenterCrop(AugmentationStep):
    """Crop the middle of the image."""

    name: Literal["center_crop"] = "center_crop"
    size: Size = Field(description=_SIZE)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        return _crop_shape(shape_HWC, self.size, "make it smaller, or resize or pad before it")


class RandomCrop(AugmentationStep):
    """Crop a random part of the image, optionally padded first; in evaluation, the middle of the unpadded image."""

    name: Literal["random_crop"] = "random_crop"
    size: Size = Field(description=_SIZE)
    padding: Amount = Field(default=0, description="Pixels added on each side before cropping.")
    fill: Fill = Field(default="zero", description=_FILL)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        padded_HWC = _pad_shape(shape_HWC, self.padding, self.fill)
        return _crop_shape(padded_HWC, self.size, "make it smaller, or pad more")


class RandomResizedCrop(AugmentationStep):
    """Crop a part of random size, aspect ratio and place, and resize it; in evaluation, the middle of the image."""

    name: Literal["random_resized_crop"] = "random_resized_crop"
    size: Size = Field(description=_SIZE)
    scale: ShareRange = Field(
        default=(0.08, 1.0), description="[min, max] of the part's area, as a fraction of the image; drawn uniformly."
    )
    ratio: Range = Field(
        default=(3 / 4, 4 / 3), description="[min, max] of the part's width divided by its height, drawn log-uniformly."
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        default="bilinear", description="Interpolation method, always antialiased."
    )
    center: Center = Field(
        default=0.875,
        description="In evaluation, the side of the middle part that is kept, as a fraction of the largest part with "
        "the result's aspect ratio; 0.875 is 224 of 256 pixels.",
    )

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        return (*self.size, shape_HWC[2])


class HorizontalFlip(AugmentationStep):
    """Mirror left and right."""

    name: Literal["horizontal_flip"] = "horizontal_flip"
    probability: Share = Field(default=0.5, description=_PROBABILITY)


class AlternatingFlip(AugmentationStep):
    """Mirror half of the images left and right, the other half in the next epoch, and so on.

    Each image's first orientation is drawn once, so over two epochs every image is seen in both;
    `horizontal_flip` shows half of the images twice in the same one.
    """

    name: Literal["alternating_flip"] = "alternating_flip"


class VerticalFlip(AugmentationStep):
    """Mirror top and bottom."""

    name: Literal["vertical_flip"] = "vertical_flip"
    probability: Share = Field(default=0.5, description=_PROBABILITY)


class Rotation(AugmentationStep):
    """Rotate the image about its centre."""

    name: Literal["rotation"] = "rotation"
    degrees: Angle = Field(description=_DEGREES)
    interpolation: Literal["nearest", "bilinear"] = Field(default="bilinear", description="Interpolation method.")
    fill: Fill = Field(default="zero", description=_FILL)
    probability: Share = Field(default=1.0, description=_PROBABILITY)


class Affine(AugmentationStep):
    """Rotate, shift, scale and shear the image about its centre."""

    name: Literal["affine"] = "affine"
    degrees: Angle = Field(default=0.0, description=_DEGREES)
    translate: Shares = Field(
        default=(0.0, 0.0), description="Largest shift, as a fraction of [width, height]; one number for both."
    )
    scale: Range = Field(default=(1.0, 1.0), description="[min, max] of the scale factor.")
    shear: Slants = Field(
        default=(0.0, 0.0),
        description="Largest shear [along rows, along columns], in degrees; one number: along rows only.",
    )
    interpolation: Literal["nearest", "bilinear"] = Field(default="bilinear", description="Interpolation method.")
    fill: Fill = Field(default="zero", description=_FILL)
    probability: Share = Field(default=1.0, description=_PROBABILITY)


class GaussianBlur(AugmentationStep):
    """Blur with a Gaussian kernel; the border is reflected."""

    name: Literal["gaussian_blur"] = "gaussian_blur"
    kernel: OddExtent = Field(default=3, description="Kernel size, in pixels; an odd number.")
    sigma: Range = Field(default=(0.1, 2.0), description="[min, max] of the Gaussian's standard deviation, in pixels.")
    probability: Share = Field(default=1.0, description=_PROBABILITY)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        _check_mirror(shape_HWC, self.kernel // 2, "make its kernel smaller")
        return shape_HWC


class ColorJitter(AugmentationStep):
    """Change brightness, contrast, saturation, then hue; the last two leave grey images as they are."""

    name: Literal["color_jitter"] = "color_jitter"
    brightness: Strength = Field(
        default=0.0, description="The brightness factor is drawn uniformly from max(0, 1 - value) to 1 + value."
    )
    contrast: Strength = Field(
        default=0.0, description="The contrast factor, relative to the image's mean grey, is drawn from the same range."
    )
    saturation: Strength = Field(
        default=0.0, description="The saturation factor, relative to each pixel's grey, is drawn from the same range."
    )
    hue: HueShift = Field(default=0.0, description="Largest hue shift either way, as a fraction of the colour circle.")
    probability: Share = Field(default=1.0, description=_PROBABILITY)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        _check_colour(shape_HWC)
        return shape_HWC


class Grayscale(AugmentationStep):
    """Turn the image grey; it keeps its three channels."""

    name: Literal["grayscale"] = "grayscale"
    probability: Share = Field(default=0.1, description=_PROBABILITY)

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        _check_colour(shape_HWC)
        return shape_HWC


class TrivialAugment(AugmentationStep):
    """TrivialAugment (wide): one of 14 operations per image, at a strength drawn for it."""

    name: Literal["trivial_augment"] = "trivial_augment"
    num_magnitude_bins: NumBins = Field(default=31, description=_BINS)
    interpolation: Literal["nearest", "bilinear"] = Field(default="nearest", description=_INTERPOLATION)


class RandAugment(AugmentationStep):
    """RandAugment: several of 14 operations per image, all at the same strength."""

    name: Literal["rand_augment"] = "rand_augment"
    num_ops: int = Field(
        default=2, strict=True, ge=1, le=MAX_NUM_OPS, description="Operations per image, one after the other."
    )
    num_magnitude_bins: NumBins = Field(default=31, description=_BINS)
    magnitude: int = Field(
        default=9, strict=True, ge=0, description="Strength of the operations, from 0, below num_magnitude_bins."
    )
    interpolation: Literal["nearest", "bilinear"] = Field(default="nearest", description=_INTERPOLATION)

    @model_validator(mode="after")
    def _check_magnitude(self) -> RandAugment:
        if self.magnitude >= self.num_magnitude_bins:
            message = "magnitude must be below num_magnitude_bins, {bins}"
            raise PydanticCustomError(INCOMPATIBLE, message, {"bins": self.num_magnitude_bins})
        return self


class Erasing(AugmentationStep):
    """Set a random rectangle to zero."""

    name: Literal["erasing"] = "erasing"
    probability: Share = Field(default=0.5, description=_PROBABILITY)
    area: ShareRange = Field(
        default=(0.02, 0.33), description="[min, max] of the rectangle's area, as a fraction of the image."
    )
    ratio: Range = Field(
        default=(0.3, 3.3),
        description="[min, max] of the rectangle's height divided by its width, drawn log-uniformly.",
    )


class Normalize(AugmentationStep):
    """Subtract the mean and divide by the standard deviation of each channel."""

    name: Literal["normalize"] = "normalize"
    mean: Means = Field(
        default="data",
        description="Mean to subtract: one number, one per channel, imagenet, data (of the training images), or "
        "pretrained (that of the images on which the network's published weights were trained).",
    )
    sd: Deviations = Field(
        default="data",
        description="Standard deviation to divide by, given like mean; pixel values are from 0 to 1 before.",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_name(cls, value: object) -> object:
        if not isinstance(value, Mapping) or len(value.keys() & {"mean", "sd"}) != 1:
            return value
        given = value.get("mean", value.get("sd"))
        return {**value, "mean": given, "sd": given} if isinstance(given, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> Normalize:
        named = [value for value in (self.mean, self.sd) if isinstance(value, str)]
        if named and self.mean != self.sd:
            raise PydanticCustomError(INCOMPATIBLE, "mean and sd must both be numbers, or both the same name")
        if not named and len({len(self.mean), len(self.sd)} - {1}) > 1:
            raise PydanticCustomError(INCOMPATIBLE, "mean and sd need one number per channel each, or one for all")
        return self

    def resulting_shape(self, shape_HWC: Shape) -> Shape:
        """Return the shape of an image after this step."""
        for values in (self.mean, self.sd):
            if values == "imagenet" and shape_HWC[2] not in (1, 3):
                raise NetworkFitError("ImageNet's statistics have three channels: give one number per channel")
            if (
                not isinstance(values, str)
                and len(values) not in (1, shape_HWC[2])
                and not self._repeats_grey(shape_HWC)
            ):
                raise NetworkFitError(
                    f"has {len(values)} numbers for {shape_HWC[2]} channels: give one per channel, or one for all"
                )
        return (*shape_HWC[:2], 3) if self._repeats_grey(shape_HWC) else shape_HWC

    def _repeats_grey(self, shape_HWC: Shape) -> bool:
        """Return whether a grey image is repeated to three channels, because there are numbers for red, green, blue."""
        return shape_HWC[2] == 1 and 3 in (_count(self.mean), _count(self.sd))


def _count(values: Means | Deviations) -> int:
    return 1 if isinstance(values, str) else len(values)


def _pad_shape(shape_HWC: Shape, amount: int, fill: Fill) -> Shape:
    """Return the shape after padding; reflected padding must be smaller than the image."""
    if fill == "reflect":
        _check_mirror(shape_HWC, amount, "pad less, or fill: edge")
    height, width, channels = shape_HWC
    return height + 2 * amount, width + 2 * amount, channels


def _crop_shape(shape_HWC: Shape, size: tuple[int, int], remedy: str) -> Shape:
    height, width, channels = shape_HWC
    if size[0] > height or size[1] > width:
        raise NetworkFitError(f"{format_shape(size)} is larger than its input image, {height}x{width}: {remedy}")
    return *size, channels


def _check_mirror(shape_HWC: Shape, reach: int, remedy: str) -> None:
    if reach >= min(shape_HWC[:2]):
        sides = format_shape(shape_HWC[:2])
        raise NetworkFitError(f"reflecting {reach} pixels needs an image larger than {sides}: {remedy}")


def _check_colour(shape_HWC: Shape) -> None:
    if shape_HWC[2] not in (1, 3):
        raise NetworkFitError(f"needs grey or colour images, but these have {shape_HWC[2]} channels: leave it out")
