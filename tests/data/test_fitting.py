"""How images are brought to a size, against Pillow's own resize of the whole image; JPEGs decoded in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import fitting, pictures
from bakeoff.data.fitting import scale_whole
from bakeoff.data.pictures import PictureError, read_picture, read_size

SIZES = [(90, 60), (60, 90), (64, 64), (201, 77), (33, 200), (31, 32)]


def make_scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Detail at all scales, and edges: noise that falls off with frequency, as in photographs, and rectangles."""
    generator = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    spectrum = np.hypot(rows, columns)
    spectrum[0, 0] = np.inf
    waves = generator.standard_normal((3, *spectrum.shape)) + 1j * generator.standard_normal((3, *spectrum.shape))
    fields = np.fft.irfft2(waves / spectrum**1.3, (height, width))
    pixels = 127 + 40 * np.moveaxis(fields / fields.std(), 0, 2)
    for _ in range(5):
        top, left = generator.integers(0, height), generator.integers(0, width)
        pixels[top : top + height // 4, left : left + width // 4] += generator.uniform(-60, 60, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def crop_as_torchvision(image: Image.Image, side: int) -> np.ndarray:
    """`Resize(side)` and `CenterCrop(side)` of torchvision 0.28, whose bilinear resize of an image is Pillow's."""
    width, height = image.size
    if width <= height:
        width, height = side, int(side * height / width)
    else:
        width, height = int(side * width / height), side
    top, left = round((height - side) / 2.0), round((width - side) / 2.0)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + side, top + side)))


def save(image: Image.Image, path: Path, **options) -> str:
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [16, 32, 80])
def test_crop_is_torchvisions_resize_and_centre_crop(tmp_path: Path, size, side) -> None:
    image = make_scene(*size)
    found = read_picture(save(image, tmp_path / "x.png"), (side, side), fit="crop").pixels_HWC
    # Pillow rounds its weights, which are computed from the box here and from the whole image there.
    assert np.abs(found.astype(int) - crop_as_torchvision(image, side)).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target_HW", [(32, 32), (20, 48)])
def test_pad_keeps_all_of_the_image_on_black(tmp_path: Path, size, target_HW) -> None:
    image = make_scene(*size)
    found = read_picture(save(image, tmp_path / "x.png"), target_HW, fit="pad").pixels_HWC
    width, height = scale_whole(size, target_HW, "pad")
    assert width == target_HW[1] or height == target_HW[0]
    assert width / height == pytest.approx(size[0] / size[1], rel=0.6 / min(width, height))
    left, top = (target_HW[1] - width) // 2, (target_HW[0] - height) // 2
    expected = np.zeros((*target_HW, 3), dtype=np.uint8)
    expected[top : top + height, left : left + width] = image.resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(60, 90), (32, 48), (30, 45)])
def test_images_of_the_targets_aspect_are_only_resized(tmp_path: Path, fit, size) -> None:
    image = make_scene(*size)
    found = read_picture(save(image, tmp_path / "x.png"), (48, 32), fit=fit).pixels_HWC
    np.testing.assert_array_equal(found, np.asarray(image.resize((32, 48), Image.Resampling.BILINEAR)))


def test_cropping_alone_moves_pixels_and_changes_none(tmp_path: Path) -> None:
    image = make_scene(70, 40)
    found = read_picture(save(image, tmp_path / "x.png"), (40, 40), fit="crop").pixels_HWC
    np.testing.assert_array_equal(found, np.asarray(image)[:, 15:55])


def test_a_ribbon_is_not_enlarged_beyond_what_is_kept(tmp_path: Path) -> None:
    path = save(Image.new("L", (60_000, 2), 7), tmp_path / "x.png")
    assert (read_picture(path, (4_000, 4_000), fit="crop").pixels_HWC == 7).all()  # whole, it would have 5e11 pixels
    assert read_picture(path, (8, 8), fit="pad").pixels_HWC.sum() == 8 * 7


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(600, 400), (403, 601), (517, 515)])
@pytest.mark.parametrize("target_HW", [(32, 32), (24, 60)])
def test_a_reduced_jpeg_shows_what_the_full_one_shows(tmp_path: Path, fit, size, target_HW, monkeypatch) -> None:
    path = save(make_scene(*size), tmp_path / "x.jpg", quality=90)
    reduced = read_picture(path, target_HW, fit=fit)
    monkeypatch.setattr(fitting, "_DRAFTED_FORMATS", ())
    full = read_picture(path, target_HW, fit=fit)
    assert reduced.original_HW == full.original_HW == (size[1], size[0])
    differences = np.abs(reduced.pixels_HWC.astype(int) - full.pixels_HWC)
    assert 0 < differences.mean() < 0.9
    assert np.percentile(differences, 99) <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_a_reduced_jpeg_is_turned_upright(tmp_path: Path, orientation, fit, monkeypatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(make_scene(333, 203), tmp_path / "x.jpg", quality=92, exif=exif.tobytes())
    reduced = read_picture(path, (20, 24), fit=fit)
    monkeypatch.setattr(fitting, "_DRAFTED_FORMATS", ())
    full = read_picture(path, (20, 24), fit=fit)
    assert reduced.original_HW == full.original_HW == read_size(path) == ((203, 333) if orientation < 5 else (333, 203))
    differences = np.abs(reduced.pixels_HWC.astype(int) - full.pixels_HWC)
    # A box that is off by the part of a pixel that sizes are rounded by gives 2 and more.
    assert 0 < differences.mean() < 0.9


@pytest.mark.parametrize(("side", "decoded"), [(50, 101), (51, 201), (100, 201), (101, 402), (201, 402), (202, 804)])
def test_at_least_twice_the_target_is_decoded(tmp_path: Path, side, decoded, monkeypatch) -> None:
    path = save(make_scene(804, 804), tmp_path / "x.jpg")
    widths = []
    monkeypatch.setattr(pictures, "fit_image", lambda image, *rest: widths.append(image.width) or image)
    read_picture(path, (side, side))
    assert widths == [decoded]


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.bmp"])
def test_other_formats_are_decoded_in_full(tmp_path: Path, name) -> None:
    image = make_scene(300, 300)
    path = save(image, tmp_path / name, **({"lossless": True} if name == "x.webp" else {}))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(read_picture(path, (16, 16)).pixels_HWC, expected)


@pytest.mark.parametrize("kind", ["L", "CMYK"])
def test_grey_and_cmyk_are_reduced_too(tmp_path: Path, kind, monkeypatch) -> None:
    path = save(make_scene(400, 300).convert(kind), tmp_path / "x.jpg", quality=92)
    reduced = read_picture(path, (16, 16)).pixels_HWC.astype(int)
    monkeypatch.setattr(fitting, "_DRAFTED_FORMATS", ())
    assert 0 < np.abs(reduced - read_picture(path, (16, 16)).pixels_HWC).mean() < 0.6


def test_a_truncated_jpeg_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    content = Path(save(make_scene(500, 500), path)).read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(PictureError, match="truncated"):
        read_picture(str(path), (16, 16))


@pytest.mark.parametrize("scans", [1, 100])
def test_the_scans_of_a_jpeg_with_several_pictures_are_counted(tmp_path: Path, scans: int, monkeypatch) -> None:
    image = make_scene(64, 64)
    path = save(image, tmp_path / "x.mpo", save_all=True, append_images=[image], progressive=True)
    monkeypatch.setattr(pictures, "MAX_SCANS", scans)
    if scans == 1:
        with pytest.raises(PictureError, match="more than 1 scans"):
            read_picture(path, (8, 8))
    else:
        assert read_picture(path, (8, 8)).has_frames
