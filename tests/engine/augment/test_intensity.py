from __future__ import annotations

import colorsys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.steps import ColorJitter, Erasing, GaussianBlur, Grayscale, Normalize
from bakeoff.engine.augment import intensity
from bakeoff.engine.augment.draws import uniform
from bakeoff.engine.augment.geometry import Draws, scale_to_unit

MakePixels = Callable[..., Any]


def draw(num_draws: int, num_images: int = 8) -> Draws:
    return uniform(12, 1, np.arange(num_images), "test", 0, num_draws)


def to_planes(images_NHWC: Tensor) -> Tensor:
    return scale_to_unit(images_NHWC).permute(0, 3, 1, 2)


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_torchvisions(
    make_pixels: MakePixels, torchvision_functional: ModuleType, kernel: int, channels: int
) -> None:
    images, draws = torch.from_numpy(make_pixels(8, (28, 32), channels)), draw(2)
    blurred = to_planes(intensity.blur(GaussianBlur(kernel=kernel, sigma=(0.1, 2.0)), images, draws))
    for n, image in enumerate(to_planes(images)):
        sd = 0.1 + 1.9 * draws[n, 1]
        expected = torchvision_functional.gaussian_blur(image, [kernel, kernel], [sd, sd])
        torch.testing.assert_close(blurred[n], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_torchvisions(make_pixels: MakePixels, torchvision_functional: ModuleType, channels: int) -> None:
    choice = ColorJitter(brightness=0.5, contrast=0.6, saturation=0.7, hue=0.3)
    images, draws = torch.from_numpy(make_pixels(8, 28, channels)), draw(5)
    changed = to_planes(intensity.jitter(choice, images, draws))
    for n, image in enumerate(to_planes(images)):
        expected = torchvision_functional.adjust_brightness(image, 0.5 + draws[n, 1])
        expected = torchvision_functional.adjust_contrast(expected, 0.4 + 1.2 * draws[n, 2])
        expected = torchvision_functional.adjust_saturation(expected, 0.3 + 1.4 * draws[n, 3])
        expected = torchvision_functional.adjust_hue(expected, 0.3 * (2 * draws[n, 4] - 1))
        torch.testing.assert_close(changed[n], expected, rtol=0, atol=1e-3)


def test_a_factor_never_falls_below_zero(make_pixels: MakePixels) -> None:
    images = torch.from_numpy(make_pixels(8))
    least, greatest = np.zeros((8, 5)), np.ones((8, 5)) - 1e-16
    choice = ColorJitter(brightness=3.0)
    assert intensity.jitter(choice, images, least).max() == 0
    grey = intensity.jitter(ColorJitter(contrast=3.0), images, least)
    torch.testing.assert_close(grey, scale_to_unit(images).mean(dim=(1, 2, 3), keepdim=True).expand_as(grey))
    expected = (scale_to_unit(images) * 4).clamp(0, 1)
    assert torch.equal(intensity.jitter(choice, images, greatest), expected)


@pytest.mark.parametrize("shift", [0.0, 0.1, -0.25, 1 / 3, 0.5])
def test_hue_is_colorsyss(shift: float) -> None:
    colours = np.random.default_rng(1).random((1, 6, 6, 3)).astype(np.float32)
    colours[0, 0] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0.2, 0.7, 0.7]]
    shifted = intensity.shift_hue(torch.from_numpy(colours), torch.tensor([shift]).view(1, 1, 1, 1))
    for given, result in zip(colours.reshape(-1, 3), shifted.view(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*given)
        expected = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_grayscale_is_torchvisions(make_pixels: MakePixels, torchvision_functional: ModuleType) -> None:
    images = torch.from_numpy(make_pixels(8, 28, 3))
    made = to_planes(intensity.grey(Grayscale(probability=1), images, draw(1)))
    expected = torchvision_functional.rgb_to_grayscale(to_planes(images), num_output_channels=3)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_erasing_sets_one_rectangle_of_the_drawn_area_to_zero() -> None:
    images = torch.full((500, 28, 32, 1), 7, dtype=torch.uint8)
    erased = intensity.erase(Erasing(probability=0.6, area=(0.1, 0.3), ratio=(0.5, 2)), images, draw(5, 500))
    assert erased.dtype == torch.uint8
    is_zero = (erased == 0).squeeze(3).numpy()
    touched = is_zero.any(axis=(1, 2))
    assert abs(touched.mean() - 0.6) < 0.1
    for mask in is_zero[touched]:
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        np.testing.assert_array_equal(mask, np.outer(rows, columns))
        assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
        assert np.ptp(np.flatnonzero(columns)) + 1 == columns.sum()
        # Sides are rounded to whole pixels, of 6 or more: each by 8% at most.
        assert 0.1 * 0.85 <= mask.mean() <= 0.3 * 1.15
        assert 0.5 * 0.8 <= rows.sum() / columns.sum() <= 2 * 1.2


def test_erasing_reaches_every_pixel() -> None:
    images = torch.ones((2_000, 12, 12, 1), dtype=torch.uint8)
    erased = intensity.erase(Erasing(probability=1), images, draw(5, 2_000))
    assert (erased == 0).any(dim=0).all()


def test_erasing_of_more_than_the_image_is_cut_to_it() -> None:
    images = torch.ones((8, 10, 20, 1), dtype=torch.uint8)
    erased = intensity.erase(Erasing(probability=1, area=(1, 1), ratio=(1, 1)), images, draw(5))
    assert ((erased == 0).sum(dim=(1, 2, 3)) == 10 * 14).all()  # sqrt(200) = 14.1 each side, of 10 rows


def test_normalize_is_torchvisions(make_pixels: MakePixels, torchvision_functional: ModuleType) -> None:
    images = torch.from_numpy(make_pixels(8, 28, 3))
    made = to_planes(intensity.normalize(Normalize(mean="imagenet", sd="imagenet"), images, None))
    expected = torchvision_functional.normalize(to_planes(images), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_normalize_by_the_data_gives_mean_0_and_sd_1(make_pixels: MakePixels) -> None:
    pixels = make_pixels(64, 28, 3) // np.array([1, 2, 3], dtype=np.uint8)
    statistics = (pixels.mean(axis=(0, 1, 2)) / 255, pixels.std(axis=(0, 1, 2)) / 255)
    made = intensity.normalize(Normalize(), torch.from_numpy(pixels), statistics)
    torch.testing.assert_close(made.mean(dim=(0, 1, 2)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(made.std(dim=(0, 1, 2)), torch.ones(3), rtol=0, atol=1e-4)


def test_normalize_takes_the_average_of_imagenet_for_grey(make_pixels: MakePixels) -> None:
    images = torch.from_numpy(make_pixels(2))
    made = intensity.normalize(Normalize(mean="imagenet", sd="imagenet"), images, None)
    torch.testing.assert_close(made, (scale_to_unit(images) - 0.449) / 0.226, rtol=0, atol=1e-5)


def test_normalize_survives_a_channel_that_never_changes() -> None:
    images = torch.zeros((2, 4, 4, 1), dtype=torch.uint8)
    assert torch.equal(intensity.normalize(Normalize(), images, ([0.0], [0.0])), torch.zeros(2, 4, 4, 1))


def test_normalize_without_the_datas_statistics_says_so(make_pixels: MakePixels) -> None:
    with pytest.raises(ValueError, match="mean and sd"):
        intensity.normalize(Normalize(), torch.from_numpy(make_pixels()), None)
