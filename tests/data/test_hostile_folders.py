"""Folders whose links lead round in circles, and images whose decoding would not end: told in one line."""

from __future__ import annotations

import inspect
import io
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from bakeoff.data import folders
from bakeoff.data.folders import list_folder
from bakeoff.data.manifest import list_manifest
from bakeoff.data.pictures import PictureError, read_picture
from bakeoff.errors import DataError

MANY = 2_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "dog/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"never opened")
    return tmp_path


def list_shown(root: Path) -> list[str]:
    return [file.shown for file in list_folder(root).files]


def test_a_link_to_itself_is_no_folder(root: Path) -> None:
    for name in ("cat/self", "cat/self.png", "self"):
        (root / name).symlink_to(root / name)
    listing = list_folder(root)
    assert [file.shown for file in listing.files] == ["cat/1.png", "dog/1.png"]
    assert [item.shown for item in listing.rejected] == ["cat/self.png"]


def test_links_that_multiply_are_followed_once_each(root: Path) -> None:
    """Twelve folders of two links each were 2^12 paths to the one image at their end."""
    for level in range(12):
        (root / f"far{level}").mkdir()
    for level in range(11):
        for name in ("a", "b"):
            (root / f"far{level}" / name).symlink_to(root / f"far{level + 1}")
    (root / "far11/x.png").write_bytes(b"never opened")
    (root / "cat/in").symlink_to(root / "far0")
    classes = root / "classes"
    classes.mkdir()
    for name in ("cat", "dog"):
        (root / name).rename(classes / name)
    listing = list_folder(classes)
    assert [file.shown for file in listing.files] == ["cat/1.png", f"cat/in/{'a/' * 11}x.png", "dog/1.png"]
    assert any("links to folders listed elsewhere are not followed: cat/in/" in note for note in listing.notes)
    assert len(listing.notes) == 1


def test_folders_nested_deeper_than_python_recurses(root: Path) -> None:
    deepest = root / "cat" / "/".join("d" * 200)
    deepest.mkdir(parents=True)
    (deepest / "x.png").write_bytes(b"never opened")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        found = list_shown(root)
    finally:
        sys.setrecursionlimit(limit)
    assert len(found) == 3


def test_a_folder_also_reached_by_a_link_is_listed_under_its_own_path(root: Path) -> None:
    (root / "cat/z").mkdir()
    (root / "cat/z/2.png").write_bytes(b"never opened")
    (root / "cat/a").symlink_to(root / "cat/z")
    assert list_shown(root) == ["cat/1.png", "cat/z/2.png", "dog/1.png"]


def test_a_link_up_to_the_classes_brings_no_other_class(root: Path) -> None:
    (root / "cat/up").symlink_to(root)
    assert list_shown(root) == ["cat/1.png", "dog/1.png"]


def test_one_folder_cannot_be_two_classes(root: Path) -> None:
    (root / "cat/more").symlink_to(root / "dog")
    with pytest.raises(DataError, match=r"cat/more leads to images that are listed as class 'dog' of the train part"):
        list_folder(root)


def test_one_folder_cannot_train_and_test(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"never opened")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/cat").symlink_to(tmp_path / "train/cat")
    with pytest.raises(DataError, match=r"test/cat leads to images that are listed as class 'cat' of the train part"):
        list_folder(tmp_path)


def test_a_folder_of_too_many_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    with pytest.raises(DataError, match="contains more than 1 files"):
        list_folder(root)


def test_a_table_whose_line_does_not_end(root: Path) -> None:
    table = root / "t.csv"
    table.write_text("path,label\ncat/1.png,cat\n" + "x" * 100_000)
    with pytest.raises(DataError, match=r"t.csv: line 3 is longer than 100,000 characters"):
        list_manifest(table)


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


SMALL = {kind: _save(Image.new("L", (2, 2)), kind) for kind in ("JPEG", "PNG", "GIF", "JPEG2000")}

