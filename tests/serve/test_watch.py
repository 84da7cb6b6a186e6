"""Telling what is in training from what is not, by looking."""

from __future__ import annotations

import pytest

from bakeoff.serve.watch import IDLE_SECONDS, UNSEEN_SECONDS, Pace, Watch


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_what_was_seen() -> None:
    clock = Clock()
    watch = Watch(clock)
    assert watch.look("s", 7, 0.5) == Pace(True, None)
    for _ in range(10):
        clock.now += 3.0
        pace = watch.look("s", int((clock.now - 1000.0) * 2) + 7, 0.0)
    assert pace.is_growing
    assert pace.epochs_per_minute == pytest.approx(120.0)


def test_what_stands_still_is_not_growing() -> None:
    clock = Clock()
    watch = Watch(clock)
    watch.look("s", 0, 0.0)
    watch.look("s", 1, 0.0)
    clock.now += IDLE_SECONDS - 1
    assert watch.look("s", 1, 0.0).is_growing
    clock.now += 2
    assert watch.look("s", 1, 0.0) == Pace(False, None)
    assert watch.look("s", 2, 0.0).is_growing


def test_a_ledger_long_unwritten_is_not_growing_at_first_sight() -> None:
    assert not Watch(Clock()).look("s", 5, UNSEEN_SECONDS + 1).is_growing
    assert Watch(Clock()).look("s", 5, UNSEEN_SECONDS - 1).is_growing
    assert Watch(Clock()).look("s", 5, -3.0).is_growing  # a clock that was set back


def test_a_ledger_made_anew_has_no_negative_rate() -> None:
    clock = Clock()
    watch = Watch(clock)
    for number in (10, 20, 1):
        clock.now += 1
        pace = watch.look("s", number, 0.0)
    assert pace.epochs_per_minute is None
