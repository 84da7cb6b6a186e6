"""Reading back what trials cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bakeoff.ledger.costs import read_study_costs
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.ledger.store import Ledger
from bakeoff.ledger.tables import read_trials
from bakeoff.messages import EpochDone, TrialDone, TrialFailed
from bakeoff.workspace import Folders

STUDY = "s" * 64


def test_costs_of_the_trials_that_are_done(
    ledger: Ledger,
    register: Callable[..., None],
    epoch: Callable[..., EpochDone],
    done: Callable[..., TrialDone],
    folders: Folders,
) -> None:
    register(STUDY, arms=("a", "b", "c"))
    ledger.record_epoch(epoch("t1", 1, images_per_second=100.0))
    ledger.record_epoch(epoch("t1", 2, images_per_second=50.0))
    for trial in ("t1", "t2"):
        ledger.record_done(done(trial, num_parameters=7, num_epochs=2, seconds=4.0), {"seed": 1}, "c1", "{}")
    ledger.record_failed(TrialFailed(trial_id="t3", reason="killed", diverged=False), {"seed": 1}, "c1", "{}")
    with open_reading(folders) as connection:
        first, second = read_study_costs(connection, STUDY)
    assert (first.trial_id, first.arm, first.num_parameters, first.num_epochs, first.seconds) == ("t1", "a", 7, 2, 4.0)
    assert first.seconds_per_image == pytest.approx((1 / 100 + 1 / 50) / 2)
    assert (second.arm, second.seconds_per_image) == ("b", None)


def test_features_are_charged_once_in_equal_shares(
    ledger: Ledger, register: Callable[..., None], done: Callable[..., TrialDone], folders: Folders
) -> None:
    register(STUDY, arms=("a", "b", "c", "d"))
    for trial, key in (("t1", "k"), ("t2", "k"), ("t3", "other"), ("t4", "")):
        took = {"k": 6.0, "other": 1.0, "": 0.0}[key]
        event = done(trial, seconds=4.0, features=key, features_seconds=took)
        ledger.record_done(event, {"seed": 1}, "c1", "{}")
    with open_reading(folders) as connection:
        costs = list(read_study_costs(connection, STUDY))
        times = [result.seconds for result in read_study(connection, STUDY).results]
        rows = [row.seconds for row in read_trials(connection, STUDY)]
    assert [cost.features.seconds for cost in costs] == [3.0, 3.0, 1.0, 0.0]
    assert sum(cost.features.seconds for cost in costs) == 6.0 + 1.0  # all of it, once
    assert [cost.seconds for cost in costs] == [4.0] * 4
    assert times == rows == [7.0, 7.0, 5.0, 4.0]
    outcome = ledger.outcome_of("t1")
    assert outcome is not None
    assert outcome.seconds == 10.0  # what this recipe takes by itself: what a search weighs against its score
