"""What the pages show of a workspace, read from its ledger and cached until the ledger changes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from bakeoff.errors import BakeoffError, UnknownStudyError, WorkspaceError
from bakeoff.ledger.live import (
    StudyProgress,
    list_arms_in_training,
    read_all_progress,
    read_block_epochs,
    read_progress,
    read_snapshot,
)
from bakeoff.ledger.read import list_studies, match_studies, open_reading, read_study, shorten_ids
from bakeoff.report.figures.curves import MAX_ARMS
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.gather import gather_report
from bakeoff.report.overview import Overview, Overviews
from bakeoff.report.render.html import write_html
from bakeoff.serve.figures import choose_arms, draw_live_curves, draw_live_search
from bakeoff.serve.watch import Pace, Watch
from bakeoff.workspace import Folders

T = TypeVar("T")

_MOST_KEPT = 32
_MOST_SECONDS = 0.5
"""Time in which a response may compute verdicts that are not kept yet; further ones follow with the next."""
_SETTLED_SECONDS = 2.0
"""A file modified this recently may change again without a new timestamp or size."""


@dataclass(frozen=True)
class Seen:
    """A study's progress and activity, and its row in the table of studies unless that takes too long to compute."""

    progress: StudyProgress
    pace: Pace
    overview: Overview | None = None


@dataclass(frozen=True)
class _Kept:
    stamp: Hashable
    made_at: float
    is_settled: bool
    value: Any


class SeveralStudiesError(BakeoffError, code=UnknownStudyError.code):
    """A name in an address belongs to several studies."""


class Workspace:
    """One workspace, read-only. Thread-safe.

    Args:
        root: its folder; it need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = Folders(root)
        self._watch = Watch()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = Lock()
        self._rendering = Lock()
        self._overviews = Overviews(self._folders, writes=False)

    def list_studies(self) -> tuple[Seen, ...]:
        """Return every study, newest first.

        Raises:
            WorkspaceError: there is no readable ledger.
        """
        overviews = {row.study_id: row for row in self.list_overviews()}
        found = self._keep("studies", self._read_all)
        return tuple(self._look(progress, overviews.get(progress.study_id)) for progress in found)

    def list_overviews(self, seconds: float = _MOST_SECONDS) -> tuple[Overview, ...]:
        """Return the table of studies, newest first; rows not computed after some seconds are unread until later.

        Raises:
            WorkspaceError: there is no readable ledger.
        """
        return self._overviews.read(seconds)

    def find_study(self, given: str) -> Seen | None:
        """Return the study with this id, prefix of an id or name, as commands accept them, or None.

        Raises:
            SeveralStudiesError: there are several.
            WorkspaceError: there is no readable ledger.
        """
        progress = self._keep(("study", given), lambda: self._read_one(given))
        return None if progress is None else self._look(progress, self._overviews.find(progress.study_id))

    def draw(self, progress: StudyProgress, block: str, metric: str) -> tuple[FigureSpec, ...]:
        """Draw training progress in one block: the curves of its arms and, for a search, its history."""
        key = ("figures", progress.study_id, block, metric)
        return self._keep(key, lambda: self._draw(progress, block, metric))

    def render_report(self, study_id: str) -> str:
        """Return a study's `report.html` for the current ledger. Reports are made one at a time."""
        with self._rendering:
            return self._keep(("report", study_id), lambda: write_html(gather_report(study_id, self._folders)))

    def _look(self, progress: StudyProgress, overview: Overview | None) -> Seen:
        written = max((stamp[0] for stamp in self._stamp()), default=0) / 1e9
        pace = self._watch.look(progress.study_id, progress.num_epochs, time.time() - written)
        return Seen(progress, pace, overview)

    def _read_all(self) -> tuple[StudyProgress, ...]:
        with open_reading(self._folders) as connection, read_snapshot(connection):
            return read_all_progress(connection)

    def _read_one(self, given: str) -> StudyProgress | None:
        with open_reading(self._folders) as connection, read_snapshot(connection):
            found = read_progress(connection, given)
            if found is not None:
                return found
            listed = list_studies(connection)
            try:
                matched = match_studies(listed, given)
            except WorkspaceError:
                return None
            if len(matched) > 1:
                short = shorten_ids([study.study_id for study in listed])
                ids = ", ".join(short[study.study_id] for study in matched)
                raise SeveralStudiesError(f"There are {len(matched)} studies '{given}'. Give the id of one: {ids}.")
            return read_progress(connection, matched[0].study_id)

    def _draw(self, progress: StudyProgress, block: str, metric: str) -> tuple[FigureSpec, ...]:
        study_id = progress.study_id
        with open_reading(self._folders) as connection, read_snapshot(connection):
            candidates, is_search = list_arms_in_training(connection, study_id, block, MAX_ARMS)
            rows = list(read_block_epochs(connection, study_id, block, metric, candidates=is_search))
            record = read_study(connection, study_id) if progress.num_candidates else None
        arms = candidates or choose_arms(progress, block)
        drawn = [draw_live_curves(progress, block, metric, arms, rows)]
        if record is not None:
            drawn.append(draw_live_search(progress, block, record.document, record.candidates))
        return tuple(figure for figure in drawn if figure is not None)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Return a value that changes whenever the ledger does: time, size and inode of its files."""
        ledger = self._folders.ledger
        found = []
        for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached result of `make` for the current ledger, or call it."""
        stamp = self._stamp()
        with self._lock:
            kept = self._kept.get(key)
        now = time.time()
        if kept is not None and kept.stamp == stamp and (kept.is_settled or now - kept.made_at < 1.0):
            value: T = kept.value
            return value
        value = make()
        written = max((each[0] for each in stamp), default=0) / 1e9
        with self._lock:
            self._kept[key] = _Kept(stamp, now, now - written > _SETTLED_SECONDS, value)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return value
