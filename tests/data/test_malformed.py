"""What a folder of photographs from the real world may hold: nothing crashes, everything wrong is named."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.errors import DataError

PIXELS = np.random.default_rng(7).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def encode(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(width: int, height: int, content: bytes, bits: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content + chunk(b"IEND", b"")


def encode_array(array: np.ndarray, image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, image_format)
    return buffer.getvalue()


PNG, JPEG, TIFF = encode("PNG"), encode("JPEG"), encode("TIFF")
IDAT = chunk(b"IDAT", zlib.compress(bytes(41 * 40)))

LEFT_OUT: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "empty"),
    "one_byte.jpg": (b"\xff", "not an image"),
    "text.png": (b"This is not an image.\n", "not an image"),
    "html.jpg": (b"<!DOCTYPE html><html>404 Not Found</html>", "not an image"),
    "zeros.png": (bytes(5000), "not an image"),
    "signature_only.png": (PNG[:8], ""),
    "header_only.png": (PNG[:33], ""),
    "half.png": (PNG[: len(PNG) // 2], "truncated"),
    "no_end.png": (PNG[:-40], "truncated"),
    "wrong_checksum.png": (PNG[:45] + bytes([PNG[45] ^ 255]) + PNG[46:], ""),
    "wrong_header_checksum.png": (PNG[:29] + bytes(4) + PNG[33:], ""),
    "no_pixels_chunk.png": (make_png(40, 40, b""), ""),
    "zero_width.png": (make_png(0, 40, IDAT), ""),
    "bad_colour_type.png": (make_png(40, 40, IDAT, colour=5), ""),
    "garbage_pixels.png": (make_png(40, 40, chunk(b"IDAT", b"not zlib at all")), ""),
    "short_pixels.png": (make_png(40, 40, chunk(b"IDAT", zlib.compress(bytes(100)))), ""),
    "bomb.png": (make_png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(1000)))), "pixels"),
    "large.png": (make_png(10_000, 10_000, chunk(b"IDAT", zlib.compress(bytes(1000)))), "more than 89,478,485 pixels"),
    "text_bomb.png": (make_png(40, 40, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 23))) + IDAT), ""),
    "half.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "headers.jpg": (JPEG[:100], ""),
    "no_frame.jpg": (b"\xff\xd8\xff\xd9", ""),
    "half.gif": (encode("GIF", "P")[:300], ""),
    "header_only.gif": (b"GIF89a", ""),
    "half.bmp": (encode("BMP")[:500], "truncated"),
    "header_only.bmp": (encode("BMP")[:20], ""),
    "half.tif": (TIFF[: len(TIFF) // 2], ""),
    "bad_offset.tif": (b"II*\0" + struct.pack("<I", 1 << 30), ""),
    "half.webp": (encode("WEBP", lossless=True)[:200], ""),
    "half.jp2": (encode("JPEG2000")[:200], "") if "JPEG2000" in Image.SAVE else (b"", "empty"),
    "short.ppm": (b"P6 40 40 255\n" + bytes(100), ""),
    "words.pgm": (b"P2 40 40 255\nforty two", ""),
    "float.tif": (encode_array(PIXELS[..., 0].astype(np.float32), "TIFF"), "32-bit pixels"),
    "whole_numbers.tif": (encode_array(PIXELS[..., 0].astype(np.int32), "TIFF"), "32-bit pixels"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n", "not an image"),
    "pickle.png": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.", "not an image"),
    "new\nline\x1b[31m.png": (b"x", "not an image"),
    os.fsdecode(b"bad_unicode_\xff.png"): (b"x", "not an image"),
}
"""What is left out, by file name: the content, and what the reason given says."""

TAKEN: dict[str, bytes] = {
    "odd_suffix.png": JPEG,
    "progressive.jpg": encode("JPEG", progressive=True),
    "cmyk.jpg": encode("JPEG", "CMYK"),
    "one_bit.png": encode("PNG", "1"),
    "palette.gif": encode("GIF", "P"),
    "bad_exif.jpg": encode("JPEG", exif=b"Exif\0\0garbage garbage"),
    "rest.png": PNG + b"something after the end",
    "猫 $(rm -rf) ; 'x\".png": PNG,
}
"""What is odd and taken."""


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Makes a folder of 2 classes x 40 good images, with more files put into the first class."""

    def make(extra: dict[str, bytes]) -> Path:
        root = tmp_path / "photos"
        for name in ("cat", "dog"):
            (root / name).mkdir(parents=True)
            for number in range(40):
                (root / name / f"good{number:02d}.png").write_bytes(PNG)
        for name, content in extra.items():
            (root / "cat" / name).write_bytes(content)
        return root

    return make


