"""Corruptions against closed forms, SciPy, colorsys and Pillow."""

from __future__ import annotations

import colorsys
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage

from bakeoff.data.corruptions import CORRUPTIONS, SEVERITIES, check_corruptions, corrupt_images
from bakeoff.data.corruptions.blur import make_disk, move, zoom
from bakeoff.data.corruptions.constants import find_constants
from bakeoff.data.corruptions.digital import _smooth
from bakeoff.data.corruptions.weather import make_plasma
from bakeoff.errors import BakeoffError

Pixels = npt.NDArray[np.uint8]


def _make_images(number: int = 6, size: int = 32, channels: int = 3) -> Pixels:
    """Return smooth images with texture, values of 20..235."""
    noise = np.random.default_rng(1).standard_normal((number, size, size, channels))
    smooth: npt.NDArray[np.float64] = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    low, high = smooth.min(), smooth.max()
    return np.rint(20 + 215 * (smooth - low) / (high - low)).astype(np.uint8)


def _flat(value: int, size: int = 64, channels: int = 3) -> Pixels:
    return np.full((4, size, size, channels), value, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_image_depends_on_its_number_alone(name: str, channels: int) -> None:
    images = _make_images(channels=channels)
    for severity in (1, 5):
        found = corrupt_images(images, name, severity)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        assert not np.array_equal(found, images)
        np.testing.assert_array_equal(found, corrupt_images(images, name, severity))
        np.testing.assert_array_equal(found[2:4], corrupt_images(images[2:4], name, severity, first=2))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = _make_images(5, 16)
    whole = corrupt_images(images, name, 3)
    monkeypatch.setattr("bakeoff.data.corruptions._MOST_VALUES", 2 * 16 * 16 * 3)
    np.testing.assert_array_equal(corrupt_images(images, name, 3), whole)


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur"])
def test_draws_differ_by_image_severity_and_seed(name: str) -> None:
    images = np.repeat(_make_images(1), 2, axis=0)
    found = corrupt_images(images, name, 3)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found, corrupt_images(images, name, 3, seed=1))


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 9, 14, 3), (1, 1, 1, 3), (1, 72, 64, 3)])
def test_any_size_and_extreme_values_work(name: str, shape: tuple[int, ...]) -> None:
    for value in (0, 255):
        for severity in SEVERITIES:
            assert corrupt_images(np.full(shape, value, np.uint8), name, severity).shape == shape
    assert corrupt_images(np.zeros((0, 8, 8, 3), np.uint8), name, 1).shape == (0, 8, 8, 3)


def test_worse_severities_are_further_from_the_image() -> None:
    images = _make_images(12)
    for name in ("gaussian_noise", "shot_noise", "impulse_noise", "zoom_blur", "brightness", "contrast"):
        distances = [np.abs(corrupt_images(images, name, s).astype(float) - images).mean() for s in SEVERITIES]
        assert distances == sorted(distances), name


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_standard_deviation(severity: int) -> None:
    found = corrupt_images(_flat(128), "gaussian_noise", severity) / 255
    sd = find_constants("gaussian_noise", severity, 64)[0]
    assert np.std(found) == pytest.approx(sd, rel=0.03)
    assert np.mean(found) == pytest.approx(128 / 255, abs=0.01)


def test_shot_noise_has_the_variance_of_photons() -> None:
    found = corrupt_images(_flat(64, 32), "shot_noise", 3) / 255
    assert np.mean(found) == pytest.approx(64 / 255, abs=0.005)
    assert np.var(found) == pytest.approx(64 / 255 / 100, rel=0.06)


def test_impulse_noise_strikes_its_fraction_half_white_half_black() -> None:
    found = corrupt_images(np.full((20, 32, 32, 3), 100, np.uint8), "impulse_noise", 5)
    assert set(np.unique(found)) == {0, 100, 255}
    assert np.mean(found == 255) == pytest.approx(0.035, rel=0.1)
    assert np.mean(found == 0) == pytest.approx(0.035, rel=0.1)


@pytest.mark.parametrize(("size", "factor"), [(32, 0.4), (48, 0.4), (136, 0.3), (224, 0.2)])
def test_contrast_is_its_formula(size: int, factor: float) -> None:
    images = _make_images(2, size)
    means = images.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(corrupt_images(images, "contrast", 3), np.rint(means + factor * (images - means)))


