"""Progress of a run: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bakeoff.driver.searches import SearchProgress
from bakeoff.report.live_table import describe_search_progress, tabulate_standing
from bakeoff.report.standing import RunStanding, State
from bakeoff.report.text import count, show_text
from bakeoff.streams import Stream, make_console
from bakeoff.study.plan import Plan, PlannedTrial

_RATE_WINDOW_SECONDS = 15.0
_LINE_EVERY_SECONDS = 10.0
_MIN_EPOCHS_TIMED = 3
"""Epochs per running cohort before a remaining time is shown; the first ones include start-up, and mislead."""
_MIN_SECONDS_TIMED = 2.0
_MOST_COHORTS_SHOWN = 8
_MOST_COHORTS_BELOW_ARMS = 4
_MOST_ARMS_SHOWN = 12
_MOST_SEARCHES_SHOWN = 6
_OTHER_LINES = 10
"""Lines the display needs besides arms and cohorts: bar, counts, table header, hidden rows, searches, the prompt."""
_TABLE_EVERY_SECONDS = 1.0


class RunProgress:
    """Progress of a run on standard error, as a context manager. Call it from one thread only.

    In a terminal, this is a live display; elsewhere, a plain line at most every ten seconds; if `quiet`, nothing. What
    cannot be written, because the reader is gone or the disk is full, is dropped, and the run continues.

    Args:
        console: where to print; standard error if None.
        quiet: print nothing.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self, console: Console | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or make_console(Stream(sys.stderr))
        self._quiet = self.is_quiet = quiet
        self._clock = clock
        self._live: Live | None = None
        self._num_trials = self._num_done = self._num_failed = 0
        self._total_images = self._done_images = 0
        self._standing: RunStanding | None = None
        self._searches: tuple[SearchProgress, ...] = ()
        self._table: tuple[float, list[RenderableType]] | None = None
        self._lock = Lock()  # the live display reads from its own thread
        self._cohorts: dict[str, str] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._pace = _Pace()
        self._started = self._last_line = clock()

    def __enter__(self) -> RunProgress:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        """Begin a run.

        Args:
            num_trials: trials to train now.
            num_model_images: the most images they will see, summed over trials and epochs: the unit of work.
            num_reused: trials already in the ledger.
            plan: shows the standing of its arms.
        """
        self._num_trials = num_trials
        self._standing = None if plan is None else RunStanding(plan)
        self._total_images = num_model_images
        self._started = self._last_line = self._clock()
        reused = f", {num_reused:,} more are in the ledger" if num_reused else ""
        self._print_line(f"{count(num_trials, 'trial')} to train{reused}")

    def cohort_started(self, label: str, num_members: int) -> None:
        """Show a cohort as running; `label` identifies it in later calls."""
        with self._lock:
            self._cohorts[label] = count(num_members, "arm")

    def epoch_done(
        self,
        label: str,
        *,
        epoch: int,
        num_epochs: int,
        num_members: int,
        num_model_images: int,
        replayed: bool = False,
    ) -> None:
        """Count a finished epoch of a cohort's member.

        Args:
            label: the cohort.
            epoch: 1-based.
            num_epochs: its maximum.
            num_members: members still training.
            num_model_images: images seen in this epoch.
            replayed: whether an earlier run trained it, so that it does not count towards the rate.
        """
        with self._lock:
            self._cohorts[label] = f"{count(num_members, 'arm')}, epoch {epoch} of {num_epochs}"
            self._done_images += num_model_images
            if not replayed:
                self._recent.append((self._clock(), num_model_images))
                self._pace.add(self._clock(), label, epoch, num_model_images, max(1, len(self._cohorts)))
        self._print_standing()

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """Count a finished trial; `num_images_spared` are those it will not see because it stopped early or failed."""
        with self._lock:
            self._num_failed += failed
            self._num_done += not failed
            self._total_images = max(self._done_images, self._total_images - num_images_spared)
        self._print_standing()

    def trial_seen(self, trial: PlannedTrial, *, state: State, epoch: int, validation: Mapping[str, float]) -> None:
        """Record the present state of a trial, for the standing of the arms."""
        with self._lock:
            if self._standing is not None:
                self._standing.see(trial, state=state, epoch=epoch, validation=validation)

    def search_seen(self, searches: Sequence[SearchProgress]) -> None:
        """Record the progress of the searches."""
        with self._lock:
            self._searches = tuple(searches)

    def cohort_done(self, label: str) -> None:
        """Remove a cohort from the display."""
        with self._lock:
            self._cohorts.pop(label, None)

    def message(self, text: str) -> None:
        """Print a line above the display, such as a warning, unless quiet."""
        if not self._quiet:
            self._console.print(Text(show_text(text)), soft_wrap=True)

    def model_images_per_second(self) -> float:
        """Return the current rate: images trained per second, summed over models, in the last 15 seconds or so."""
        now = self._clock()
        while len(self._recent) > 1 and self._recent[0][0] < now - _RATE_WINDOW_SECONDS:
            self._recent.popleft()
        start = max(self._started, now - _RATE_WINDOW_SECONDS)
        if self._recent:
            start = min(start, self._recent[0][0])
        elapsed = now - start
        return sum(images for _, images in self._recent) / elapsed if elapsed > 0 else 0.0

    def seconds_left(self) -> float | None:
        """Return the time left at the average rate since the first epoch; None while too little has been timed.

        An upper estimate with early stopping: it counts every epoch that may still run.
        """
        rate = self._pace.images_per_second(self._clock())
        return None if rate is None else (self._total_images - self._done_images) / rate

    def _counts(self) -> list[str]:
        """Return what is done and how fast."""
        parts = [f"{self._num_done + self._num_failed:,} of {count(self._num_trials, 'trial')}"]
        if self._num_failed:
            parts.append(f"{self._num_failed:,} failed")
        rate = self.model_images_per_second()
        if rate > 0:
            parts.append(f"{rate:,.0f} model-images/s")
        return parts

    @property
    def done_share(self) -> float:
        """Fraction of the work that is done, from 0 to 1."""
        return self._done_images / self._total_images if self._total_images else 0.0

    @property
    def has_ended(self) -> bool:
        """Whether every trial planned so far has ended."""
        return self._num_done + self._num_failed >= self._num_trials

    def describe(self) -> str:
        """Return one line with what is done, how fast, the remaining time and the leading arm."""
        left = self.seconds_left()
        ending = [] if left is None or self.has_ended else [f"{_clock_time(left)} left"]
        return ", ".join([f"{self.done_share:.0%}", *self._counts(), *ending, *self._leader()])

    def _print_standing(self) -> None:
        if self._quiet or self._console.is_terminal or self._clock() - self._last_line < _LINE_EVERY_SECONDS:
            return
        self._print_line(self.describe())
        for search in self._searches:
            self._print_line(f"  {describe_search_progress(search)}")

    def _leader(self) -> list[str]:
        """Return the leading arm in words; empty if there is none yet."""
        if self._standing is None:
            return []
        first = self._standing.rank()[0]
        if first.lead is None or first.mean is None:
            return []
        measure = self._standing.measure
        return [f"ahead so far: {show_text(first.arm)} ({measure.label} {measure.value(first.mean)})"]

    def _print_line(self, text: str) -> None:
        """Print a plain line, unless there is a live display."""
        if self._quiet or self._console.is_terminal:
            return
        self._last_line = self._clock()
        self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> Group:
        with self._lock:
            return Group(*self._render_totals(), *self._render_arms(), *self._render_cohorts())

    def _render_totals(self) -> list[RenderableType]:
        elapsed, left = self._clock() - self._started, self.seconds_left()
        ending = "" if left is None else f", {_clock_time(left)} left"
        line = Table.grid(padding=(0, 1))
        width = max(8, min(30, self._console.width - 36))
        bar = ProgressBar(total=max(1, self._total_images), completed=self._done_images, width=width)
        line.add_row(bar, Text(f"{self.done_share:.0%} after {_clock_time(elapsed)}{ending}"))
        searches = [describe_search_progress(search) for search in self._searches[:_MOST_SEARCHES_SHOWN]]
        hidden = len(self._searches) - len(searches)
        if hidden > 0:
            searches.append(f"and {count(hidden, 'more search', 'more searches')}")
        return [
            line,
            *(Text(line, overflow="ellipsis", no_wrap=True) for line in (", ".join(self._counts()), *searches)),
        ]

    def _render_arms(self) -> list[RenderableType]:
        """Return the table of arms, updated once a second, because ranking a thousand trials takes a while."""
        if self._standing is None:
            return []
        now = self._clock()
        if self._table is None or now - self._table[0] >= _TABLE_EVERY_SECONDS:
            room = self._console.height - _OTHER_LINES - min(len(self._cohorts), _MOST_COHORTS_BELOW_ARMS)
            rows = tabulate_standing(
                self._standing.rank(),
                self._standing.measure,
                width=self._console.width,
                most_rows=min(_MOST_ARMS_SHOWN, room - len(self._searches)),
            )
            self._table = (now, rows)
        return self._table[1]

    def _render_cohorts(self) -> list[RenderableType]:
        most = _MOST_COHORTS_SHOWN if self._standing is None else _MOST_COHORTS_BELOW_ARMS
        rows: list[RenderableType] = [
            Text(f"  {show_text(label)}: {state}", style="dim", overflow="ellipsis", no_wrap=True)
            for label, state in list(self._cohorts.items())[:most]
        ]
        hidden = len(self._cohorts) - len(rows)
        return [*rows, Text(f"  and {count(hidden, 'cohort')} more", style="dim")] if hidden > 0 else rows


class _Pace:
    """The average rate of training since the first epoch of the first cohort, whose time includes start-up."""

    def __init__(self) -> None:
        self._first: tuple[str, int] | None = None
        self._since = 0.0
        self._latest: dict[str, int] = {}
        self._num_epochs = self._num_images = 0
        self._is_known = False

    def add(self, now: float, label: str, epoch: int, num_images: int, num_cohorts: int) -> None:
        """Count an epoch of one member of a cohort."""
        if self._first is None:
            self._first, self._since = (label, epoch), now
        if (label, epoch) == self._first:
            return
        self._num_images += num_images
        self._num_epochs += self._latest.get(label) != epoch
        self._latest[label] = epoch
        is_enough = self._num_epochs >= _MIN_EPOCHS_TIMED * num_cohorts and now - self._since >= _MIN_SECONDS_TIMED
        self._is_known = self._is_known or is_enough

    def images_per_second(self, now: float) -> float | None:
        """Return the rate; None until enough epochs of the running cohorts, over enough time, were timed."""
        return self._num_images / (now - self._since) if self._is_known else None


def _clock_time(seconds: float) -> str:
    """Format a time as on a clock: 0:42, 12:07, 3:20:00."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
