from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.steps import (
    Affine,
    CenterCrop,
    HorizontalFlip,
    Pad,
    RandomCrop,
    Resize,
    Rotation,
    VerticalFlip,
)
from bakeoff.engine.augment import geometry
from bakeoff.engine.augment.draws import uniform

MakePixels = Callable[..., Any]


def to_images(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels)


def to_planes(images_NHWC: Tensor) -> Tensor:
    return geometry.scale_to_unit(images_NHWC).permute(0, 3, 1, 2)


def draw(num_draws: int, num_images: int = 8) -> geometry.Draws:
    return uniform(11, 1, np.arange(num_images), "test", 0, num_draws)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(20, 36), (70, 70), (9, 11)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_torchvisions(
    make_pixels: MakePixels,
    torchvision_functional: ModuleType,
    interpolation: Any,
    antialias: bool,
    size: tuple[int, int],
    channels: int,
) -> None:
    from torchvision.transforms import InterpolationMode

    pixels = make_pixels(4, (32, 28), channels)
    resized = geometry.resize(Resize(size=size, interpolation=interpolation, antialias=antialias), to_images(pixels))
    assert resized.dtype == torch.uint8
    mode = InterpolationMode(interpolation)
    for image_HWC, result_HWC in zip(pixels, resized, strict=True):
        expected = torchvision_functional.resize(
            torch.from_numpy(image_HWC).permute(2, 0, 1), list(size), interpolation=mode, antialias=antialias
        )
        # torchvision may round by another kernel where an image stands alone: one level at most.
        difference = expected.permute(1, 2, 0).int() - result_HWC.int()
        assert difference.abs().max() <= 1
        assert (difference != 0).float().mean() < 0.02


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [20, 70])
def test_resize_of_floats_differs_by_rounding_only(
    make_pixels: MakePixels, interpolation: Any, antialias: bool, size: int
) -> None:
    images = to_images(make_pixels(4, 32, 3))
    choice = Resize(size=size, interpolation=interpolation, antialias=antialias)
    stored, floats = geometry.resize(choice, images), geometry.resize(choice, geometry.scale_to_unit(images))
    levels = (geometry.scale_to_unit(stored) - floats).abs() * 255
    # Between its two passes the uint8 kernel cuts off a bicubic's overshoot, as Pillow's does: it shows at sharp edges.
    allowed = 0.03 if interpolation == "bicubic" else 0
    assert (levels > 2.5).float().mean() <= allowed


def test_resize_to_the_same_size_changes_nothing(make_pixels: MakePixels) -> None:
    images = to_images(make_pixels())
    assert geometry.resize(Resize(size=28, interpolation="bicubic"), images) is images


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("edge", "edge"), ("reflect", "reflect")])
@pytest.mark.parametrize("amount", [0, 1, 5, 27])
def test_pad_is_numpys(make_pixels: MakePixels, fill: Any, mode: Any, amount: int) -> None:
    pixels = make_pixels(3, (28, 30), 3)
    widths = ((0, 0), (amount, amount), (amount, amount), (0, 0))
    padded = geometry.pad(Pad(amount=amount, fill=fill), to_images(pixels))
    np.testing.assert_array_equal(padded.numpy(), np.pad(pixels, widths, mode=mode))


@pytest.mark.parametrize("size", [(28, 28), (20, 24), (2, 28)])
def test_center_crop_is_torchvisions(
    make_pixels: MakePixels, torchvision_functional: ModuleType, size: tuple[int, int]
) -> None:
    images = to_images(make_pixels(3, 28, 3))
    expected = torchvision_functional.center_crop(images.permute(0, 3, 1, 2), list(size))
    assert torch.equal(geometry.center_crop(CenterCrop(size=size), images), expected.permute(0, 2, 3, 1))


def test_random_crop_is_a_slice_of_the_padded_image(make_pixels: MakePixels) -> None:
    pixels = make_pixels(8, (28, 32), 3)
    draws = draw(2)
    crops = geometry.random_crop(RandomCrop(size=(24, 30), padding=3), to_images(pixels), draws)
    padded = np.pad(pixels, ((0, 0), (3, 3), (3, 3), (0, 0)))
    for n in range(8):
        top, left = int(draws[n, 0] * 11), int(draws[n, 1] * 9)
        np.testing.assert_array_equal(crops[n].numpy(), padded[n, top : top + 24, left : left + 30])


def test_random_crop_reaches_every_place_equally_often() -> None:
    images = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1).expand(6_000, 4, 4, 1)
    crops = geometry.random_crop(RandomCrop(size=2), images, draw(2, 6_000))
    counts = torch.bincount(crops[:, 0, 0, 0].int(), minlength=16).view(4, 4)
    assert (counts[3] == 0).all()
    assert (counts[:, 3] == 0).all()
    expected, sd = 6_000 / 9, (6_000 * 1 / 9 * 8 / 9) ** 0.5
    assert ((counts[:3, :3] - expected).abs() < 4 * sd).all()


