"""Distinguishes slow from stuck workers: one that computes is slow, however long it takes; an idle one is stuck."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

PATIENCE_SECONDS = 300.0
"""How long a busy worker may neither compute nor report: suspended, deadlocked, or waiting for a lost disk."""

LOOK_EVERY_SECONDS = 5.0

_LEAST_SHARE = 0.01
"""Fraction of a core below which a worker counts as idle."""


@dataclass
class _Watched:
    idle_seconds: float
    looked_at: float
    cpu_seconds: float


class Watchdog:
    """Monitors the CPU time of busy workers.

    Time in which the driver itself was suspended does not count: workers are suspended with it.

    Args:
        patience_seconds: how long a worker may do nothing.
        clock: a monotonic clock, in seconds.
        read_cpu_seconds: process id -> CPU time used so far.
    """

    def __init__(
        self,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        read_cpu_seconds: Callable[[int], float] | None = None,
    ) -> None:
        self.patience_seconds = patience_seconds
        self._clock, self._read = clock, read_cpu_seconds or measure_cpu_seconds
        self._watched: dict[int, _Watched] = {}
        self._looked_at = clock()

    def hear(self, process_id: int) -> None:
        """Record that a worker has reported, or started a task."""
        self._watched.pop(process_id, None)

    def find_stuck(self, process_ids: Iterable[int]) -> list[int]:
        """Return the busy workers that have done nothing for too long. Cheap enough to be called often."""
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_SECONDS:
            return []
        self._looked_at = now
        busy = set(process_ids)
        self._watched = {each: watched for each, watched in self._watched.items() if each in busy}
        return [each for each in busy if self._measure_idle(each, now) >= self.patience_seconds]

    def _measure_idle(self, process_id: int, now: float) -> float:
        """Return how long a worker has done nothing."""
        used = self._read(process_id)
        watched = self._watched.setdefault(process_id, _Watched(0.0, now, used))
        elapsed = min(now - watched.looked_at, 2 * LOOK_EVERY_SECONDS)
        if used - watched.cpu_seconds > _LEAST_SHARE * elapsed:
            watched.idle_seconds = 0.0
        else:
            watched.idle_seconds += elapsed
        watched.looked_at, watched.cpu_seconds = now, used
        return watched.idle_seconds


def measure_cpu_seconds(process_id: int) -> float:
    """Return a process's CPU time in seconds; 0 if there is no such process."""
    try:
        times = psutil.Process(process_id).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
