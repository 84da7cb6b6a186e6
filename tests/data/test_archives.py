"""Archives of class folders are the same images as the folder, and cannot write outside the cache."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import archives
from bakeoff.data.manage import find_source, show
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.errors import DataError


def _png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


FILES = {f"{label}/{number}.png": _png(10 * number + len(label)) for label in ("cat", "horse") for number in range(6)}


def _write(path: Path, files: Mapping[str, bytes], wrapped: str = "") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(wrapped + name, content)
        return path
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '').replace('tgz', 'gz')}") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(wrapped + name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "pets"


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.gz", "pets.tgz", "pets.tar.bz2", "pets.tar.xz"])
@pytest.mark.parametrize("wrapped", ["", "download/pets/"])
def test_an_archive_is_the_folder_in_it(tmp_path: Path, folder: Path, name: str, wrapped: str) -> None:
    source = DataSource(folder=str(_write(tmp_path / name, FILES, wrapped)))
    for opens in (open_training, open_test):
        packed, plain = opens(source), opens(DataSource(folder=str(folder)))
        assert packed.fingerprint == plain.fingerprint
        assert packed.class_names == ("cat", "horse")


def test_parts_in_an_archive(tmp_path: Path) -> None:
    files = {f"{part}/{name}": content for part in ("train", "test") for name, content in FILES.items()}
    source = DataSource(folder=str(_write(tmp_path / "pets.zip", files)), duplicates="allow")  # the same in both parts
    assert len(open_training(source).labels) == len(open_test(source).labels) == len(FILES)


def test_it_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _write(tmp_path / "pets.zip", FILES)
    first = archives.unpack(archive)
    monkeypatch.setattr(archives, "_read_members", lambda archive: pytest.fail("unpacked twice"))
    assert archives.unpack(archive) == first


def test_the_command_line_takes_archives(tmp_path: Path) -> None:
    archive = _write(tmp_path / "pets.zip", FILES)
    assert find_source(str(archive)) == DataSource(folder=str(archive))
    assert show(str(archive))["train_images_per_class"] == {"cat": 5, "horse": 5}


@pytest.mark.parametrize(
    "evil", ["../escape.png", "/abs/escape.png", "a/../../escape.png", "C:/escape.png", ".x/e.png"]
)
@pytest.mark.parametrize("name", ["pets.zip", "pets.tar"])
def test_names_cannot_escape(tmp_path: Path, name: str, evil: str) -> None:
    root = archives.unpack(_write(tmp_path / name, {**FILES, evil: _png(1)}))
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    assert found == sorted(FILES)
    assert not list(tmp_path.rglob("escape.png"))


def test_links_and_devices_are_not_unpacked(tmp_path: Path) -> None:
    path = _write(tmp_path / "pets.tar", FILES)
    with tarfile.open(path, "a") as packed:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"cat/evil{kind.decode()}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
    assert not list(archives.unpack(path).rglob("evil*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read"), (b"PK\x03\x04 no archive", "cannot be read")],
)
@pytest.mark.parametrize("name", ["pets.zip", "pets.tar.gz"])
def test_damaged(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        archives.unpack(tmp_path / name)


def test_truncated(tmp_path: Path, cache: Path) -> None:
    path = _write(tmp_path / "pets.tar.gz", FILES)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"pets\.tar\.gz"):
        archives.unpack(path)
    assert not [each for each in (cache / "unpacked").iterdir() if each.is_dir()]


def test_of_two_versions_of_a_file_the_last_counts(tmp_path: Path) -> None:
    old, new = _png(1), _png(2)
    with tarfile.open(tmp_path / "pets.tar", "w") as packed:
        for content in (old, new):
            info = tarfile.TarInfo("cat/1.png")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    assert next(archives.unpack(tmp_path / "pets.tar").rglob("1.png")).read_bytes() == new


def test_encrypted(tmp_path: Path) -> None:
    path = _write(tmp_path / "pets.zip", FILES)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pets\.zip is encrypted"):
        archives.unpack(path)


def test_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        archives.unpack(_write(tmp_path / "pets.zip", {"notes.txt": b"x"}))


def test_oversized_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 10)
    with pytest.raises(DataError, match="at most 10"):
        archives.unpack(_write(tmp_path / "pets.zip", FILES))


def test_a_manifest_is_not_an_archive(tmp_path: Path) -> None:
    archive = _write(tmp_path / "pets.zip", FILES)
    with pytest.raises(DataError, match="not a manifest"):
        open_training(DataSource(manifest=str(archive)))
