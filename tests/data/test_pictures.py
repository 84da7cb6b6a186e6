from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import pictures
from bakeoff.data.pictures import PictureError, read_picture
from bakeoff.extras import how_to_install

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (4, 6), dtype=np.uint8)
RGB = GENERATOR.integers(0, 256, (4, 6, 3), dtype=np.uint8)


def read(image: Image.Image, tmp_path: Path, name: str = "x.png", *, size=None, colour=None, **options):
    image.save(tmp_path / name, **options)
    return read_picture(str(tmp_path / name), size, colour)


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.gif", "x.pgm"])
def test_grey_comes_back_as_it_was(tmp_path: Path, name) -> None:
    pixels = read(Image.fromarray(GREY), tmp_path, name).pixels_HWC
    np.testing.assert_array_equal(pixels, GREY[..., np.newaxis])


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.ppm"])
def test_colour_comes_back_as_it_was(tmp_path: Path, name) -> None:
    picture = read(Image.fromarray(RGB), tmp_path, name)
    np.testing.assert_array_equal(picture.pixels_HWC, RGB)
    assert picture.original_HW == (4, 6)
    assert not picture.lost_colour


def test_grey_stored_as_colour_is_grey_unless_told(tmp_path: Path) -> None:
    stored = Image.fromarray(np.repeat(GREY[..., np.newaxis], 3, axis=2))
    np.testing.assert_array_equal(read(stored, tmp_path).pixels_HWC[..., 0], GREY)
    assert read(stored, tmp_path).pixels_HWC.shape == (4, 6, 1)
    assert read(stored, tmp_path, colour="rgb").pixels_HWC.shape == (4, 6, 3)
    assert read(Image.fromarray(GREY), tmp_path, colour="rgb").pixels_HWC.shape == (4, 6, 3)


def test_colour_turned_grey_by_luma(tmp_path: Path) -> None:
    picture = read(Image.fromarray(RGB), tmp_path, colour="grey")
    expected = RGB @ [0.299, 0.587, 0.114]
    assert np.abs(picture.pixels_HWC[..., 0] - expected).max() <= 1
    assert picture.lost_colour


def test_one_bit(tmp_path: Path) -> None:
    pixels = read(Image.fromarray(GREY).point(lambda value: 255 * (value > 127), "1"), tmp_path).pixels_HWC
    np.testing.assert_array_equal(pixels[..., 0], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_16_bits_are_divided_by_257(tmp_path: Path, name) -> None:
    values = np.array([[0, 1, 128, 129, 257, 32_896], [385, 386, 4_369, 65_406, 65_407, 65_535]], dtype=np.uint16)
    pixels = read(Image.fromarray(values), tmp_path, name).pixels_HWC
    np.testing.assert_array_equal(pixels[..., 0], np.rint(values / 257))


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    alpha = GENERATOR.integers(0, 256, (4, 6), dtype=np.uint8)
    share = alpha[..., np.newaxis] / 255
    expected = RGB * share + 255 * (1 - share)
    pixels = read(Image.fromarray(np.dstack([RGB, alpha])), tmp_path).pixels_HWC
    assert np.abs(pixels - expected).max() <= 1
    pixels = read(Image.fromarray(np.dstack([GREY, alpha])), tmp_path).pixels_HWC
    assert pixels.shape == (4, 6, 1)
    assert np.abs(pixels[..., 0] - (GREY * share[..., 0] + 255 * (1 - share[..., 0]))).max() <= 1


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    np.testing.assert_array_equal(read(image, tmp_path).pixels_HWC[0], [[10, 20, 30], [200, 100, 50]])
    pixels = read(image, tmp_path, transparency=0).pixels_HWC
    np.testing.assert_array_equal(pixels[0], [[255, 255, 255], [200, 100, 50]])


def test_a_transparent_grey_value(tmp_path: Path) -> None:
    pixels = read(Image.fromarray(np.array([[5, 9]], dtype=np.uint8)), tmp_path, transparency=5).pixels_HWC
    np.testing.assert_array_equal(pixels[..., 0], [[255, 9]])


def test_cmyk(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], dtype=np.uint8), mode="CMYK")
    pixels = read(image, tmp_path, "x.tif").pixels_HWC
    np.testing.assert_array_equal(pixels[0], [[255, 255, 255], [0, 255, 255], [0, 0, 0]])
    read(image.resize((16, 16)), tmp_path, "x.jpg")


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation, turns, name) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(np.array([[0, 250, 60], [120, 190, 30]], dtype=np.uint8), np.ones((16, 16), dtype=np.uint8))
    picture = read(Image.fromarray(blocks), tmp_path, name, exif=exif.tobytes(), quality=95)
    expected = np.rot90(blocks, turns)
    assert picture.original_HW == expected.shape
    assert np.abs(picture.pixels_HWC[8::16, 8::16, 0].astype(int) - expected[8::16, 8::16]).max() <= 8


def test_resized_bilinearly_with_antialiasing(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (32, 16))
    picture = read(Image.fromarray(stripes), tmp_path, size=(4, 8))
    assert picture.pixels_HWC.shape == (4, 8, 1)
    assert picture.original_HW == (32, 32)
    assert np.abs(picture.pixels_HWC.astype(int) - 127).max() <= 24, "aliased: stripes came through"


@pytest.mark.parametrize("name", ["x.gif", "x.tif", "x.png", "x.webp"])
def test_of_several_frames_the_first(tmp_path: Path, name) -> None:
    frames = [Image.fromarray(np.full((8, 8), value, dtype=np.uint8)) for value in (50, 200)]
    picture = read(frames[0], tmp_path, name, save_all=True, append_images=frames[1:])
    assert picture.has_frames
    assert np.abs(picture.pixels_HWC.astype(int) - 50).max() <= 3


def test_16_bit_colour(tmp_path: Path) -> None:
    # Written by hand: Pillow cannot. One row of one pixel: 65535, 32896, 0.
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">3H", 65_535, 32_896, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    np.testing.assert_array_equal(read_picture(str(tmp_path / "x.png")).pixels_HWC[0, 0], [255, 128, 0])


def test_heic(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.kron(np.array([[0, 250], [120, 60]], dtype=np.uint8), np.ones((32, 48), dtype=np.uint8))
    pillow_heif.from_pillow(Image.fromarray(pixels).convert("RGB")).save(tmp_path / "x.heic", quality=95)
    picture = read_picture(str(tmp_path / "x.heic"))
    assert picture.original_HW == (64, 96)
    assert np.abs(picture.pixels_HWC[16::32, 24::48, 0].astype(int) - pixels[16::32, 24::48]).max() <= 4
    (tmp_path / "y.heic").write_bytes((tmp_path / "x.heic").read_bytes()[:-200])
    with pytest.raises(PictureError):
        read_picture(str(tmp_path / "y.heic"))


def test_heic_without_its_reader_names_the_extra(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "_known_formats", lambda: ("PNG", "JPEG"))
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x24ftypheic" + bytes(100))
    with pytest.raises(PictureError, match=re.escape(how_to_install("heif"))):
        read_picture(str(tmp_path / "x.heic"))
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x24ftypmp42" + bytes(100))
    with pytest.raises(PictureError, match="known format"):
        read_picture(str(tmp_path / "x.heic"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_no_picture(tmp_path: Path) -> None:
    """Opening one waits for a writer."""
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(PictureError, match="regular"):
        read_picture(str(tmp_path / "x.png"))
