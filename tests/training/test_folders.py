from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import WorkspaceError
from bakeoff.training.folders import Folders, load_predictions, save_predictions, write_whole

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
    path = Folders(tmp_path).reports(name)
    assert path.parent == tmp_path / "reports"
    assert path.resolve().parent == (tmp_path / "reports").resolve()
    assert path.name
    assert not path.name.startswith(".")
    path.mkdir(parents=True)


def test_a_plain_name_stays_as_it_is(tmp_path: Path) -> None:
    assert Folders(tmp_path).reports("weight-init_2.tuned").name == "weight-init_2.tuned"


def test_every_path_lies_under_the_root_and_apart(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    paths = [
        folders.ledger,
        folders.weights("abcdef"),
        folders.weights("abcdeg"),
        folders.predictions("abcdef", "validation"),
        folders.predictions("abcdef", "test"),
        folders.checkpoint("abcdef"),
        folders.reports("abcdef"),
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
