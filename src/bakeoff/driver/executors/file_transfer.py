"""File transfer between a workspace and remote workers: files a task reads, and files it wrote. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from bakeoff.catalog.transfer import FileWeights, TrialWeights
from bakeoff.errors import WorkerError
from bakeoff.messages import CohortTask, FinalTestTask, Member, Task
from bakeoff.workspace import Folders, read_whole, write_whole

Parcel = Mapping[str, bytes]
"""Files by their path in the workspace, with `/` on every operating system."""


def pack_inputs(task: Task, folders: Folders) -> dict[str, bytes]:
    """Return the files of a workspace that a task reads: checkpoints to resume from, weights to start from or evaluate.

    Missing files are left out: the task reports what it misses.

    Raises:
        StorageError: a file exists but cannot be read.
    """
    found = {}
    for path in dict.fromkeys(_list_inputs(task, folders)):
        with suppress(FileNotFoundError):
            found[path.relative_to(folders.root).as_posix()] = read_whole(path)
    return found


def _list_inputs(task: Task, folders: Folders) -> Iterator[Path]:
    for member in task.members:
        yield from _list_transferred(member, folders)
    if isinstance(task, CohortTask):
        yield from (folders.checkpoint(cohort_id) for cohort_id in (task.cohort_id, *task.resume_from))
    elif isinstance(task, FinalTestTask):
        yield from (folders.weights(member.trial_id) for member in task.members)


def _list_transferred(member: Member, folders: Folders) -> Iterator[Path]:
    weights = None if member.recipe.transfer is None else member.recipe.transfer.weights
    if isinstance(weights, TrialWeights):
        yield folders.weights(weights.trial)
    elif isinstance(weights, FileWeights) and weights.sha256 is not None:
        copy = folders.find_copied_weights(weights.sha256)
        yield from () if copy is None else (copy,)


def unpack(parcel: Parcel, root: Path) -> None:
    """Write transferred files below `root`, each atomically.

    Raises:
        WorkspaceError: a path leads out of `root`; then nothing is written.
    """
    targets = {root / _confine(name): content for name, content in parcel.items()}
    for path, content in targets.items():
        write_whole(path, partial(_write, content))


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _confine(name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or ":" in name:
        raise WorkerError(f"a worker sent a file for '{name}', which is outside the workspace; it was rejected.")
    return Path(*path.parts)


class Outbox:
    """Finds what a worker has written to its own folder since the last call.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, tuple[int, int]] = dict(self._find_changed())

    def collect(self) -> dict[str, bytes]:
        """Return new and changed files. Call it only while nothing is being written."""
        found = dict(self._find_changed())
        changed = [name for name, state in found.items() if self._seen.get(name) != state]
        self._seen = found
        return {name: (self._root / name).read_bytes() for name in changed}

    def _find_changed(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for path in self._root.rglob("*"):
            if path.is_file() and path.suffix != ".part":
                status = path.stat()
                # Files are replaced, never overwritten: a new one has a new inode.
                yield path.relative_to(self._root).as_posix(), (status.st_ino, status.st_mtime_ns)