# What comes before or between the pixels, byte by byte or in tiny pieces, for as long as the file goes on.
ENDLESS = {
    "comment.ppm": b"P6\n#" + b"a" * MANY + b"\n2 2\n255\n" + bytes(12),
    "blanks.pgm": b"P5\n" + b" " * MANY + b"2 2\n255\n" + bytes(4),
    "fill.jpg": SMALL["JPEG"][:2] + b"\xff" * MANY + SMALL["JPEG"][2:],
    "comments.jpg": SMALL["JPEG"][:2] + b"\xff\xfe\0\2" * (MANY // 4) + SMALL["JPEG"][2:],
    "chunks.png": SMALL["PNG"][:33] + _chunk(b"abCd", b"") * (MANY // 12) + SMALL["PNG"][33:],
    "comments.gif": SMALL["GIF"][:13] + b"!\xfe\1a\0" * (MANY // 5) + SMALL["GIF"][13:],
    "trailing.gif": SMALL["GIF"][:-1] + b"\1" * MANY,
    "boxes.jp2": SMALL["JPEG2000"][:32] + (struct.pack(">I", 8) + b"free") * (MANY // 8) + SMALL["JPEG2000"][32:],
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_header_without_end(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ENDLESS[name])
    with pytest.raises(PictureError, match="an endless header"):
        read_picture(str(tmp_path / name))


def test_run_lengths_that_fill_no_pixel(tmp_path: Path) -> None:
    runs = b"\0\0" * (MANY // 2)
    size = 54 + 1_024 + len(runs)
    header = b"BM" + struct.pack("<IHHI", size, 0, 0, 54 + 1_024)
    header += struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 8, 1, len(runs), 0, 0, 256, 0)
    (tmp_path / "x.bmp").write_bytes(header + bytes(1_024) + runs)
    with pytest.raises(PictureError, match="endless"):
        read_picture(str(tmp_path / "x.bmp"))


def test_a_jpeg_of_very_many_scans(tmp_path: Path) -> None:
    """Each scan is 14 bytes and a pass over all pixels."""
    plain = _save(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    scan = plain[plain.rfind(b"\xff\xda") : -2]
    (tmp_path / "x.jpg").write_bytes(plain)
    assert read_picture(str(tmp_path / "x.jpg")).pixels_HWC.shape == (64, 64, 1)
    (tmp_path / "x.jpg").write_bytes(plain[:-2] + scan * 100 + plain[-2:])
    with pytest.raises(PictureError, match="more than 100 scans"):
        read_picture(str(tmp_path / "x.jpg"))


def test_a_text_image_of_very_many_comments(tmp_path: Path) -> None:
    """Pillow copies the rest of a megabyte for each: 2 MB of them took 20 s."""
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P2\n2 2\n255\n" + b"#a\n" * 1_001 + b"1 2 3 4")
    with pytest.raises(PictureError, match="more than 1,000 comments"):
        read_picture(str(path))
    path.write_bytes(b"P2\n2 2\n255\n" + b"#a\n" * 10 + b"1 2 3 4")
    assert read_picture(str(path)).pixels_HWC[..., 0].tolist() == [[1, 2], [3, 4]]


def test_what_is_written_in_small_pieces_is_read(tmp_path: Path) -> None:
    """An animation's first frame ends after hundreds of blocks, run lengths come two bytes at a time."""
    noise = Image.effect_noise((200, 200), 90)
    noise.save(tmp_path / "x.gif", save_all=True, append_images=[Image.new("L", (200, 200))])
    assert read_picture(str(tmp_path / "x.gif")).has_frames
    row = b"\1\7" * 200 + b"\0\0"
    runs = row * 200 + b"\0\1"
    header = b"BM" + struct.pack("<IHHI", 54 + 1_024 + len(runs), 0, 0, 54 + 1_024)
    header += struct.pack("<IiiHHIIiiII", 40, 200, 200, 1, 8, 1, len(runs), 0, 0, 256, 0)
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256))
    (tmp_path / "x.bmp").write_bytes(header + palette + runs)
    assert (read_picture(str(tmp_path / "x.bmp")).pixels_HWC == 7).all()
