from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.augmentation.records import (
    AUGMENTATIONS,
    AugmentationChoice,
    AugmentationRecord,
    has_draws,
    needs_statistics,
    trace_augmentation,
)
from bakeoff.catalog.augmentation.steps import (
    Affine,
    CenterCrop,
    GaussianBlur,
    HorizontalFlip,
    Normalize,
    Pad,
    RandomCrop,
    Resize,
    Rotation,
)
from bakeoff.catalog.choices import Record
from bakeoff.errors import NetworkError

CHOICES: TypeAdapter[Any] = TypeAdapter(tuple[AugmentationChoice, ...])


def refuse(step: object) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        CHOICES.validate_python([step])
    return [error["msg"] for error in caught.value.errors()]


@pytest.mark.parametrize("record", AUGMENTATIONS, ids=AUGMENTATIONS.names)
def test_an_entry_has_a_line_a_source_and_its_settings(record: AugmentationRecord) -> None:
    assert record.summary
    assert record.source
    assert "\n" not in record.summary
    assert record.settings.model_fields["name"].default == record.name
    assert issubclass(record.settings, Record)
    assert all(field.description for name, field in record.settings.model_fields.items() if name != "name")


def test_bare_names_need_no_settings() -> None:
    assert CHOICES.validate_python(["horizontal_flip"]) == (HorizontalFlip(),)


def test_bare_names_of_the_schema_are_those_without_required_settings() -> None:
    free = [
        record.name
        for record in AUGMENTATIONS
        if not any(field.is_required() for field in record.settings.model_fields.values())
    ]
    assert CHOICES.json_schema()["items"]["anyOf"][0]["enum"] == free


def test_one_number_means_a_square() -> None:
    (square,) = CHOICES.validate_python([{"name": "resize", "size": 32}])
    assert square == Resize(size=(32, 32))
    assert CHOICES.validate_python([{"name": "resize", "size": [32, 32]}]) == (square,)


def test_one_number_is_spelled_out_everywhere() -> None:
    affine = {"name": "affine", "translate": 0.1, "scale": 2, "shear": 5}
    assert CHOICES.validate_python([affine]) == (Affine(translate=(0.1, 0.1), scale=(2, 2), shear=(5, 0)),)
    assert CHOICES.validate_python([{"name": "gaussian_blur", "sigma": 1}]) == (GaussianBlur(sigma=(1, 1)),)
    assert CHOICES.validate_python([{"name": "normalize", "mean": 0.5, "sd": [1, 2, 3]}]) == (
        Normalize(mean=(0.5,), sd=(1, 2, 3)),
    )


@pytest.mark.parametrize("given", [{"mean": "imagenet"}, {"sd": "imagenet"}])
def test_named_statistics_come_as_a_pair(given: dict[str, str]) -> None:
    (made,) = CHOICES.validate_python([{"name": "normalize", **given}])
    assert (made.mean, made.sd) == ("imagenet", "imagenet")


def test_steps_survive_json() -> None:
    steps = CHOICES.validate_python(
        ["normalize", {"name": "affine", "scale": [0.5, 1]}, {"name": "normalize", "mean": 0, "sd": 1}]
    )
    assert CHOICES.validate_json(CHOICES.dump_json(steps)) == steps
    assert len({*steps}) == 3  # hashable, so cohorts can be keyed by them