def test_brightness_changes_the_value_of_hsv_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3)).astype(np.uint8)
    images[0, 0, 0] = 0
    found = corrupt_images(images, "brightness", 4)
    for before, after in zip(images.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before / 255)
        expected = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2)))
        np.testing.assert_allclose(after, expected, atol=0.51)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_and_pixelate_are_those_of_pillow(channels: int) -> None:
    images = _make_images(2, 32, channels)
    for number, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        file = BytesIO()
        picture.save(file, "JPEG", quality=50)
        stored: Any = np.asarray(Image.open(file)).reshape(image.shape)
        np.testing.assert_array_equal(corrupt_images(images, "jpeg_compression", 4)[number], stored)
        coarse = picture.resize((20, 20), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
        expected = np.asarray(coarse).reshape(image.shape)
        np.testing.assert_array_equal(corrupt_images(images, "pixelate", 5)[number], expected)


def test_defocus_is_a_convolution_with_a_disk() -> None:
    images = _make_images(2, 40)
    kernel = make_disk(*find_constants("defocus_blur", 5, 40))
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_array_equal(kernel, kernel.T)
    expected = ndimage.convolve(images / 255, kernel[None, :, :, None], mode="mirror")
    np.testing.assert_allclose(corrupt_images(images, "defocus_blur", 5), 255 * expected, atol=0.5 + 1e-6)


def test_glass_without_blur_permutes_pixels() -> None:
    images = _make_images(3)
    found = corrupt_images(images, "glass_blur", 1)  # its blur is narrower than a pixel
    for before, after in zip(images, found, strict=True):
        assert sorted(map(tuple, before.reshape(-1, 3))) == sorted(map(tuple, after.reshape(-1, 3)))
        assert np.mean(np.any(before != after, axis=-1)) > 0.5


def test_motion_to_the_right_is_a_correlation_along_rows() -> None:
    image = _make_images(1, 20) / 255
    found = move(image, 3, 1.5, np.zeros(1))
    weights = np.exp(-(np.arange(7) ** 2) / (2 * 1.5**2))
    centred = np.concatenate([np.zeros(6), weights / weights.sum()])
    np.testing.assert_allclose(found, ndimage.correlate1d(image, centred, axis=2, mode="nearest"), atol=1e-12)
    down = move(image, 3, 1.5, np.full(1, np.pi / 2))
    np.testing.assert_allclose(down, ndimage.correlate1d(image, centred, axis=1, mode="nearest"), atol=1e-12)


def test_zoom_is_linear_interpolation_about_the_middle() -> None:
    image = _make_images(1, 21) / 255
    found = zoom(image, 1.25)
    middle, scale = 10.0, 1 / 1.25
    expected = ndimage.affine_transform(image[0, :, :, 0], [scale, scale], middle - scale * middle, order=1)
    np.testing.assert_allclose(found[0, :, :, 0], expected, atol=1e-12)
    np.testing.assert_allclose(zoom(image, 1.0), image)


def test_flat_images_stay_flat_under_blur_and_elastic_transform() -> None:
    for name in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform", "contrast", "pixelate"):
        np.testing.assert_array_equal(corrupt_images(_flat(77, 24), name, 5), _flat(77, 24))


def test_fog_keeps_the_brightest_value_as_a_limit_and_lightens() -> None:
    images = _make_images(4)
    found = corrupt_images(images, "fog", 2)
    assert (found.max(axis=(1, 2, 3)) <= images.max(axis=(1, 2, 3))).all()
    assert (found.std(axis=(1, 2, 3)) < images.std(axis=(1, 2, 3))).all()


def test_plasma_is_rougher_with_slow_decay() -> None:
    def measure(decay: float) -> float:
        maps = make_plasma(64, decay, [np.random.default_rng(number) for number in range(8)])
        assert (maps.min(), maps.max()) == (0, 1)
        return float(np.abs(np.diff(maps, axis=2)).mean())

    assert measure(1.4) > measure(2) > measure(3)


def test_snow_lightens() -> None:
    images = _make_images(6)
    assert (corrupt_images(images, "snow", 3).mean(axis=(1, 2, 3)) > images.mean(axis=(1, 2, 3))).all()


def test_displacements_are_smoothed_by_a_gaussian() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 40, 50))
    expected = ndimage.gaussian_filter(noise, (0, 3, 3), mode="reflect", truncate=8)
    np.testing.assert_allclose(_smooth(noise, 3), expected, atol=1e-6)


def test_constants_are_published_ones_at_the_ends_and_interpolated_between() -> None:
    assert find_constants("shot_noise", 5, 28) == find_constants("shot_noise", 5, 48) == (50,)
    assert find_constants("shot_noise", 5, 224) == find_constants("shot_noise", 5, 500) == (3,)
    assert find_constants("shot_noise", 5, 136) == pytest.approx((26.5,))
    for name in CORRUPTIONS:
        assert len({len(find_constants(name, severity, 100)) for severity in SEVERITIES}) == 1
    with pytest.raises(ValueError, match="severity 6"):
        find_constants("fog", 6, 32)


def test_names_are_checked_and_ordered() -> None:
    assert check_corruptions([]) == tuple(CORRUPTIONS)
    assert check_corruptions(["fog", "shot_noise", "fog"]) == ("shot_noise", "fog")
    with pytest.raises(BakeoffError, match=r"unknown corruption 'fogg'.*Did you mean 'fog'"):
        check_corruptions(["fogg"])
    with pytest.raises(BakeoffError, match="photographs of frost"):
        check_corruptions(["frost"])
