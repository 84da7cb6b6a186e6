"""What every augmentation keeps, over the whole registry; a new entry needs an example here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from bakeoff.catalog.augmentation.records import (
    AUGMENTATIONS,
    AnyAugmentation,
    AugmentationChoice,
    has_draws,
    trace_augmentation,
)
from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.testing import check_augmentation

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "resize": [
        {"size": 32, "interpolation": "nearest"},
        {"size": [20, 36]},
        {"size": 40, "interpolation": "bicubic"},
        {"size": 17, "interpolation": "bicubic", "antialias": False},
    ],
    "pad": [{"amount": 2}, {"amount": 3, "fill": "edge"}, {"amount": 3, "fill": "reflect"}],
    "center_crop": [{"size": [21, 24]}],
    "random_crop": [{"size": 24}, {"size": 28, "padding": 4, "fill": "reflect"}, {"size": [30, 20], "padding": 2}],
    "random_resized_crop": [
        {"size": 24},
        {"size": [40, 20], "scale": [0.3, 0.9], "ratio": [0.5, 3], "interpolation": "bicubic"},
        {"size": 28, "scale": 0.5, "center": 1.0},
    ],
    "horizontal_flip": [{}],
    "alternating_flip": [{}],
    "vertical_flip": [{}],
    "rotation": [
        {"degrees": 30},
        {"degrees": 180, "interpolation": "nearest", "fill": "edge"},
        {"degrees": 30, "probability": 0.5},
    ],
    "affine": [{"degrees": 10, "translate": 0.1, "scale": [0.8, 1.2], "shear": [5, 5], "fill": "reflect"}],
    "gaussian_blur": [{}, {"kernel": 5, "sigma": [0.5, 1.5], "probability": 0.5}],
    "color_jitter": [{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2}, {"contrast": 2.0}],
    "grayscale": [{"probability": 0.5}],
    "trivial_augment": [{}, {"interpolation": "bilinear"}],
    "rand_augment": [{}, {"num_ops": 1, "magnitude": 30}],
    "erasing": [{}, {"probability": 1.0, "area": 0.5, "ratio": [0.1, 10]}],
    "normalize": [{}, {"mean": "imagenet"}, {"mean": 0.5, "sd": 0.5}],
}
CHOICE: TypeAdapter[AnyAugmentation] = TypeAdapter(AugmentationChoice)
STEPS = [CHOICE.validate_python({"name": name, **given}) for name, examples in EXAMPLES.items() for given in examples]
IDS = [f"{name}-{number}" for name, examples in EXAMPLES.items() for number in range(len(examples))]
SHAPES = [(28, 1), (32, 3)]
STATISTICS = {1: ([0.3], [0.2]), 3: ([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])}

every_step = pytest.mark.parametrize("step", STEPS, ids=IDS)
every_shape = pytest.mark.parametrize(("size", "channels"), SHAPES, ids=["28-grey", "32-colour"])


def make(size: int, channels: int, num_images: int = 16) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(size).integers(0, 256, (num_images, size, size, channels), dtype=np.uint8)


def is_left_alone(step: AnyAugmentation, channels: int) -> bool:
    return step.name == "grayscale" and channels == 1


def test_every_entry_has_an_example_and_a_function() -> None:
    assert tuple(EXAMPLES) == AUGMENTATIONS.names
    for record in AUGMENTATIONS:
        assert record.train or record.evaluate or record.settings is Normalize


@every_step
@every_shape
def test_shape_type_memory_and_range(step: AnyAugmentation, size: int, channels: int) -> None:
    augmenter = Augmenter((step,), 0, STATISTICS[channels])
    pixels = make(size, channels)
    before = pixels.copy()
    height, width, _ = trace_augmentation((step,), (size, size, channels))
    for images in (augmenter.train(pixels, np.arange(16), 1), augmenter.evaluate(pixels)):
        assert images.shape == (16, channels, height, width)
        assert images.dtype == torch.float32
        assert images.stride() == (height * width * channels, 1, width * channels, channels)
        assert torch.isfinite(images).all()
        if not isinstance(step, Normalize):
            assert images.min() >= 0
            assert images.max() <= 1
    np.testing.assert_array_equal(pixels, before)


@every_step
@every_shape
def test_a_function_of_seed_epoch_and_image(step: AnyAugmentation, size: int, channels: int) -> None:
    pixels, numbers = make(size, channels), np.arange(100, 116)
    train = Augmenter((step,), 3, STATISTICS[channels]).train
    images = train(pixels, numbers, 2)
    assert torch.equal(images, train(pixels, numbers, 2))
    others = [
        train(pixels, numbers, 3),
        train(pixels, numbers + 16, 2),
        Augmenter((step,), 4, STATISTICS[channels]).train(pixels, numbers, 2),
    ]
    for other in others:
        assert torch.equal(images, other) == (not has_draws([step]) or is_left_alone(step, channels))


@every_step
@every_shape
def test_every_step_keeps_its_contract(step: AnyAugmentation, size: int, channels: int) -> None:
    check_augmentation(AUGMENTATIONS.find(step.name), step, (size, size, channels), STATISTICS[channels])


@every_step
@every_shape
def test_two_images_of_one_batch_get_different_draws(step: AnyAugmentation, size: int, channels: int) -> None:
    pixels = np.repeat(make(size, channels, 1), 16, axis=0)
    images = Augmenter((step,), 0, STATISTICS[channels]).train(pixels, np.arange(16), 1)
    num_different = len(torch.unique(images.flatten(1), dim=0))
    if not has_draws([step]) or is_left_alone(step, channels):
        assert num_different == 1
    else:
        assert num_different >= 2


@every_step
def test_a_step_works_after_each_kind_of_another(step: AnyAugmentation) -> None:
    """Stored pixels, views of them, float32 and layouts that kernels left behind: all reach a step alike."""
    before = (
        CHOICE.validate_python({"name": "center_crop", "size": [29, 30]}),
        CHOICE.validate_python({"name": "rotation", "degrees": 0.0}),
    )
    pixels, numbers = make(32, 3), np.arange(16)
    statistics = STATISTICS[3]
    cropped = np.ascontiguousarray(pixels[:, 1:30, 1:31])
    expected = Augmenter((step,), 0, statistics).train(cropped, numbers, 1)
    after_crop = Augmenter((before[0], step), 0, statistics).train(pixels, numbers, 1)
    assert torch.equal(after_crop, expected)
    if step.name == "rotation":
        return  # the second rotation of a recipe draws other numbers
    after_rotation = Augmenter((*before, step), 0, statistics).train(pixels, numbers, 1)
    if step.name in (
        "resize",
        "random_resized_crop",
    ):  # stored images are rounded to whole levels, float32 ones are not
        assert (after_rotation - expected).abs().mean() < 1 / 255
    else:
        torch.testing.assert_close(after_rotation, expected, rtol=0, atol=1e-4)
