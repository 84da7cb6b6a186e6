"""Deletes unused files: in a workspace those that its ledger does not refer to, in the cache old ones."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from bakeoff.data.locate import cache_folder
from bakeoff.driver.upkeep import Leftover, find_leftovers, hold_workspace
from bakeoff.errors import UnwritableError
from bakeoff.ledger.read import open_reading
from bakeoff.system import remove
from bakeoff.workspace import HASH, Folders, list_files, list_folders

_DAY_SECONDS = 86_400
_UNFINISHED = r"(?:\.part-\w+)?"
_DECODED = rf"[\w.-]+-(?:train|test)-(?:part-)?{HASH}{_UNFINISHED}"
_DECODED_FILE = r"[a-z_]+\.(?:npy|json|raw)"
_FEATURES = rf"{HASH}\.npy"
"""Features that earlier versions kept in the cache."""


def collect_workspace(workspace: Path, *, delete: bool) -> tuple[Leftover, ...]:
    """Return what nothing in a workspace refers to, and optionally delete it.

    Raises:
        WorkspaceError: no ledger, a run is in progress, or something cannot be deleted.
    """
    folders = Folders(workspace)
    with open_reading(folders) as connection, hold_workspace(folders):
        found = tuple(find_leftovers(folders, connection))
        if delete:
            _delete(found)
    return found


def collect_cache(days: float, *, delete: bool) -> tuple[Leftover, ...]:
    """Return decoded images and features that were not used for a number of days, and optionally delete them."""
    found = tuple(_find_stale(cache_folder(), time.time() - days * _DAY_SECONDS, days))
    if delete:
        _delete(found)
    return found


def _find_stale(cache: Path, since: float, days: float) -> Iterator[Leftover]:
    why = f"not used for {days:g} days; recreated when needed"
    for place, files in _list_cached(cache):
        if files and _used_at(files) < since and not _is_in_use(place):
            yield Leftover.of(place, why, files)


def _list_cached(cache: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield what bakeoff has cached, with its files: recognised by name, since the cache may contain other files."""
    for folder in list_folders(cache / "decoded", _DECODED):
        yield folder, list_files(folder, _DECODED_FILE)
    for file in list_files(cache / "features", _FEATURES):
        yield file, [file, *list_files(file.parent, rf"{file.stem}\.json")]
    for file in list_files(cache / "contents", rf"{HASH}\.json"):
        yield file, [file]
    for file in list_files(cache / "audits", rf"{HASH}(?:-signatures)?\.npz"):
        yield file, [file]
    for folder in list_folders(cache / "features", rf"{_FEATURES}\.part-\w+"):
        yield folder, list_files(folder, _FEATURES)


def _used_at(files: Sequence[Path]) -> float:
    """Return when one of the files was last read or written."""
    statuses = [file.lstat() for file in files]
    return float(max(max(status.st_atime, status.st_mtime) for status in statuses))


def _is_in_use(place: Path) -> bool:
    """Return whether a process is currently creating it."""
    lock = place.with_name(f"{place.name.partition('.part-')[0]}.lock")
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _delete(found: tuple[Leftover, ...]) -> None:
    for each in found:
        try:
            for file in each.files:
                remove(file)
            if each.path not in each.files:
                with contextlib.suppress(OSError):  # other files in it are kept
                    each.path.rmdir()
        except OSError as error:
            raise UnwritableError(f"{each.path}: cannot be deleted ({error.strerror or error}).") from error