@pytest.mark.parametrize("axis", [1, 2])
def test_flip_mirrors_the_share_it_should(make_pixels: MakePixels, axis: int) -> None:
    pixels, draws = make_pixels(1_000, 6), draw(1, 1_000)
    flip = {1: geometry.flip_rows, 2: geometry.flip_columns}[axis]
    flipped = flip({1: VerticalFlip, 2: HorizontalFlip}[axis](probability=0.3), to_images(pixels), draws).numpy()
    chosen = draws[:, 0] < 0.3
    np.testing.assert_array_equal(flipped[chosen], np.flip(pixels[chosen], axis))
    np.testing.assert_array_equal(flipped[~chosen], pixels[~chosen])
    assert abs(chosen.mean() - 0.3) < 0.06


def test_a_quarter_turn_is_numpys(make_pixels: MakePixels) -> None:
    pixels = make_pixels(4, 28, 3)
    clockwise = np.array([[0.0, 0.0]] * 4)
    turned = geometry.rotate(Rotation(degrees=90), to_images(pixels), clockwise)
    expected = np.rot90(pixels, k=-1, axes=(1, 2)) / 255
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rotation_is_torchvisions(
    make_pixels: MakePixels, torchvision_functional: ModuleType, interpolation: Any, channels: int
) -> None:
    from torchvision.transforms import InterpolationMode

    images, draws = to_images(make_pixels(8, (28, 32), channels)), draw(2)
    turned = to_planes(geometry.rotate(Rotation(degrees=40, interpolation=interpolation), images, draws))
    for n, image in enumerate(to_planes(images)):
        counterclockwise = float(40 * (2 * draws[n, 1] - 1))
        expected = torchvision_functional.rotate(image, counterclockwise, InterpolationMode(interpolation))
        check_mostly_close(turned[n], expected)


def test_affine_is_torchvisions(make_pixels: MakePixels, torchvision_functional: ModuleType) -> None:
    from torchvision.transforms import InterpolationMode

    choice = Affine(degrees=25, translate=(0.2, 0.1), scale=(0.7, 1.4), shear=(15, 8))
    images, draws = to_images(make_pixels(8, (28, 32), 3)), draw(7)
    moved = to_planes(geometry.transform(choice, images, draws))
    signed = 2 * draws - 1
    for n, image in enumerate(to_planes(images)):
        expected = torchvision_functional.affine(
            image,
            angle=-25 * signed[n, 1],
            translate=[0.2 * 32 * signed[n, 2], 0.1 * 28 * signed[n, 3]],
            scale=0.7 + 0.7 * draws[n, 4],
            shear=[15 * signed[n, 5], 8 * signed[n, 6]],
            interpolation=InterpolationMode.BILINEAR,
        )
        check_mostly_close(moved[n], expected)


def check_mostly_close(result: Tensor, expected: Tensor) -> None:
    """Agree to rounding, but for the few pixels whose source lies on the edge between two: rounding decides those."""
    differs = (result - expected).abs() > 1e-3
    assert differs.float().mean() < 0.003


def test_a_shift_by_whole_pixels_is_exact(make_pixels: MakePixels) -> None:
    pixels = make_pixels(1, 28)
    inverse = geometry.invert_affine(*(np.array([value]) for value in (0.0, 3.0, -2.0, 1.0, 0.0, 0.0)))
    moved = geometry.warp(to_images(pixels), inverse, "bilinear", "zero").numpy()
    np.testing.assert_allclose(moved[0, :26, 3:], pixels[0, 2:, :25] / 255, atol=1e-5)
    assert np.abs(moved[0, :, :3]).max() < 1e-5
    assert np.abs(moved[0, 26:]).max() < 1e-5


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("edge", "edge"), ("reflect", "symmetric")])
def test_what_lies_outside(make_pixels: MakePixels, fill: Any, mode: Any) -> None:
    pixels = make_pixels(2, 28)
    inverse = geometry.invert_affine(*(np.full(2, value) for value in (0.0, 4.0, 0.0, 1.0, 0.0, 0.0)))
    moved = geometry.warp(to_images(pixels), inverse, "nearest", fill).numpy()
    expected = np.pad(pixels, ((0, 0), (0, 0), (4, 0), (0, 0)), mode=mode)[:, :, :28] / 255
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_only_the_chosen_images_are_warped(make_pixels: MakePixels) -> None:
    images, draws = to_images(make_pixels(8)), draw(2)
    turned = geometry.rotate(Rotation(degrees=40, probability=0.5), images, draws)
    always = geometry.rotate(Rotation(degrees=40), images, draws)
    chosen = torch.from_numpy(draws[:, 0] < 0.5)
    assert 0 < chosen.sum() < 8
    torch.testing.assert_close(turned[chosen], always[chosen], rtol=0, atol=1e-6)
    assert torch.equal(turned[~chosen], geometry.scale_to_unit(images)[~chosen])
