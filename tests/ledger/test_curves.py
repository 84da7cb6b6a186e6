"""Reading the epochs of a whole study back."""

from __future__ import annotations

from collections.abc import Callable

from bakeoff.ledger.curves import read_study_epochs
from bakeoff.ledger.read import open_reading
from bakeoff.ledger.store import Ledger
from bakeoff.messages import EpochDone, TrialDone, TrialFailed
from bakeoff.workspace import Folders

STUDY = "s" * 64


def test_epochs_of_the_trials_that_are_done_come_in_order(
    ledger: Ledger,
    register: Callable[..., None],
    epoch: Callable[..., EpochDone],
    done: Callable[..., TrialDone],
    folders: Folders,
) -> None:
    register(STUDY, arms=("a", "b", "c"))
    for trial, number in (("t2", 1), ("t1", 2), ("t1", 1), ("t3", 1)):
        ledger.record_epoch(epoch(trial, number))
    for trial in ("t1", "t2"):
        ledger.record_done(done(trial), {"seed": 1}, "c1", "{}")
    ledger.record_failed(TrialFailed(trial_id="t3", reason="killed", diverged=False), {"seed": 1}, "c1", "{}")
    with open_reading(folders) as connection:
        rows = list(read_study_epochs(connection, STUDY))
        assert list(read_study_epochs(connection, "x" * 64)) == []
    assert [(row.block, row.arm, row.epoch) for row in rows] == [
        ("digits", "a", 1),
        ("digits", "a", 2),
        ("digits", "b", 1),
    ]
    assert rows[0].position < rows[2].position
    event = epoch("t1", 1)
    assert (rows[0].train, rows[0].validation) == (dict(event.train), dict(event.validation))
