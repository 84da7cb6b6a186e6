"""Frees what nothing refers to: in a workspace what its ledger does not know, in the cache what was long not used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bakeoff.data.locate import cache_folder
from bakeoff.errors import WorkspaceError
from bakeoff.execution.upkeep import Leftover, find_leftovers, hold_workspace, size_of
from bakeoff.ledger.read import open_reading
from bakeoff.training.folders import Folders

_DAY_SECONDS = 86_400
_CACHED = ("decoded", "features")
"""Parts of the cache that are made again when they are missed. Downloads stay."""


def collect_workspace(workspace: Path, *, delete: bool) -> tuple[Leftover, ...]:
    """Return what nothing in a workspace refers to, deleted if asked.

    Raises:
        WorkspaceError: no ledger, a run is under way, or something cannot be deleted.
    """
    folders = Folders(workspace)
    with open_reading(folders) as connection, hold_workspace(folders):
        found = tuple(find_leftovers(folders, connection))
        if delete:
            _delete(found)
    return found


def collect_cache(days: float, *, delete: bool) -> tuple[Leftover, ...]:
    """Return decoded images and features that were not used for so many days, deleted if asked."""
    found = tuple(_find_stale(cache_folder(), time.time() - days * _DAY_SECONDS, days))
    if delete:
        _delete(found)
    return found


def _find_stale(cache: Path, since: float, days: float) -> Iterator[Leftover]:
    for part in _CACHED:
        for path in sorted((cache / part).glob("*")):
            if path.suffix != ".lock" and _used_at(path) < since:
                yield Leftover(path, f"not used for {days:g} days; made again when it is needed", size_of(path))


def _used_at(path: Path) -> float:
    """Return when a file, or any below a folder, was last read or written."""
    files = [path, *(path.rglob("*") if path.is_dir() else ())]
    statuses = [each.stat() for each in files]
    return float(max(max(status.st_atime, status.st_mtime) for status in statuses))


def _delete(found: tuple[Leftover, ...]) -> None:
    for each in found:
        try:
            if each.path.is_dir():
                shutil.rmtree(each.path)
            else:
                each.path.unlink(missing_ok=True)
        except OSError as error:
            raise WorkspaceError(f"{each.path}: cannot be deleted ({error.strerror or error}).") from error
