from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.catalog.augmentation.steps import (
    Affine,
    AlternatingFlip,
    CenterCrop,
    ColorJitter,
    Erasing,
    GaussianBlur,
    HorizontalFlip,
    Normalize,
    Pad,
    RandomCrop,
    Resize,
    Rotation,
    VerticalFlip,
)
from bakeoff.engine.augment.apply import Augmenter

NUMBERS = np.arange(8)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_no_steps_only_scale(make_pixels: Callable[..., Any], size: int, channels: int) -> None:
    pixels = make_pixels(8, size, channels)
    expected = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().mul_(1 / 255)
    augmenter = Augmenter((), 0)
    for images in (augmenter.train(pixels, NUMBERS, 1), augmenter.evaluate(pixels)):
        assert torch.equal(images, expected)
        assert images.stride() == expected.stride()


def test_a_step_draws_the_same_whatever_stands_beside_it(make_pixels: Callable[..., Any]) -> None:
    pixels = make_pixels()
    alone = Augmenter((VerticalFlip(),), 5).train(pixels, NUMBERS, 1)
    flip_then = Augmenter((HorizontalFlip(probability=0), VerticalFlip(), GaussianBlur(probability=0)), 5)
    assert torch.equal(flip_then.train(pixels, NUMBERS, 1), alone)


def test_a_second_step_of_one_name_draws_anew(make_pixels: Callable[..., Any]) -> None:
    pixels = make_pixels(64)
    numbers = np.arange(64)
    once = Augmenter((HorizontalFlip(),), 5).train(pixels, numbers, 1)
    twice = Augmenter((HorizontalFlip(), HorizontalFlip()), 5).train(pixels, numbers, 1)
    untouched = Augmenter((), 5).train(pixels, numbers, 1)
    assert not torch.equal(twice, untouched)  # the same draws would flip every flipped image back
    assert not torch.equal(twice, once)


def test_evaluation_keeps_the_middle_and_leaves_the_rest(make_pixels: Callable[..., Any]) -> None:
    pixels = make_pixels(8, 32, 3)
    drawn = (
        RandomCrop(size=32, padding=4),
        HorizontalFlip(probability=1),
        VerticalFlip(probability=1),
        Rotation(degrees=90),
        Affine(degrees=90),
        GaussianBlur(),
        ColorJitter(brightness=1),
        Erasing(probability=1),
    )
    assert torch.equal(Augmenter(drawn, 0).evaluate(pixels), Augmenter((), 0).evaluate(pixels))


def test_evaluation_of_a_random_crop_is_the_centre_crop(make_pixels: Callable[..., Any]) -> None:
    pixels = make_pixels(8, 32, 3)
    smaller = Augmenter((RandomCrop(size=24, padding=4),), 0).evaluate(pixels)
    assert torch.equal(smaller, Augmenter((CenterCrop(size=24),), 0).evaluate(pixels))
    larger = Augmenter((RandomCrop(size=36, padding=4, fill="edge"),), 0).evaluate(pixels)
    assert torch.equal(larger, Augmenter((Pad(amount=4, fill="edge"), CenterCrop(size=36)), 0).evaluate(pixels))


def test_system_three(make_pixels: Callable[..., Any]) -> None:
    """Resize to 70 bicubic, random crop 64 (centre crop in evaluation), mean and sd 0.5."""
    pixels = make_pixels(8, 32, 3)
    resize, normalize = Resize(size=70, interpolation="bicubic"), Normalize(mean=(0.5,), sd=(0.5,))
    augmenter = Augmenter((resize, RandomCrop(size=64), normalize), 0)
    resized = Augmenter((resize,), 0).evaluate(pixels)
    expected = (resized[:, :, 3:67, 3:67] - 0.5) / 0.5
    torch.testing.assert_close(augmenter.evaluate(pixels), expected, rtol=0, atol=1e-6)
    assert augmenter.train(pixels, NUMBERS, 1).shape == (8, 3, 64, 64)


def test_a_tensor_is_taken_as_well(make_pixels: Callable[..., Any]) -> None:
    pixels = make_pixels()
    augmenter = Augmenter((Rotation(degrees=30), Erasing()), 0)
    from_tensor = augmenter.train(torch.from_numpy(pixels), NUMBERS, 1)
    assert torch.equal(from_tensor, augmenter.train(pixels, NUMBERS, 1))


def test_memory_is_channels_last_whatever_a_kernel_left_behind(make_pixels: Callable[..., Any]) -> None:
    steps = (Rotation(degrees=30), Resize(size=(20, 24), interpolation="bicubic"), HorizontalFlip())
    images = Augmenter(steps, 0).train(make_pixels(8, 28, 1), NUMBERS, 1)
    assert images.stride() == (20 * 24, 1, 24, 1)


def test_an_empty_batch_stays_empty() -> None:
    steps = (RandomCrop(size=24), HorizontalFlip(), Rotation(degrees=30), GaussianBlur(), Erasing())
    pixels = np.zeros((0, 28, 28, 1), dtype=np.uint8)
    assert Augmenter(steps, 0).train(pixels, np.arange(0), 1).shape == (0, 1, 24, 24)


@pytest.mark.gpu
def test_a_gpu_draws_the_same(make_pixels: Callable[..., Any]) -> None:
    steps = (
        Resize(size=36),
        RandomCrop(size=32, padding=2, fill="reflect"),
        HorizontalFlip(),
        Affine(degrees=20, translate=0.1),
        GaussianBlur(),
        ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
        Erasing(),
        Normalize(mean="imagenet", sd="imagenet"),
    )
    pixels = torch.from_numpy(make_pixels(8, 32, 3))
    augmenter = Augmenter(steps, 0)
    on_gpu = augmenter.train(pixels.cuda(), NUMBERS, 1)
    assert on_gpu.is_cuda
    # A resized uint8 image is rounded to whole levels on the CPU only.
    torch.testing.assert_close(on_gpu.cpu(), augmenter.train(pixels, NUMBERS, 1), rtol=0, atol=0.03)


def test_alternating_flips_show_every_image_both_ways_in_two_epochs(make_pixels: Callable[..., Any]) -> None:
    pixels, numbers = make_pixels(200, 8, 3), np.arange(200)
    train = Augmenter((AlternatingFlip(),), 5).train
    plain = Augmenter((), 5).evaluate(pixels)
    flipped_EN = [(train(pixels, numbers, epoch) != plain).flatten(1).any(dim=1) for epoch in (1, 2, 3, 4)]
    assert 60 < int(flipped_EN[0].sum()) < 140
    assert torch.equal(flipped_EN[0], ~flipped_EN[1])
    assert torch.equal(flipped_EN[0], flipped_EN[2])
    assert torch.equal(flipped_EN[1], flipped_EN[3])
    mirrored = plain.flip(3)
    first = flipped_EN[0][:, None, None, None]
    assert torch.equal(train(pixels, numbers, 1), torch.where(first, mirrored, plain))
