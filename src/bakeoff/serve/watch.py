"""Distinguishes running from unfinished studies, and measures their speed, by polling."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

WINDOW_SECONDS = 120.0
"""Rates are measured over this period."""

IDLE_SECONDS = 300.0
"""A study without a new epoch for this long does not count as running."""

UNSEEN_SECONDS = 60.0
"""The same for a study not yet seen to gain an epoch: its ledger may have been written for another study."""


@dataclass(frozen=True)
class Pace:
    """A study's observed activity.

    Attributes:
        is_growing: whether it has gained an epoch recently.
        epochs_per_minute: epochs finished by all its trials together; None before there is enough data.
    """

    is_growing: bool
    epochs_per_minute: float | None


class Watch:
    """Records when each study gained epochs. Thread-safe.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._grown: set[str] = set()

    def look(self, study_id: str, num_epochs: int, seconds_since_written: float) -> Pace:
        """Record how many epochs a study has now, and return its activity.

        Args:
            study_id: the study.
            num_epochs: epochs finished by all its trials so far.
            seconds_since_written: time since its ledger was written, for the time before the first poll.
        """
        now = self._clock()
        with self._lock:
            seen = self._seen.setdefault(study_id, deque([(now - max(0.0, seconds_since_written), num_epochs)]))
            if num_epochs != seen[-1][1]:
                seen.append((now, num_epochs))
                self._grown.add(study_id)
            while len(seen) > 1 and seen[1][0] <= now - WINDOW_SECONDS:
                seen.popleft()
            limit = IDLE_SECONDS if study_id in self._grown else UNSEEN_SECONDS
            return Pace(now - seen[-1][0] < limit, _measure(seen, now))


def _measure(seen: deque[tuple[float, int]], now: float) -> float | None:
    """Return epochs per minute since the first of two or more increases, without the epochs of that first one."""
    grown = [sample for sample in list(seen)[1:] if sample[0] > now - WINDOW_SECONDS]
    if len(grown) < 2 or grown[-1][1] < grown[0][1]:
        return None
    return 60.0 * (grown[-1][1] - grown[0][1]) / (now - grown[0][0])
