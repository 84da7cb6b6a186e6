"""The registry of augmentation steps, and what a chain of them does to an image's shape. Records without torch.

To add one: a settings class in steps.py, an entry in AUGMENTATIONS, its function in apply.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from bakeoff.errors import NetworkError
from bakeoff.networks.choices import RegistryEntry, collect_names, spell_out
from bakeoff.networks.shapes import Shape, format_shape
from bakeoff.training.augmentation.steps import (
    Affine,
    AlternatingFlip,
    CenterCrop,
    ColorJitter,
    Erasing,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    Pad,
    RandomCrop,
    Resize,
    Rotation,
    VerticalFlip,
)

AnyAugmentation: TypeAlias = (
    Resize
    | Pad
    | CenterCrop
    | RandomCrop
    | HorizontalFlip
    | AlternatingFlip
    | VerticalFlip
    | Rotation
    | Affine
    | GaussianBlur
    | ColorJitter
    | Grayscale
    | Erasing
    | Normalize
)


AugmentationRecord: TypeAlias = RegistryEntry[AnyAugmentation]
"""One step that a study can name."""


_KRIZHEVSKY = "Krizhevsky, Sutskever and Hinton (2012), ImageNet classification with deep convolutional neural networks"
_SIMARD = "Simard, Steinkraus and Platt (2003), Best practices for convolutional neural networks"
_COMMON = "common practice"

AUGMENTATIONS: tuple[AugmentationRecord, ...] = (
    AugmentationRecord("resize", "to one size: nearest, bilinear or bicubic, antialiased", "Keys (1981)", Resize),
    AugmentationRecord("pad", "adds pixels on all sides: black, the edge's or the mirror image's", _COMMON, Pad),
    AugmentationRecord("center_crop", "keeps the middle", _COMMON, CenterCrop),
    AugmentationRecord(
        "random_crop", "keeps a part, padded first if wanted; evaluation: the middle", _KRIZHEVSKY, RandomCrop
    ),
    AugmentationRecord("horizontal_flip", "mirrors left and right", _KRIZHEVSKY, HorizontalFlip),
    AugmentationRecord(
        "alternating_flip",
        "mirrors half of the images, the other half in the next epoch",
        "Jordan (2024), 94% on CIFAR-10 in 3.29 seconds on a single GPU, section 3.6",
        AlternatingFlip,
    ),
    AugmentationRecord("vertical_flip", "mirrors top and bottom", _COMMON, VerticalFlip),
    AugmentationRecord("rotation", "turns about the centre", _SIMARD, Rotation),
    AugmentationRecord("affine", "turns, shifts, scales and shears", _SIMARD, Affine),
    AugmentationRecord(
        "gaussian_blur",
        "blurs by a Gaussian of random width",
        "Chen, Kornblith, Norouzi and Hinton (2020), A simple framework for contrastive learning",
        GaussianBlur,
    ),
    AugmentationRecord(
        "color_jitter",
        "changes brightness, contrast, saturation and hue",
        "Howard (2013), Some improvements on deep convolutional neural network based image classification",
        ColorJitter,
    ),
    AugmentationRecord(
        "grayscale",
        "takes the colours away, keeps three channels",
        "Chen, Kornblith, Norouzi and Hinton (2020), A simple framework for contrastive learning",
        Grayscale,
    ),
    AugmentationRecord(
        "erasing",
        "sets a random rectangle to zero",
        "Zhong, Zheng, Kang, Li and Yang (2020), Random erasing data augmentation",
        Erasing,
    ),
    AugmentationRecord("normalize", "subtracts a mean and divides by a standard deviation", _COMMON, Normalize),
)

AUGMENTATION_NAMES: tuple[str, ...] = collect_names(AUGMENTATIONS)

_Tagged: TypeAlias = Annotated[AnyAugmentation, Field(discriminator="name")]

AugmentationChoice: TypeAlias = Annotated[
    _Tagged,
    BeforeValidator(
        partial(spell_out, kind="augmentation", allowed=AUGMENTATION_NAMES),
        json_schema_input_type=Literal[
            "horizontal_flip",
            "alternating_flip",
            "vertical_flip",
            "affine",
            "gaussian_blur",
            "color_jitter",
            "grayscale",
            "erasing",
            "normalize",
        ]
        | _Tagged,
    ),
]
"""One step in a recipe: a bare name where all settings have defaults, a mapping of a name and settings, or a record."""


def has_draws(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step is drawn anew every epoch; if none is, training sees the images evaluation sees."""
    return any(choice.draws for choice in choices)


def needs_statistics(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step asks for the mean and standard deviation of the training images."""
    return any(isinstance(choice, Normalize) and "data" in (choice.mean, choice.sd) for choice in choices)


def normalizes_as_imagenet(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step normalizes by ImageNet's statistics, which are of three channels."""
    return any(isinstance(choice, Normalize) and choice.mean == "imagenet" for choice in choices)


def trace_augmentation(choices: Sequence[AnyAugmentation], shape_HWC: Shape) -> Shape:
    """Follow an image's shape through the steps.

    Args:
        choices: the steps, first to last.
        shape_HWC: height, width, channels of the images as they are stored.

    Returns:
        The shape that reaches the network, the same in training and in evaluation.

    Raises:
        NetworkError: when a step cannot be done to what reaches it; names the step (counted from 1) and its input.
    """
    shape = tuple(shape_HWC)
    for number, choice in enumerate(choices, start=1):
        try:
            shape = choice.resulting_shape(shape)
        except NetworkError as error:
            title = f"augmentation step {number} ({choice.name}) on {format_shape(shape)} images"
            raise NetworkError(f"{title}: {error}.") from None
    return shape
