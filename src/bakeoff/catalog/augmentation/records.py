"""The registry of augmentation steps, and the shape of an image after a chain of them. Records without torch.

To add one: a settings class in steps.py and an entry in AUGMENTATIONS, which names its functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from bakeoff.catalog.augmentation.steps import (
    MAX_NUM_OPS,
    Affine,
    AlternatingFlip,
    AugmentationStep,
    CenterCrop,
    ColorJitter,
    Erasing,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Normalize,
    Pad,
    RandAugment,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Rotation,
    TrivialAugment,
    VerticalFlip,
)
from bakeoff.catalog.augmentation.values import StatisticsName
from bakeoff.catalog.choices import RegistryEntry, choose_from
from bakeoff.catalog.networks.shapes import Shape, format_shape
from bakeoff.errors import NetworkError, NetworkFitError
from bakeoff.registry import Implementation, Registry

AnyAugmentation: TypeAlias = AugmentationStep
"""The settings of any registered step."""


@dataclass(frozen=True)
class AugmentationRecord(RegistryEntry[AugmentationStep]):
    """One step that a study can name.

    Images are (N, H, W, C), uint8 or float32 in [0, 1], and are not modified in place.

    Attributes:
        train: `module:function` of settings, images_NHWC and draws_ND (uniform from 0 to 1), used in training. Empty if
            nothing is random: training then uses `evaluate`.
        num_draws: random numbers per image.
        evaluate: `module:function` of settings and images_NHWC, used in evaluation. Empty if it does nothing.
        draws_once: whether an image's numbers are drawn once, and shifted by 0.5, modulo 1, after every epoch.
    """

    train: Implementation = ""
    num_draws: int = 0
    evaluate: Implementation = ""
    draws_once: bool = False


_GEOMETRY = "bakeoff.engine.augment.geometry"
_RESIZED_CROP = "bakeoff.engine.augment.resized_crop"
_AUTO = "bakeoff.engine.augment.auto_augment"
_INTENSITY = "bakeoff.engine.augment.intensity"
_KRIZHEVSKY = "Krizhevsky, Sutskever and Hinton (2012), ImageNet classification with deep convolutional neural networks"
_SIMARD = "Simard, Steinkraus and Platt (2003), Best practices for convolutional neural networks"
_COMMON = "common practice"

_OURS: tuple[AugmentationRecord, ...] = (
    AugmentationRecord(
        "resize",
        "resizes to a fixed size: nearest, bilinear or bicubic, antialiased",
        "Keys (1981)",
        Resize,
        evaluate=f"{_GEOMETRY}:resize",
    ),
    AugmentationRecord(
        "pad",
        "adds pixels on all sides: black, the edge's or the mirror image's",
        _COMMON,
        Pad,
        evaluate=f"{_GEOMETRY}:pad",
    ),
    AugmentationRecord("center_crop", "crops the middle", _COMMON, CenterCrop, evaluate=f"{_GEOMETRY}:center_crop"),
    AugmentationRecord(
        "random_crop",
        "crops a random part, optionally padded first; in evaluation the middle",
        _KRIZHEVSKY,
        RandomCrop,
        train=f"{_GEOMETRY}:random_crop",
        num_draws=2,
        evaluate=f"{_GEOMETRY}:crop_without_drawing",
    ),
    AugmentationRecord(
        "random_resized_crop",
        "crops a part of random size and aspect ratio and resizes it; in evaluation the middle",
        "Szegedy, Liu, Jia et al. (2015), Going deeper with convolutions",
        RandomResizedCrop,
        train=f"{_RESIZED_CROP}:crop_and_resize",
        num_draws=22,
        evaluate=f"{_RESIZED_CROP}:crop_middle",
    ),
    AugmentationRecord(
        "horizontal_flip",
        "mirrors left and right",
        _KRIZHEVSKY,
        HorizontalFlip,
        train=f"{_GEOMETRY}:flip_columns",
        num_draws=1,
    ),
    AugmentationRecord(
        "alternating_flip",
        "mirrors half of the images, the other half in the next epoch",
        "Jordan (2024), 94% on CIFAR-10 in 3.29 seconds on a single GPU, section 3.6",
        AlternatingFlip,
        train=f"{_GEOMETRY}:flip_chosen",
        num_draws=1,
        draws_once=True,
    ),
    AugmentationRecord(
        "vertical_flip", "mirrors top and bottom", _COMMON, VerticalFlip, train=f"{_GEOMETRY}:flip_rows", num_draws=1
    ),
    AugmentationRecord(
        "rotation", "rotates about the centre", _SIMARD, Rotation, train=f"{_GEOMETRY}:rotate", num_draws=2
    ),
    AugmentationRecord(
        "affine", "rotates, shifts, scales and shears", _SIMARD, Affine, train=f"{_GEOMETRY}:transform", num_draws=7
    ),
    AugmentationRecord(
        "gaussian_blur",
        "blurs with a Gaussian of random width",
        "Chen, Kornblith, Norouzi and Hinton (2020), A simple framework for contrastive learning",
        GaussianBlur,
        train=f"{_INTENSITY}:blur",
        num_draws=2,
    ),
    AugmentationRecord(
        "color_jitter",
        "changes brightness, contrast, saturation and hue",
        "Howard (2013), Some improvements on deep convolutional neural network based image classification",
        ColorJitter,
        train=f"{_INTENSITY}:jitter",
        num_draws=5,
    ),
    AugmentationRecord(
        "grayscale",
        "converts to grey, with three channels",
        "Chen, Kornblith, Norouzi and Hinton (2020), A simple framework for contrastive learning",
        Grayscale,
        train=f"{_INTENSITY}:grey",
        num_draws=1,
    ),
    AugmentationRecord(
        "trivial_augment",
        "changes each image by one of 14 operations, at a random strength",
        "Müller and Hutter (2021), TrivialAugment: tuning-free yet state-of-the-art data augmentation; torchvision's "
        "TrivialAugmentWide",
        TrivialAugment,
        train=f"{_AUTO}:trivial_augment",
        num_draws=3,
    ),
    AugmentationRecord(
        "rand_augment",
        "changes each image by several of 14 operations, at one strength",
        "Cubuk, Zoph, Shlens and Le (2020), RandAugment: practical automated data augmentation with a reduced search "
        "space; torchvision's RandAugment",
        RandAugment,
        train=f"{_AUTO}:rand_augment",
        num_draws=2 * MAX_NUM_OPS,
    ),
    AugmentationRecord(
        "erasing",
        "sets a random rectangle to zero",
        "Zhong, Zheng, Kang, Li and Yang (2020), Random erasing data augmentation",
        Erasing,
        train=f"{_INTENSITY}:erase",
        num_draws=5,
    ),
    AugmentationRecord("normalize", "subtracts a mean and divides by a standard deviation", _COMMON, Normalize),
)

AUGMENTATIONS: Registry[AugmentationRecord] = Registry("augmentation", _OURS, "bakeoff.augmentations")

AugmentationChoice: TypeAlias = Annotated[AnyAugmentation, choose_from(AUGMENTATIONS)]
"""One step in a recipe: a bare name if all settings have defaults, a mapping of a name and settings, or a record."""


def has_draws(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step is random; if none is, training uses the same images as evaluation."""
    return any(AUGMENTATIONS.find(choice.name).train for choice in choices)


