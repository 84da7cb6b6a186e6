"""How far a study is, read while its driver writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.ledger.live import (
    list_arms_in_training,
    read_all_progress,
    read_block_epochs,
    read_progress,
    read_snapshot,
)
from bakeoff.ledger.read import open_reading
from bakeoff.ledger.rows import CandidateRow
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import TrialFailed
from bakeoff.workspace import Folders

CONTENT = {"recipe": {"network": "lenet"}, "seed": 1}


def place(ledger: Ledger, *placements: Placement, asking: bool = False) -> None:
    document = {"question": "Which?", "decide": {"metric": "accuracy"}}
    ledger.register_study(
        "s1", name="study", document=document, placements=placements, numeric="float32", command="", asking=asking
    )


@pytest.fixture
def running(ledger: Ledger, epoch: Callable[..., Any], done: Callable[..., Any]) -> Ledger:
    """Two arms of two replicates: t1 done, t2 failed, t3 after its second epoch, t4 not started."""
    arms = ("a", "b", "a", "b")
    place(ledger, *(Placement(f"t{n + 1}", "digits", arm, n // 2) for n, arm in enumerate(arms)))
    for number in (1, 2, 3):
        ledger.record_epoch(epoch("t1", number))
    ledger.record_done(done("t1"), CONTENT, "c", "{}")
    ledger.record_failed(TrialFailed(trial_id="t2", reason="lost", diverged=False, num_epochs=0), CONTENT, "c", "{}")
    for number in (1, 2):
        ledger.record_epoch(epoch("t3", number))
    return ledger


def test_every_arm_is_counted(running: Ledger) -> None:
    progress = read_progress(running.connection, "s1")
    assert progress is not None
    a, b = progress.arms
    assert (a.arm, a.num_planned, a.num_done, a.num_failed, a.num_started) == ("a", 2, 1, 0, 1)
    assert (a.first_epoch, a.last_epoch, a.score) == (2, 2, 0.8)
    assert (b.arm, b.num_planned, b.num_done, b.num_failed, b.num_started, b.score) == ("b", 2, 0, 1, 0, None)
    assert (progress.num_epochs, progress.blocks, progress.is_ended) == (5, ("digits",), False)
    assert progress.last_ended_at is not None


def test_epochs_of_unfinished_trials_are_read_too(running: Ledger) -> None:
    rows = list(read_block_epochs(running.connection, "s1", "digits", "accuracy"))
    assert [(row.position, row.arm, row.epoch) for row in rows] == [
        (0, "a", 1),
        (0, "a", 2),
        (0, "a", 3),
        (2, "a", 1),
        (2, "a", 2),
    ]
    assert rows[4].validation == {"accuracy": 0.2}
    assert list(read_block_epochs(running.connection, "s1", "elsewhere", "accuracy")) == []
    assert all(
        not row.train and not row.validation for row in read_block_epochs(running.connection, "s1", "digits", "f")
    )


def test_one_moment_is_one_moment(running: Ledger, folders: Folders, epoch: Callable[..., Any]) -> None:
    """The writer is not held up, and what it writes meanwhile is not seen half."""
    with open_reading(folders) as connection:
        with read_snapshot(connection):
            before = read_all_progress(connection)
            running.record_epoch(epoch("t3", 3))
            assert read_all_progress(connection) == before
        (after,) = read_all_progress(connection)
    assert after.num_epochs == before[0].num_epochs + 1


def test_a_search_counts_its_candidates(ledger: Ledger, epoch: Callable[..., Any]) -> None:
    place(ledger, asking=True)
    row = CandidateRow(
        block="digits",
        kind="candidate",
        number=0,
        group=0,
        generation=0,
        parents=(),
        changes={},
        notes=(),
        trial_ids=("t1",),
        state="done",
        reason="",
        scores={"accuracy": 0.8},
        same_as="",
        is_winner=False,
    )
    ledger.place("s1", [Placement("t1", "digits", "candidate 0", 0, stage="search")], [row])
    ledger.record_epoch(epoch("t1", 1))
    progress = read_progress(ledger.connection, "s1")
    assert progress is not None
    assert (progress.num_candidates, progress.num_judged, progress.asking, progress.is_ended) == (1, 1, True, False)
    assert (progress.arms, progress.blocks, progress.num_epochs) == ((), ("digits",), 1)
    assert list_arms_in_training(ledger.connection, "s1", "digits", 5) == (("candidate 0",), True)
    assert len(list(read_block_epochs(ledger.connection, "s1", "digits", "accuracy", candidates=True))) == 1
    ledger.place("s1", [Placement("t2", "digits", "winner", 0)], [])
    ledger.record_epoch(epoch("t2", 1))
    assert list_arms_in_training(ledger.connection, "s1", "digits", 5) == ((), False)


def test_an_unknown_study_is_none(ledger: Ledger) -> None:
    assert read_progress(ledger.connection, "' OR 1=1") is None
