"""Random resized crops, against torchvision's `resized_crop`, `get_params` by hand, and Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bakeoff.catalog.augmentation.records import AUGMENTATIONS
from bakeoff.catalog.augmentation.steps import RandomResizedCrop
from bakeoff.engine.augment import geometry, resized_crop
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.engine.augment.draws import uniform

MakePixels = Callable[..., Any]
CHOICES = [
    RandomResizedCrop(size=(24, 24)),
    RandomResizedCrop(size=(40, 21), scale=(0.2, 0.7), ratio=(0.5, 2.0), interpolation="bicubic"),
]


def draw(num_images: int) -> geometry.Draws:
    record = AUGMENTATIONS.find("random_resized_crop")
    return uniform(11, 1, np.arange(num_images), "test", 0, record.num_draws)


def get_params(choice: RandomResizedCrop, height: int, width: int, draws: list[float]) -> tuple[int, int, int, int]:
    """torchvision 0.28's `RandomResizedCrop.get_params`, with the given numbers in place of its own."""
    tries, (top, left) = iter(draws[:20]), draws[20:]
    log_ratio = [math.log(value) for value in choice.ratio]
    for _ in range(10):
        target_area = height * width * (choice.scale[0] + (choice.scale[1] - choice.scale[0]) * next(tries))
        aspect_ratio = math.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * next(tries))
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w
    in_ratio = float(width) / float(height)
    if in_ratio < min(choice.ratio):
        w, h = width, round(width / min(choice.ratio))
    elif in_ratio > max(choice.ratio):
        w, h = round(height * max(choice.ratio)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("sides", [(32, 32), (20, 90), (61, 17)])
@pytest.mark.parametrize(
    "settings",
    [{}, {"scale": (0.9, 1.0)}, {"ratio": (1.0, 1.0)}, {"scale": (0.001, 0.002)}, {"ratio": (3.0, 3.0), "scale": 1.0}],
)
def test_parts_are_those_of_torchvision(sides, settings) -> None:
    choice = RandomResizedCrop(size=8, **settings)
    draws = draw(500)
    boxes = resized_crop.draw_boxes(choice, *sides, draws)
    expected = [get_params(choice, *sides, numbers) for numbers in draws.tolist()]
    np.testing.assert_array_equal(boxes, expected)


def test_areas_are_uniform_and_ratios_log_uniform() -> None:
    boxes = resized_crop.draw_boxes(RandomResizedCrop(size=8, scale=(0.1, 0.5)), 4_000, 4_000, draw(20_000))
    areas, ratios = boxes[:, 2] * boxes[:, 3] / 4_000**2, np.log(boxes[:, 3] / boxes[:, 2])
    assert areas.mean() == pytest.approx(0.3, abs=0.003)
    assert areas.std() == pytest.approx(0.4 / math.sqrt(12), abs=0.003)
    assert ratios.mean() == pytest.approx(0, abs=0.005)
    assert np.abs(ratios).max() <= math.log(4 / 3) + 0.002
    assert (boxes[:, 0] / (4_000 - boxes[:, 2])).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("channels", [1, 3])
def test_resized_as_torchvision_does(
    make_pixels: MakePixels, torchvision_functional: ModuleType, choice: RandomResizedCrop, channels: int
) -> None:
    from torchvision.transforms import InterpolationMode

    pixels, draws = make_pixels(8, (48, 40), channels), draw(8)
    crops = resized_crop.crop_and_resize(choice, torch.from_numpy(pixels), draws)
    mode = InterpolationMode(choice.interpolation)
    boxes = resized_crop.draw_boxes(choice, 48, 40, draws)
    for image_HWC, result_HWC, box in zip(pixels, crops, boxes.tolist(), strict=True):
        image_CHW = torch.from_numpy(image_HWC).permute(2, 0, 1)
        expected = torchvision_functional.resized_crop(image_CHW, *box, list(choice.size), mode, antialias=True)
        difference = expected.permute(1, 2, 0).int() - result_HWC.int()
        assert difference.abs().max() <= 1
        assert (difference != 0).float().mean() < 0.02


@pytest.mark.parametrize(("choice", "kind"), list(zip(CHOICES, ["BILINEAR", "BICUBIC"], strict=True)))
def test_resized_as_pillow_does(make_pixels: MakePixels, choice: RandomResizedCrop, kind: str) -> None:
    pixels, draws = make_pixels(8, (48, 40), 3), draw(8)
    crops = resized_crop.crop_and_resize(choice, torch.from_numpy(pixels), draws).numpy()
    for image, crop, (top, left, height, width) in zip(
        pixels, crops, resized_crop.draw_boxes(choice, 48, 40, draws).tolist(), strict=True
    ):
        part = Image.fromarray(image[top : top + height, left : left + width])
        expected = np.asarray(part.resize(choice.size[::-1], Image.Resampling[kind]))
        assert np.abs(crop.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("sides", [(48, 40), (9, 70)])
def test_matrix_products_differ_by_rounding_only(make_pixels: MakePixels, choice: RandomResizedCrop, sides) -> None:
    images, draws = torch.from_numpy(make_pixels(16, sides, 3)), draw(16)
    boxes = resized_crop.draw_boxes(choice, *sides, draws)
    floats = resized_crop.resize_one_by_one(choice, geometry.scale_to_unit(images), boxes)
    products = resized_crop.resize_by_products(choice, images, boxes)
    assert (floats - products).abs().max() < 2e-5


def test_evaluation_crops_the_middle_as_resize_and_center_crop_do(make_pixels: MakePixels) -> None:
    pixels = make_pixels(3, 256, 3)
    images = Augmenter((RandomResizedCrop(size=224),), 0).evaluate(pixels)
    np.testing.assert_array_equal((images * 255).round().permute(0, 2, 3, 1).numpy(), pixels[:, 16:240, 16:240])


@pytest.mark.parametrize(
    ("sides", "size", "center", "box"),
    [
        ((100, 80), 10, 1.0, (10, 0, 80, 80)),
        ((100, 80), (10, 20), 0.5, (40, 20, 20, 40)),
        ((64, 64), 64, 0.875, (4, 4, 56, 56)),
        ((1, 1), 5, 0.1, (0, 0, 1, 1)),
    ],
)
def test_the_middle_has_the_results_aspect_ratio(sides, size, center, box) -> None:
    assert resized_crop.find_middle(RandomResizedCrop(size=size, center=center), *sides) == box


def test_a_whole_image_stays_as_it_is(make_pixels: MakePixels) -> None:
    pixels = make_pixels(4, 24, 3)
    choice = RandomResizedCrop(size=24, scale=1.0, ratio=1.0, center=1.0)
    for images in (Augmenter((choice,), 3).train(pixels, np.arange(4), 1), Augmenter((choice,), 3).evaluate(pixels)):
        np.testing.assert_array_equal((images * 255).round().permute(0, 2, 3, 1).numpy(), pixels)
