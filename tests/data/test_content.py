"""Content decides which decoded images are taken: whatever a file's time and size say, and without reading twice."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import content, files, store
from bakeoff.data.content import Stamp, check_unchanged, hash_contents
from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded, open_training
from bakeoff.errors import DataError


def paint(folder: Path, seed: int) -> Path:
    """Write 20 images of two classes: files of one size, whatever the pixels."""
    rng = np.random.default_rng(seed)
    for number in range(20):
        path = folder / f"class {number % 2}" / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)).save(path)
        os.utime(path, ns=(10**18, 10**18))
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for long unchanged, though the test has just written them."""
    monkeypatch.setattr(content, "SETTLED_NS", -(10**12))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content was hashed."""
    hashed: list[str] = []
    hash_file = content._hash_file

    def listen(path: str) -> str:
        hashed.append(path)
        return hash_file(path)

    monkeypatch.setattr(content, "_hash_file", listen)
    return hashed


def overwrite(folder: Path) -> None:
    paint(folder, 1)


def replace_all(folder: Path) -> None:
    shutil.copytree(paint(folder.with_name("others"), 1), folder, dirs_exist_ok=True)  # with their times


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [overwrite, replace_all])
def test_other_pixels_of_equal_size_and_time_are_other_images(tmp_path: Path, change: Callable[[Path], None]) -> None:
    source = DataSource(folder=str(paint(tmp_path / "pets", 0)))
    before = open_training(source)
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in sorted((tmp_path / "pets").rglob("*.bmp"))]
    change(tmp_path / "pets")
    after = [(path.stat().st_size, path.stat().st_mtime_ns) for path in sorted((tmp_path / "pets").rglob("*.bmp"))]
    assert after == stats
    assert open_training(source).fingerprint != before.fingerprint
    paint(tmp_path / "pets", 0)
    assert open_training(source).fingerprint == before.fingerprint


@pytest.mark.usefixtures("settled")
def test_so_are_other_files_of_a_registered_dataset(small, write_mnist, tmp_path: Path) -> None:
    written = write_mnist()
    (path,) = written.root.rglob("train-images*")
    os.utime(path, ns=(10**18, 10**18))
    before = open_training("mnist", written.root)
    path.write_bytes(path.read_bytes()[:16] + bytes(path.stat().st_size - 16))
    os.utime(path, ns=(10**18, 10**18))
    after = open_training("mnist", written.root)
    assert after.fingerprint != before.fingerprint
    assert not after.pixels.any()


@pytest.mark.usefixtures("settled")
def test_what_has_not_changed_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    source = DataSource(folder=str(paint(tmp_path / "pets", 0)), duplicates="allow")  # without an audit
    open_training(source)
    assert len(read) == 16
    open_training(source)
    assert len(read) == 16


def test_what_was_only_just_written_is_read_again(tmp_path: Path, read: list[str]) -> None:
    # A clock that ticks slowly gives a second change the time of the first.
    source = DataSource(folder=str(paint(tmp_path / "pets", 0)), duplicates="allow")  # without an audit
    open_training(source)
    open_training(source)
    assert len(read) == 32


@pytest.mark.usefixtures("settled")
def test_the_same_images_elsewhere_or_with_other_times_are_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paint(tmp_path / "pets", 0)
    before = open_training(DataSource(folder=str(folder)))
    monkeypatch.setattr(files, "_decode", lambda *rest: pytest.fail("decoded again"))
    for path in folder.rglob("*.bmp"):
        path.chmod(0o640)
        os.utime(path)
    assert open_training(DataSource(folder=str(folder))).fingerprint == before.fingerprint
    (tmp_path / "elsewhere").mkdir()
    folder = folder.rename(tmp_path / "elsewhere" / "pets")
    assert open_training(DataSource(folder=str(folder))).fingerprint == before.fingerprint


@pytest.mark.usefixtures("settled")
def test_a_report_reads_no_images_for_the_first_time(tmp_path: Path, read: list[str]) -> None:
    folder = paint(tmp_path / "pets", 0)
    assert find_decoded(DataSource(folder=str(folder)), "train") is None
    assert read == []


def test_what_cannot_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    stamps = [Stamp.of(str(path), path.stat())]
    with monkeypatch.context() as patch:
        denied = PermissionError(13, "Permission denied")
        patch.setattr(builtins, "open", lambda *_, **__: (_ for _ in ()).throw(denied))
        failed = hash_contents(stamps)
    assert failed != hash_contents(stamps)


def test_files_that_change_while_they_are_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paint(tmp_path / "pets", 0)
    load = files.hash_contents

    def interfere(*rest: object, **settings: bool) -> str | None:
        found = load(*rest, **settings)  # type: ignore[arg-type]
        (folder / "class 0" / "0.bmp").write_bytes(b"")
        return found

    monkeypatch.setattr(files, "hash_contents", interfere)
    with pytest.raises(DataError, match=r"0\.bmp was changed"):
        open_training(DataSource(folder=str(folder)))
    assert store.open_training("digits").labels.size  # what has no files cannot change
    check_unchanged([], "nothing")
