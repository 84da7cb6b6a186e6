"""TrivialAugment and RandAugment against torchvision: its operations, strengths and draws."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bakeoff.catalog.augmentation.steps import RandAugment, TrivialAugment
from bakeoff.engine.augment.auto_augment import OPERATIONS, choose, rand_augment, trivial_augment
from bakeoff.engine.augment.draws import uniform

NAMES = {"color": "Color", "autocontrast": "AutoContrast", "shear_x": "ShearX", "shear_y": "ShearY"}
NUM_OPERATIONS = len(OPERATIONS)


@pytest.fixture
def transforms(torchvision_functional: ModuleType) -> ModuleType:
    from torchvision.transforms import v2

    return v2


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) if name not in NAMES else NAMES[name]


def _expect(theirs: object, image_HWC: torch.Tensor, name: str, number: int, sign: float) -> torch.Tensor:
    """Return what torchvision makes of an image, given the operation, the bin and the sign."""
    height, width = image_HWC.shape[:2]
    space = theirs._AUGMENTATION_SPACE  # type: ignore[attr-defined]
    assert list(space) == [_title(each) for each in OPERATIONS]
    strengths, signed = space[_title(name)]
    found = strengths(theirs.num_magnitude_bins, height, width)  # type: ignore[attr-defined]
    strength = 0.0 if found is None else float(found[number]) * (sign if signed else 1)
    changed = theirs._apply_image_or_video_transform(  # type: ignore[attr-defined]
        image_HWC.permute(2, 0, 1),
        _title(name),
        strength,
        interpolation=theirs.interpolation,
        fill=theirs._fill,  # type: ignore[attr-defined]
    )
    return changed.permute(1, 2, 0)


def _assert_alike(found: torch.Tensor, expected: torch.Tensor, message: str) -> None:
    """Nearly all pixels are equal: rounding moves few by one level, and picks another of two equally near pixels."""
    apart = (found.int() - expected.int()).abs()
    assert (apart > 0).float().mean() < 0.01, message
    assert (apart > 1).float().mean() < 0.002, message


def _make_images(num_images: int, channels: int, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    """Return smooth images with noise: with steps from dark to bright, and one flat channel."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    waves = [
        np.sin(rows / (3 + n) + c) + np.cos(columns / (4 + c) + n) for n in range(num_images) for c in range(channels)
    ]
    images = np.stack(waves).reshape(num_images, channels, *size).transpose(0, 2, 3, 1) * 40 + 120
    images = (images + rng.normal(0, 15, images.shape)).clip(20, 230).astype(np.uint8)
    images[0, ..., 0] = 77
    return torch.from_numpy(images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_trivial_augment_is_torchvisions(channels: int, interpolation: str, transforms: ModuleType) -> None:
    choice = TrivialAugment(interpolation=interpolation)  # type: ignore[arg-type]
    theirs = transforms.TrivialAugmentWide(interpolation=interpolation)
    bins = (0, 1, 7, 20, 30)
    cases = [(n, b, s) for n in range(NUM_OPERATIONS) for b in bins for s in (0.25, 0.75)]
    draws = np.array([[(n + 0.5) / NUM_OPERATIONS, (b + 0.5) / 31, s] for n, b, s in cases])
    images = _make_images(len(cases), channels)
    found = trivial_augment(choice, images, draws)
    assert found.dtype == torch.uint8
    for image, ours, (n, b, s) in zip(images, found, cases, strict=True):
        sign = -1 if s < 0.5 else 1
        _assert_alike(ours, _expect(theirs, image, OPERATIONS[n], b, sign), f"{OPERATIONS[n]}, bin {b}, sign {sign}")


@pytest.mark.parametrize("size", [(24, 32), (9, 9)])
def test_rand_augment_is_torchvisions(size: tuple[int, int], transforms: ModuleType) -> None:
    choice = RandAugment(num_ops=2, magnitude=6, num_magnitude_bins=11)
    theirs = transforms.RandAugment(num_ops=2, magnitude=6, num_magnitude_bins=11)
    images, rng = _make_images(80, 3, size), np.random.default_rng(2)
    draws = rng.random((80, 20))
    found = rand_augment(choice, images, draws)
    apart = []
    for image, ours, draw in zip(images, found, draws, strict=True):
        expected = image
        for which, s in (draw[:2], draw[2:4]):
            name = OPERATIONS[int(which * NUM_OPERATIONS)]
            expected = _expect(theirs, expected, name, 6, -1 if s < 0.5 else 1)
        apart.append((ours.int() - expected.int()).abs())
    # A level lost by rounding in the first operation may be amplified by the second.
    assert (torch.stack(apart) > 0).float().mean() < 0.004
    assert (torch.stack(apart) > 3).float().mean() < 0.001


def test_operations_strengths_and_signs_are_drawn_evenly() -> None:
    draws = uniform(1, 1, np.arange(20_000), "trivial_augment", 0, 3)
    for numbers, bins in ((choose(draws[:, 0]), NUM_OPERATIONS), (np.floor(draws[:, 1] * 31), 31)):
        assert chisquare(np.bincount(numbers.astype(int), minlength=bins)).pvalue > 1e-3
    assert chisquare(np.bincount((draws[:, 2] < 0.5).astype(int))).pvalue > 1e-3
    pairs = choose(draws[:, 0]) * 2 + (draws[:, 2] < 0.5)
    assert chisquare(np.bincount(pairs, minlength=2 * NUM_OPERATIONS)).pvalue > 1e-3


def test_float_images_are_rounded_to_8_bits_and_a_strength_of_zero_changes_nothing() -> None:
    images = _make_images(NUM_OPERATIONS, 3)
    draws = np.array([[(n + 0.5) / NUM_OPERATIONS, 0.0, 0.75] for n in range(NUM_OPERATIONS)])
    found = trivial_augment(TrivialAugment(), images.float() / 255, draws)
    same = [name for n, name in enumerate(OPERATIONS) if torch.equal(found[n], images[n])]
    assert set(OPERATIONS) - set(same) == {"autocontrast", "equalize"}


def test_a_magnitude_beyond_the_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="below num_magnitude_bins, 10"):
        RandAugment(magnitude=10, num_magnitude_bins=10)