def open_both(root: Path) -> tuple[int, list[str]]:
    """Open training and test split; return the number of images and all notes."""
    source = DataSource(folder=str(root), duplicates="allow")  # all good images are the same
    training, test = open_training(source), open_test(source)
    return len(training.labels) + len(test.labels), [*training.notes, *test.notes]


def test_over_thirty_malformed_files_are_tried() -> None:
    assert len(LEFT_OUT) > 30


@pytest.mark.parametrize("name", LEFT_OUT, ids=ascii)
def test_left_out_and_named(make_folder, name: str) -> None:
    content, reason = LEFT_OUT[name]
    num_images, notes = open_both(make_folder({name: content}))
    assert num_images == 80
    (note,) = notes
    shown = name.encode("unicode_escape").decode()
    assert f"files left out: cat/{shown} (" in note
    assert reason in note
    assert note.isprintable()


@pytest.mark.parametrize("name", TAKEN)
def test_odd_and_taken(make_folder, name: str) -> None:
    num_images, notes = open_both(make_folder({name: TAKEN[name]}))
    assert num_images == 81
    assert notes == []


def test_all_at_once(make_folder) -> None:
    num_images, notes = open_both(make_folder({name: content for name, (content, _) in LEFT_OUT.items()} | TAKEN))
    assert num_images == 80 + len(TAKEN)
    left_out = [note for note in notes if "files left out" in note]
    assert sum(int(note.split(" of ")[0]) for note in left_out) == len(LEFT_OUT)
    assert all(note.isprintable() for note in notes)
    assert any(" more" in note for note in left_out)


def test_bytes_at_random(make_folder) -> None:
    """Whole files with bytes flipped at random are taken or named; nothing else may happen."""
    generator = random.Random(11)
    originals = [PNG, JPEG, TIFF, encode("GIF", "P"), encode("WEBP"), encode("BMP")]
    extra = {}
    for number in range(36):
        content = bytearray(originals[number % len(originals)])
        for _ in range(12):
            content[generator.randrange(min(len(content), 400))] = generator.randrange(256)
        extra[f"random{number:02d}.png"] = bytes(content)
    root = make_folder(extra)
    source = DataSource(folder=str(root), image_size=40, duplicates="allow")
    training, test = open_training(source), open_test(source)
    notes = [note for images in (training, test) for note in images.notes if "files left out" in note]
    num_left_out = sum(int(note.split(" of ")[0]) for note in notes)
    assert len(training.labels) + len(test.labels) + num_left_out == 80 + len(extra)
    assert num_left_out > 5


def test_more_than_half_unreadable(make_folder) -> None:
    root = make_folder({f"bad{number:03d}.png": b"x" for number in range(130)})
    with pytest.raises(DataError, match=r"of \d+ images .*: cat/bad\d+.png .* \d+ more"):
        open_training(DataSource(folder=str(root), duplicates="allow"))


def test_a_class_left_without_images(make_folder) -> None:
    root = make_folder({})
    (root / "owl").mkdir()
    for number in range(3):
        (root / "owl" / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"'owl'.*: owl/0.png \(empty\)"):
        open_training(DataSource(folder=str(root), duplicates="allow"))


def test_files_that_vanish_while_they_are_read_are_named(make_folder, monkeypatch) -> None:
    from bakeoff.data import files

    root = make_folder({})
    listing = files.list_source(DataSource(folder=str(root), duplicates="allow"))
    monkeypatch.setattr(files, "list_source", lambda source, data_dir, audited: listing)
    gone = listing.select("train")[3]
    Path(gone.path).unlink()
    with pytest.raises(DataError, match=f"{gone.shown} was changed"):
        open_training(DataSource(folder=str(root), duplicates="allow"))
