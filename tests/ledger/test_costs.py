"""Reading back what trials cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bakeoff.ledger.costs import read_study_costs
from bakeoff.ledger.read import open_reading
from bakeoff.ledger.store import Ledger
from bakeoff.training.folders import Folders
from bakeoff.training.task import EpochDone, TrialDone, TrialFailed

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
