"""Tells what is being trained from what merely is unfinished, and how fast it goes, by looking again and again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

WINDOW_SECONDS = 120.0
"""Rates are over this long."""

IDLE_SECONDS = 300.0
"""A study that has not gained an epoch for so long is not called in training."""

UNSEEN_SECONDS = 60.0
"""The same for a study not yet seen to gain one: its ledger was written lately, but maybe for another study."""


@dataclass(frozen=True)
class Pace:
    """What watching a study has shown.

    Attributes:
        is_growing: whether it has gained an epoch lately.
        epochs_per_minute: finished by all its trials together; None before there was time to see.
    """

    is_growing: bool
    epochs_per_minute: float | None


class Watch:
    """Remembers when each study's epochs grew. Threads may share it.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        self._grown: set[str] = set()

    def look(self, study_id: str, num_epochs: int, seconds_since_written: float) -> Pace:
        """Note how many epochs a study has now, and say how it goes.

        Args:
            study_id: which.
            num_epochs: finished by all its trials so far.
            seconds_since_written: since its ledger was written; what is known of the time before the first look.
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
    """Return epochs a minute since the first of two or more growths, whose own epochs came before it."""
    grown = [sample for sample in list(seen)[1:] if sample[0] > now - WINDOW_SECONDS]
    if len(grown) < 2 or grown[-1][1] < grown[0][1]:
        return None
    return 60.0 * (grown[-1][1] - grown[0][1]) / (now - grown[0][0])