def test_a_wrong_name_is_answered_with_the_names_and_the_nearest() -> None:
    (message,) = refuse("horizontal_flop")
    assert "'horizontal_flop'" in message
    assert " resize, pad," in message
    assert message.endswith("'horizontal_flip'?")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "affine", "scale": [2, 1]}, "a range must be [min, max], with the smaller number first"),
        ({"name": "erasing", "area": [0.5, 0.1]}, "a range must be [min, max], with the smaller number first"),
        ({"name": "gaussian_blur", "kernel": 4}, "the side of a kernel must be an odd number"),
        ({"name": "normalize", "mean": "imgnet"}, "unknown statistics 'imgnet'. Allowed: imagenet, data, pretrained."),
        ({"name": "normalize", "mean": []}, "at least one is required"),
        ({"name": "normalize", "mean": [1, 2], "sd": [1, 2, 3]}, "mean and sd need one number per channel each"),
        ({"name": "normalize", "mean": 1}, "mean and sd must both be numbers, or both the same name"),
        (
            {"name": "normalize", "mean": "data", "sd": "imagenet"},
            "mean and sd must both be numbers, or both the same name",
        ),
        ({"name": "normalize", "mean": 0, "sd": 0}, "Input should be greater than 0"),
        ({"name": "resize", "size": 0}, "Input should be greater than or equal to 1"),
        ({"name": "resize", "size": True}, "Input should be a valid integer"),
        ({"name": "resize", "size": [1, 2, 3]}, "Tuple should have at most 2 items"),
        ({"name": "resize"}, "Field required"),
        ({"name": "horizontal_flip", "probability": 1.5}, "Input should be less than or equal to 1"),
        ({"name": "rotation", "degrees": -1}, "Input should be greater than or equal to 0"),
        ({"name": "rotation", "degrees": 10, "interpolation": "bicubic"}, "Input should be 'nearest' or 'bilinear'"),
        ({"name": "affine", "degrees": 1, "angle": 1}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_named(step: dict[str, object], message: str) -> None:
    messages = refuse(step)
    assert all(text.startswith(message) for text in messages), messages


def test_shapes_follow_the_steps() -> None:
    steps = CHOICES.validate_python(
        [
            {"name": "resize", "size": [70, 60]},
            {"name": "random_crop", "size": 64, "padding": 4},
            {"name": "pad", "amount": 3},
            {"name": "center_crop", "size": [50, 40]},
            "color_jitter",
        ]
    )
    assert trace_augmentation(steps, (32, 32, 3)) == (50, 40, 3)
    assert trace_augmentation((), (28, 28, 1)) == (28, 28, 1)


@pytest.mark.parametrize(
    ("steps", "shape", "message"),
    [
        (
            (HorizontalFlip(), CenterCrop(size=64)),
            (32, 32, 3),
            "augmentation step 2 (center_crop) on 32x32x3 images: 64x64 is larger than its input image, 32x32: "
            "make it smaller, or resize or pad before it.",
        ),
        (
            (RandomCrop(size=40, padding=5),),
            (28, 28, 1),
            "step 1 (random_crop) .* 38x38: make it smaller, or pad",
        ),
        (
            (Pad(amount=28, fill="reflect"),),
            (28, 28, 1),
            "reflecting 28 pixels needs an image larger than 28x28",
        ),
        ((GaussianBlur(kernel=57),), (28, 28, 1), "reflecting 28 pixels .*: make its kernel smaller"),
        (
            (Normalize(mean=(1, 2, 3), sd=(1,)),),
            (28, 28, 4),
            "has 3 numbers for 4 channels: give one per channel, or one",
        ),
        (
            (Normalize(mean="imagenet", sd="imagenet"),),
            (28, 28, 4),
            "ImageNet's statistics have three channels",
        ),
    ],
)
def test_a_step_that_does_not_fit_is_named(steps: tuple[Any, ...], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message.replace("(", r"\(").replace(")", r"\)")):
        trace_augmentation(steps, shape)


def test_which_steps_draw_and_which_need_statistics() -> None:
    fixed = (Resize(size=32), Pad(amount=2), CenterCrop(size=28), Normalize())
    assert not has_draws(fixed)
    assert not has_draws(())
    assert has_draws((*fixed, Rotation(degrees=5)))
    assert needs_statistics(fixed)
    assert not needs_statistics((Normalize(mean=(0.5,), sd=(0.5,)), Normalize(mean="imagenet", sd="imagenet")))
