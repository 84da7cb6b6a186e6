from __future__ import annotations

import io
import os
import sys

import pytest
from rich.console import Console

from bakeoff.driver.searches import SearchProgress
from bakeoff.report.progress import RunProgress
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study


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
        "50%, 0 of 3 trials, 3,000 model-images/s, 0:10 left",
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
    assert "50% after 0:10, 0:10 left" in text
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


def make_plan() -> Plan:
    arms = {"slow": {"optimizer.learning_rate": 0.1}, "fast": {"optimizer.learning_rate": 0.2}}
    recipe = {"network": "mlp", "optimizer": "sgd", "epochs": 10}
    document = {"question": "?", "data": {"name": "digits"}, "recipe": recipe, "arms": [arms], "replicates": 2}
    return expand(Study.model_validate(document))


def see_ends(progress: RunProgress, plan: Plan) -> None:
    for trial in plan.trials:
        progress.trial_seen(trial, state="done", epoch=0, validation={"accuracy": 0.9 + 0.05 * (trial.arm == "fast")})


def test_epochs_of_an_earlier_run_say_nothing_of_the_rate() -> None:
    progress, clock, _ = make()
    progress.start(num_trials=3, num_model_images=60_000)
    for epoch in range(1, 6):
        progress.epoch_done("c", epoch=epoch, num_epochs=10, num_members=3, num_model_images=6000, replayed=True)
    assert progress.seconds_left() is None
    assert progress.model_images_per_second() == 0
    for epoch in range(6, 10):
        clock.now += 2
        progress.epoch_done("c", epoch=epoch, num_epochs=10, num_members=3, num_model_images=6000)
    assert progress.model_images_per_second() == pytest.approx(3000)
    assert progress.seconds_left() == pytest.approx(2)


def test_no_time_left_is_shown_before_there_is_something_to_estimate_from() -> None:
    progress, clock, stream = make()
    progress.start(num_trials=200, num_model_images=600_000)
    clock.now += 60  # start-up: imports, opening images, compiling
    for label in ("a", "b"):
        progress.cohort_started(label, 3)
    for epoch in (1, 2, 3):
        for label in ("a", "b"):
            progress.epoch_done(label, epoch=epoch, num_epochs=5, num_members=3, num_model_images=1000)
            assert progress.seconds_left() is None
        clock.now += 2
    progress.epoch_done("a", epoch=4, num_epochs=5, num_members=3, num_model_images=1000)
    assert progress.seconds_left() == pytest.approx(593 * 6 / 6)
    assert "left" not in stream.getvalue()


def test_epochs_that_take_no_time_give_no_estimate() -> None:
    progress, _, _ = make()
    progress.start(num_trials=1, num_model_images=60_000)
    for epoch in range(1, 9):
        progress.epoch_done("a", epoch=epoch, num_epochs=9, num_members=3, num_model_images=1000)
    assert progress.seconds_left() is None


def test_the_display_shows_the_arms_first_the_one_ahead() -> None:
    progress, clock, stream = make(terminal=True)
    plan = make_plan()
    with progress:
        progress.start(num_trials=4, num_model_images=60_000, plan=plan)
        train(progress, clock, 5)
        see_ends(progress, plan)
    text = stream.getvalue()
    assert "validation accuracy so far, best first" in text
    fast, slow = text.rindex(" fast"), text.rindex(" slow")
    assert fast < slow
    assert "2 of 2" in text
    assert "95.00%" in text


def test_plain_lines_say_who_is_ahead_and_how_far_a_search_is() -> None:
    progress, clock, stream = make()
    plan = make_plan()
    search = SearchProgress(
        block="digits",
        num_candidates=3,
        num_most=8,
        num_open=0,
        generation=0,
        objective="loss",
        best=0.25,
        best_label="candidate 1",
    )
    progress.start(num_trials=4, num_model_images=60_000, plan=plan)
    see_ends(progress, plan)
    progress.search_seen([search])
    train(progress, clock, 6)
    assert "0:10 left, ahead so far: fast (validation accuracy 95.00%)" in stream.getvalue()
    assert "  search on digits: 3 of 8 candidates, best loss 0.2500 (candidate 1)" in stream.getvalue()


def test_a_low_terminal_keeps_one_arm() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=30, height=5, force_terminal=True, color_system=None, legacy_windows=False)
    with RunProgress(console, clock=Clock()) as progress:
        progress.start(num_trials=4, num_model_images=60_000, plan=make_plan())
        see_ends(progress, make_plan())
    assert "fast" in stream.getvalue()


def test_a_reader_that_goes_away_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich raises SystemExit where nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(os.dup(writing), "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with RunProgress(clock=Clock()) as progress:
            progress.start(num_trials=2, num_model_images=10)
            progress.message("a warning")
            progress.message("another")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    os.close(writing)
