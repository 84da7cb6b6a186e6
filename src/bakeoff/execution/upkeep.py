"""What lies in a workspace, which of it the ledger refers to, and the lock that keeps drivers apart. No torch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.errors import WorkspaceError
from bakeoff.training.checkpoint_file import DamagedCheckpoint, read_file
from bakeoff.training.folders import Folders, find_half_written


@dataclass(frozen=True)
class Leftover:
    """A file or folder of a workspace that nothing refers to.

    Attributes:
        why: nobody needs it, in words.
        num_bytes: all of it.
    """

    path: Path
    why: str
    num_bytes: int


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

    Weights that trials start from are kept, as are the checkpoints of whatever is not at its end.
    """
    placed = {row[0] for row in connection.execute("SELECT DISTINCT trial_id FROM placements")}
    for path in sorted(path for path in find_half_written(folders.root, "**/")):
        yield Leftover(path, "half written by a process that was killed", size_of(path))
    for path in sorted(folders.checkpoints.glob("*.damaged")):
        yield Leftover(path, "a damaged checkpoint that was put aside", size_of(path))
    yield from _find_checkpoints(folders, connection, placed)
    for path in sorted(folders.trials.glob("*/*")):
        if path.is_dir() and path.name not in placed:
            yield Leftover(path, "of a trial that is in no study", size_of(path))


def _find_checkpoints(folders: Folders, connection: sqlite3.Connection, placed: set[str]) -> Iterator[Leftover]:
    ended = {row[0] for row in connection.execute("SELECT id FROM trials WHERE state != 'failed'")}
    for path in sorted(folders.checkpoints.glob("*.pt")):
        yield Leftover(path, "a checkpoint of an earlier version, which this one does not read", size_of(path))
    for path in sorted(folders.checkpoints.glob("*.safetensors")):
        try:
            content, _ = read_file(path)
        except DamagedCheckpoint:
            continue  # the run that needs it puts it aside
        open_ids = {each for each in content["members"] if each in placed and each not in ended}
        if not open_ids:
            yield Leftover(path, "a checkpoint whose trials have all ended", size_of(path))


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(each.stat().st_size for each in files if each.is_file())
