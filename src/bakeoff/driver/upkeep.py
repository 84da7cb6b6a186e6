"""Finds unreferenced files in a workspace, and locks it against concurrent drivers. No torch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.engine.checkpoint_file import DamagedCheckpoint, read_file
from bakeoff.errors import StorageError, UnwritableError, WorkspaceInUseError
from bakeoff.workspace import FEATURES_FILE, HASH, TRIAL_FILE, Folders, find_half_written, list_files, list_folders

_ANY_NAME = r"[^.].*"


@dataclass(frozen=True)
class Leftover:
    """Unreferenced data: a file created by bakeoff, or its files in a folder.

    Attributes:
        path: the file or folder; a folder with other files is kept together with these.
        why: why it is not needed, in words.
        files: the files that may be deleted. `num_bytes`: their total size.
    """

    path: Path
    why: str
    files: tuple[Path, ...]
    num_bytes: int

    @classmethod
    def of(cls, path: Path, why: str, files: Sequence[Path] = ()) -> Leftover:
        """Return a file, or some files of a folder, as a leftover."""
        files = tuple(files) or (path,)
        return cls(path, why, files, sum(file.lstat().st_size for file in files))


@contextmanager
def hold_workspace(folders: Folders) -> Iterator[None]:
    """Lock out drivers while the workspace is searched.

    Raises:
        WorkspaceError: a driver is running, or the workspace cannot be written.
    """
    lock = FileLock(folders.driver_lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkspaceInUseError(
            f"{folders.root}: a run is in progress in this workspace. Wait for it to finish."
        ) from error
    except OSError as error:
        raise UnwritableError(f"{folders.root}: cannot be written ({error.strerror or error}).") from error
    try:
        yield
    finally:
        lock.release()


def find_leftovers(folders: Folders, connection: sqlite3.Connection) -> Iterator[Leftover]:
    """Yield unreferenced data: partial files, damaged checkpoints, files of trials that belong to no study.

    Only files created by bakeoff, recognised by name and folder: a workspace may contain other files. Links are neither
    deleted nor followed. Weights that trials start from, and of unfinished trials checkpoints and features are kept.
    """
    placed = {row[0] for row in connection.execute("SELECT DISTINCT trial_id FROM placements")}
    trials = [trial for part in list_folders(folders.trials, r"[0-9a-f]{2}") for trial in list_folders(part, HASH)]
    reports = list_folders(folders.root / "reports", _ANY_NAME)
    kept = (
        folders.root,
        folders.checkpoints,
        *(folders.root / name for name in ("weights", "pictures", "audits", "stress", "briefs")),
    )
    features = list_folders(folders.features, HASH)
    for place in (*kept, *reports, *trials, *features):
        for path in find_half_written(place):
            yield Leftover.of(path, "partially written by a killed process")
    for path in list_files(folders.checkpoints, rf"{HASH}\.safetensors\.damaged"):
        yield Leftover.of(path, "a damaged checkpoint that was set aside")
    yield from _find_checkpoints(folders, connection, placed)
    if placed <= _find_ended(connection):
        for folder in features:
            files = list_files(folder, FEATURES_FILE)
            if files:
                yield Leftover.of(folder, "features of frozen bodies whose heads are all trained", files)
    for trial in trials:
        files = list_files(trial, TRIAL_FILE)
        if files and trial.name not in placed:
            yield Leftover.of(trial, "of a trial that belongs to no study", files)


def _find_checkpoints(folders: Folders, connection: sqlite3.Connection, placed: set[str]) -> Iterator[Leftover]:
    ended = _find_ended(connection)
    for path in list_files(folders.checkpoints, rf"{HASH}\.pt"):
        yield Leftover.of(path, "a checkpoint of an earlier version, which this one cannot read")
    for path in list_files(folders.checkpoints, rf"{HASH}\.safetensors"):
        try:
            content, _ = read_file(path)
        except (DamagedCheckpoint, StorageError):
            continue  # the run that needs it sets it aside, or reports the error
        open_ids = {each for each in content["members"] if each in placed and each not in ended}
        if not open_ids:
            yield Leftover.of(path, "a checkpoint whose trials have all ended")


def _find_ended(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT id FROM trials WHERE state != 'failed'")}