def needs_statistics(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step needs the mean and standard deviation of the training images."""
    return any(isinstance(choice, Normalize) and "data" in (choice.mean, choice.sd) for choice in choices)


def normalizes_as(choices: Sequence[AnyAugmentation], name: StatisticsName) -> bool:
    """Return whether any step normalizes with the statistics of this name."""
    return any(isinstance(choice, Normalize) and choice.mean == name for choice in choices)


def normalizes_as_imagenet(choices: Sequence[AnyAugmentation]) -> bool:
    """Return whether any step normalizes with ImageNet's statistics, which have three channels."""
    return normalizes_as(choices, "imagenet")


def trace_augmentation(choices: Sequence[AnyAugmentation], shape_HWC: Shape) -> Shape:
    """Trace an image's shape through the steps.

    Args:
        choices: the steps, first to last.
        shape_HWC: height, width, channels of the stored images.

    Returns:
        The shape that reaches the network, the same in training and in evaluation.

    Raises:
        NetworkError: a step does not fit its input; names the step (counted from 1) and its input.
    """
    shape = tuple(shape_HWC)
    for number, choice in enumerate(choices, start=1):
        try:
            shape = choice.resulting_shape(shape)
        except NetworkError as error:
            title = f"augmentation step {number} ({choice.name}) on {format_shape(shape)} images"
            raise NetworkFitError(f"{title}: {error}.") from None
    return shape
