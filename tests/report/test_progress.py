from __future__ import annotations

import io

import pytest
from rich.console import Console

from bakeoff.report.progress import RunProgress


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(terminal: bool = False, quiet: bool = False) -> tuple[RunProgress, Clock, io.StringIO]:
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, width=80, force_terminal=terminal, color_system=None, legacy_windows=False)
    return RunProgress(console, quiet=quiet, clock=clock), clock, stream


def train(progress: RunProgress, clock: Clock, num_epochs: int, label: str = "digits, replicate 1") -> None:
    progress.cohort_started(label, 3)
    for epoch in range(1, num_epochs + 1):
        clock.now += 2
        progress.epoch_done(label, epoch=epoch, num_epochs=10, num_members=3, num_model_images=6000)


def test_plain_lines_come_at_most_every_ten_seconds() -> None:
    progress, clock, stream = make()
    with progress:
        progress.start(num_trials=3, num_model_images=60_000, num_reused=2)
        train(progress, clock, 9)
    assert stream.getvalue().splitlines() == [
        "3 trials to train, 2 more are in the ledger",
        "50%, 0 of 3 trials, 3,000 model-images/s, ends in 0:10",
    ]


def test_rate_follows_the_present_and_time_left_the_average() -> None:
    progress, clock, _ = make()
    progress.start(num_trials=3, num_model_images=60_000)
    assert progress.seconds_left() is None
    assert progress.model_images_per_second() == 0
    train(progress, clock, 5)
    assert progress.model_images_per_second() == pytest.approx(3000)
    assert progress.seconds_left() == pytest.approx(10)
    clock.now += 100
    assert progress.model_images_per_second() < 500


def test_early_stopping_spares_time() -> None:
    progress, clock, _ = make()
    progress.start(num_trials=3, num_model_images=60_000)
    train(progress, clock, 5)
    progress.trial_done(num_images_spared=10_000)
    assert progress.seconds_left() == pytest.approx(20_000 / 3000)
    progress.trial_done(failed=True, num_images_spared=10**9)
    assert progress.seconds_left() == 0


def test_failures_are_counted() -> None:
    progress, clock, stream = make()
    progress.start(num_trials=3, num_model_images=60_000)
    clock.now += 11
    progress.trial_done(failed=True)
    assert "1 of 3 trials, 1 failed" in stream.getvalue()


def test_quiet_prints_nothing() -> None:
    for terminal in (False, True):
        progress, clock, stream = make(terminal, quiet=True)
        with progress:
            progress.start(num_trials=3, num_model_images=60_000)
            train(progress, clock, 9)
            progress.message("hello")
        assert stream.getvalue() == ""


def test_live_display_shows_what_runs_and_stops_cleanly() -> None:
    progress, clock, stream = make(terminal=True)
    with progress:
        progress.start(num_trials=3, num_model_images=60_000)
        train(progress, clock, 5, label="[red]x\x1b")
        progress.message("a [bold]message")
        for number in range(20):
            progress.cohort_started(f"cohort {number}", 1)
        progress.cohort_done("cohort 0")
    text = stream.getvalue()
    assert "50% after 0:10, ends in 0:10" in text
    assert r"[red]x\x1b: 3 arms, epoch 5 of 10" in text
    assert "a [bold]message" in text
    assert "and 12 cohorts more" in text
    assert text.rstrip().endswith("\x1b[2K") or "\x1b[?25h" in text


def test_interruption_restores_the_terminal() -> None:
    progress, _, stream = make(terminal=True)
    with pytest.raises(KeyboardInterrupt), progress:
        raise KeyboardInterrupt
    assert "\x1b[?25h" in stream.getvalue()


def test_messages_are_plain_lines_without_a_terminal() -> None:
    progress, _, stream = make()
    progress.message("a worker died\x1b")
    assert stream.getvalue() == "a worker died\\x1b\n"
