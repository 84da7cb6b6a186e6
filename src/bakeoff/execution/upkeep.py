"""What lies in a workspace, which of it the ledger refers to, and the lock that keeps drivers apart. No torch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.errors import StorageError, WorkspaceError
from bakeoff.training.checkpoint_file import DamagedCheckpoint, read_file
from bakeoff.training.folders import HASH, TRIAL_FILE, Folders, find_half_written, list_files, list_folders

_ANY_NAME = r"[^.].*"


@dataclass(frozen=True)
class Leftover:
    """What nothing refers to: a file that bakeoff made, or the files it made in a folder.

    Attributes:
        path: the file, or the folder; whatever else lies in the folder stays, and so does the folder then.
        why: nobody needs it, in words.
        files: what may be deleted. `num_bytes`: all of it.
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
    """Keep drivers out while the workspace is looked through.

    Raises:
        WorkspaceError: one is running, or the workspace cannot be written.
    """
    lock = FileLock(folders.driver_lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkspaceError(f"{folders.root}: a run is under way in this workspace. Wait for its end.") from error
    except OSError as error:
        raise WorkspaceError(f"{folders.root}: cannot be written ({error.strerror or error}).") from error
    try:
        yield
    finally:
        lock.release()


def find_leftovers(folders: Folders, connection: sqlite3.Connection) -> Iterator[Leftover]:
    """Yield what nothing refers to: half-written files, damaged checkpoints, what no study's trials have left.

    Only what bakeoff itself has made, known by its name and by the folder it lies in: a workspace may be a folder that
    people keep other things in. Links are neither deleted nor followed. Weights that trials start from are kept, as are
    the checkpoints of whatever is not at its end.
    """
    placed = {row[0] for row in connection.execute("SELECT DISTINCT trial_id FROM placements")}
    trials = [trial for part in list_folders(folders.trials, r"[0-9a-f]{2}") for trial in list_folders(part, HASH)]
    reports = list_folders(folders.root / "reports", _ANY_NAME)
    kept = (folders.root, folders.checkpoints, folders.root / "weights", folders.root / "pictures")
    for place in (*kept, *reports, *trials):
        for path in find_half_written(place):
            yield Leftover.of(path, "half written by a process that was killed")
    for path in list_files(folders.checkpoints, rf"{HASH}\.safetensors\.damaged"):
        yield Leftover.of(path, "a damaged checkpoint that was put aside")
    yield from _find_checkpoints(folders, connection, placed)
    for trial in trials:
        files = list_files(trial, TRIAL_FILE)
        if files and trial.name not in placed:
            yield Leftover.of(trial, "of a trial that is in no study", files)


def _find_checkpoints(folders: Folders, connection: sqlite3.Connection, placed: set[str]) -> Iterator[Leftover]:
    ended = {row[0] for row in connection.execute("SELECT id FROM trials WHERE state != 'failed'")}
    for path in list_files(folders.checkpoints, rf"{HASH}\.pt"):
        yield Leftover.of(path, "a checkpoint of an earlier version, which this one does not read")
    for path in list_files(folders.checkpoints, rf"{HASH}\.safetensors"):
        try:
            content, _ = read_file(path)
        except (DamagedCheckpoint, StorageError):
            continue  # the run that needs it puts it aside, or says what is in the way
        open_ids = {each for each in content["members"] if each in placed and each not in ended}
        if not open_ids:
            yield Leftover.of(path, "a checkpoint whose trials have all ended")
