"""What runs, how fast, and when it ends: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bakeoff.report.text import count, show_text

_RATE_WINDOW_SECONDS = 15.0
_LINE_EVERY_SECONDS = 10.0
_MOST_COHORTS_SHOWN = 8


class RunProgress:
    """Progress of a run on standard error, as a context manager.

    On a terminal a live display; elsewhere a plain line at most every ten seconds; with `quiet` nothing at all. Feed it
    from one thread only.

    Args:
        console: where to print; standard error if None.
        quiet: print nothing.
        clock: seconds, never going back.
    """

    def __init__(
        self, console: Console | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._clock = clock
        self._live: Live | None = None
        self._num_trials = self._num_done = self._num_failed = self._num_reused = 0
        self._total_images = self._done_images = 0
        self._cohorts: dict[str, str] = {}
        self._recent: deque[tuple[float, int]] = deque()
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

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0) -> None:
        """Begin a run.

        Args:
            num_trials: trials to train now.
            num_model_images: images they will see at most, summed over trials and epochs: the unit of work.
            num_reused: trials already in the ledger.
        """
        self._num_trials, self._num_reused = num_trials, num_reused
        self._total_images = num_model_images
        self._started = self._last_line = self._clock()
        reused = f", {num_reused:,} more are in the ledger" if num_reused else ""
        self._print_line(f"{count(num_trials, 'trial')} to train{reused}")

    def cohort_started(self, label: str, num_members: int) -> None:
        """Show a cohort as running. `label` names it in the calls that follow."""
        self._cohorts[label] = count(num_members, "arm")

    def epoch_done(self, label: str, *, epoch: int, num_epochs: int, num_members: int, num_model_images: int) -> None:
        """Count one finished epoch of a cohort.

        Args:
            label: of the cohort.
            epoch: 1-based.
            num_epochs: the most it can train.
            num_members: still training.
            num_model_images: images seen in this epoch, summed over members.
        """
        self._cohorts[label] = f"{count(num_members, 'arm')}, epoch {epoch} of {num_epochs}"
        self._done_images += num_model_images
        self._recent.append((self._clock(), num_model_images))
        self._print_standing()

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """Count one finished trial.

        Args:
            failed: whether it failed.
            num_images_spared: images it no longer has to see, having stopped early or failed.
        """
        self._num_failed += failed
        self._num_done += not failed
        self._total_images = max(self._done_images, self._total_images - num_images_spared)
        self._print_standing()

    def cohort_done(self, label: str) -> None:
        """Take a cohort off the display."""
        self._cohorts.pop(label, None)

    def message(self, text: str) -> None:
        """Print one line above the display, such as a warning. Not printed when quiet."""
        if not self._quiet:
            self._console.print(Text(show_text(text)), soft_wrap=True)

    def model_images_per_second(self) -> float:
        """Return the present rate: images trained per second, summed over models, over the last 15 seconds or so."""
        now = self._clock()
        while len(self._recent) > 1 and self._recent[0][0] < now - _RATE_WINDOW_SECONDS:
            self._recent.popleft()
        begin = max(self._started, now - _RATE_WINDOW_SECONDS)
        if self._recent:
            begin = min(begin, self._recent[0][0])
        elapsed = now - begin
        return sum(images for _, images in self._recent) / elapsed if elapsed > 0 else 0.0

    def seconds_left(self) -> float | None:
        """Return the time left at the average rate so far; None before the first epoch is done.

        An upper estimate where early stopping is on: it counts every epoch that may still run.
        """
        elapsed = self._clock() - self._started
        if not self._done_images or elapsed <= 0:
            return None
        return (self._total_images - self._done_images) * elapsed / self._done_images

    def _standing(self) -> list[str]:
        """Return what is done and how fast it goes, in words."""
        parts = [f"{self._num_done + self._num_failed:,} of {count(self._num_trials, 'trial')}"]
        if self._num_failed:
            parts.append(f"{self._num_failed:,} failed")
        rate = self.model_images_per_second()
        if rate > 0:
            parts.append(f"{rate:,.0f} model-images/s")
        return parts

    def _share(self) -> float:
        return self._done_images / self._total_images if self._total_images else 0.0

    def _print_standing(self) -> None:
        if self._clock() - self._last_line < _LINE_EVERY_SECONDS:
            return
        left = self.seconds_left()
        ending = [] if left is None else [f"ends in {_clock_time(left)}"]
        self._print_line(", ".join([f"{self._share():.0%}", *self._standing(), *ending]))

    def _print_line(self, text: str) -> None:
        """Print a plain line where there is no live display."""
        if self._quiet or self._console.is_terminal:
            return
        self._last_line = self._clock()
        self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> Group:
        elapsed, left = self._clock() - self._started, self.seconds_left()
        ending = "" if left is None else f", ends in {_clock_time(left)}"
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(1, self._total_images), completed=self._done_images, width=30)
        line.add_row(bar, Text(f"{self._share():.0%} after {_clock_time(elapsed)}{ending}"))
        standing = Text(", ".join(self._standing()), overflow="ellipsis", no_wrap=True)
        rows = [
            Text(f"  {show_text(label)}: {state}", style="dim", overflow="ellipsis", no_wrap=True)
            for label, state in list(self._cohorts.items())[:_MOST_COHORTS_SHOWN]
        ]
        hidden = len(self._cohorts) - len(rows)
        if hidden > 0:
            rows.append(Text(f"  and {count(hidden, 'cohort')} more", style="dim"))
        return Group(line, standing, *rows)


def _clock_time(seconds: float) -> str:
    """Spell a time as on a clock: 0:42, 12:07, 3:20:00."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
