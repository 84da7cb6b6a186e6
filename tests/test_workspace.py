from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bakeoff import workspace as folders_module
from bakeoff.engine.checkpoint_file import write_file
from bakeoff.errors import StorageError, WorkspaceError
from bakeoff.ledger.store import Ledger
from bakeoff.workspace import Folders, load_predictions, save_predictions, write_whole

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "...",
    "a/../../b",
    "..\\..\\b",
    "C:\\b",
    "a\0b",
    "a\nb",
    "~root",
    "-rf",
    ".hidden",
    "ünïcode",
    "\u202e",
    "name with blanks",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_reports_stay_inside_the_workspace(name: str, tmp_path: Path) -> None:
    path = Folders(tmp_path).reports(name, "0123456789abcdef")
    assert path.parent == tmp_path / "reports"
    assert path.resolve().parent == (tmp_path / "reports").resolve()
    assert path.name
    assert not path.name.startswith(".")
    path.mkdir(parents=True)


def test_studies_of_one_name_or_of_names_reduced_to_one_have_folders_of_their_own(tmp_path: Path) -> None:
    asked = [("lr test", "0" * 64), ("lr-test", "1" * 64), ("lr-test", "2" * 64)]
    names = [Folders(tmp_path).reports(*each).name for each in asked]
    assert names == ["lr-test-00000000", "lr-test-11111111", "lr-test-22222222"]


def test_every_path_lies_under_the_root_and_apart(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    paths = [
        folders.ledger,
        folders.weights("abcdef"),
        folders.weights("abcdeg"),
        folders.predictions("abcdef", "validation"),
        folders.predictions("abcdef", "test"),
        folders.checkpoint("abcdef"),
        folders.reports("abcdef", "0" * 64),
    ]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path) for path in paths)


def _leave_half(path: Path) -> None:
    path.write_text("half of it")
    raise RuntimeError("the disk is gone")


def test_a_writer_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        write_whole(tmp_path / "deep" / "file", _leave_half)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_writer_that_raises_leaves_the_file_before_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", lambda path: path.write_text("whole"))
    with pytest.raises(RuntimeError):
        write_whole(tmp_path / "file", _leave_half)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "whole"


def test_the_name_appears_only_when_the_file_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"

    def write(path: Path) -> None:
        assert path.parent == tmp_path, "a rename between folders may not be one step"
        assert path != target
        path.write_text("whole")
        assert not target.exists()

    write_whole(target, write)
    assert target.read_text() == "whole"


def test_a_kill_between_writing_and_renaming_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "file", lambda path: path.write_text("old"))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", lambda path: path.write_text("new"))
    assert (tmp_path / "file").read_text() == "old"


def test_predictions_survive_being_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "validation.npz"
    probabilities = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    labels, indices = np.array([0, 1, 2, 1, 0]), np.array([3, 4, 9, 10, 12])
    save_predictions(path, probabilities, labels, indices)
    found = load_predictions(path)
    assert list(found) == ["probabilities", "labels", "indices"]
    assert np.array_equal(found["probabilities"], probabilities)
    assert np.array_equal(found["labels"], labels)
    assert np.array_equal(found["indices"], indices)
    assert [array.dtype.name for array in found.values()] == ["float32", "int64", "int64"]


def test_pickled_predictions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, probabilities=np.array([object()], dtype=object), labels=np.zeros(1), indices=np.zeros(1))
    with pytest.raises(WorkspaceError, match="allow_pickle"):
        load_predictions(path)


def test_a_name_is_on_the_disk_before_it_is_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not take a new folder, with the whole file in it."""
    flushed: list[str] = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        flush(descriptor)

    if sys.platform != "linux":
        pytest.skip("which file is written is read from /proc")
    monkeypatch.setattr(os, "fsync", note)
    write_whole(tmp_path / "a" / "b" / "file", lambda path: path.write_text("x"))
    assert any(path.endswith(".part") for path in flushed)
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(flushed)
    flushed.clear()
    write_whole(tmp_path / "a" / "b" / "file", lambda path: path.write_text("y"))
    assert len(flushed) == 2, "a folder that was there needs no flushing of those above it"


def _set_umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    yield
    os.umask(before)


def _save_tensors(path: Path) -> None:
    save_file({"0": np.zeros(3)}, path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(
    ("mask", "mode", "expected"), [(0o002, 0o666, 0o664), (0o077, 0o666, 0o600), (0o022, 0o640, 0o640)]
)
@pytest.mark.parametrize("write", [_save_tensors, lambda path: path.write_text("x")], ids=["safetensors", "text"])
def test_files_follow_the_umask(
    write: Callable[[Path], object], mask: int, mode: int, expected: int, tmp_path: Path
) -> None:
    """safetensors makes files for the user alone: nobody else of a group could go on with a workspace."""
    for _ in _set_umask(mask):
        write_whole(tmp_path / "file", write, mode=mode)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_everything_in_a_workspace_follows_the_umask(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "runs")
    for _ in _set_umask(0o002):
        write_file(folders.checkpoint("a" * 24), {}, {"0": np.zeros(2)})
        save_predictions(
            folders.predictions("b" * 24, "test"), np.zeros((1, 2), np.float32), np.zeros(1, int), np.zeros(1, int)
        )
        ledger = Ledger(folders)
        ledger.add_seconds("none", 1.0)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folders.root.rglob("*")}
    ledger.close()
    assert {name for name, mode in modes.items() if mode != (0o775 if "." not in name else 0o664)} == set()
    assert {"ledger.sqlite", "ledger.sqlite-wal", "bakeoff-workspace.txt"} <= modes.keys()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_predictions_that_cannot_be_read_are_not_taken_for_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    folders = Folders(tmp_path)
    assert folders.load_predictions("a" * 24, "test") is None
    monkeypatch.setattr(folders_module, "check_members", refuse)
    with pytest.raises(StorageError, match=os.strerror(number)):
        folders.load_predictions("a" * 24, "test")
