"""Counts wall time, processor time, and how much of the machine others used meanwhile."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

LARGEST_LOAD = {"seconds": 0.05, "processor_seconds": 0.5}
"""Share of the machine that others may use while a clock runs: above it, no ratio is printed."""


def is_spoilt(samples: Iterable[Mapping[str, Any]], clock: str) -> bool:
    """Return whether others used too much of the machine in one of some samples for a ratio by a clock."""
    return any(sample["others"] > LARGEST_LOAD[clock] for sample in samples)


class Meter:
    """Measures what happens between its start and its stop; child processes must end in between."""

    def start(self) -> None:
        """Start."""
        self._before = _read()

    def stop(self) -> None:
        """Stop."""
        self.seconds, self.processor_seconds, busy = (
            now - then for now, then in zip(_read(), self._before, strict=True)
        )
        self.others = max(0.0, busy - self.processor_seconds) / (self.seconds * (psutil.cpu_count() or 1))

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def read(self) -> dict[str, Any]:
        """Return the seconds, the processor time of this process and its children, and the share others used."""
        return {"seconds": self.seconds, "processor_seconds": self.processor_seconds, "others": self.others}


def _read() -> tuple[float, float, float]:
    """Return the time, this process's processor time with that of its ended children, and that of the whole machine.

    Time that the machine's host took away counts as used by others.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    times = psutil.cpu_times()
    busy = times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq", "steal"))
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used), busy
