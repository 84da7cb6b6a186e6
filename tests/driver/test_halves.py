"""A cohort that a device has too little memory for is cut in two until it fits; on a device replicates are fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bakeoff.driver.devices import Device
from bakeoff.driver.executors.base import Report
from bakeoff.driver.parts import halve_trials, name_half
from bakeoff.messages import CohortTask
from bakeoff.study.plan import Plan
from bakeoff.workspace import Folders

MakePlan = Callable[..., Plan]
CARD = Device("cuda", (0,), "a card", 2**34)


def ids(task: CohortTask) -> list[str]:
    return [member.trial_id for member in task.members]


@pytest.fixture
def fit(script: Any, lose: Any) -> Callable[[int], Callable[[CohortTask, int], Sequence[Report]]]:
    """Behave like a device that has room for so many members: `fit(2)`."""

    def make(most: int) -> Callable[[CohortTask, int], Sequence[Report]]:
        def behave(task: CohortTask, attempt: int) -> Sequence[Report]:
            full = len(task.members) > most
            return lose(task, died=False, reason="full", out_of_memory=True) if full else script.succeed(task)

        return behave

    return make


def test_a_cohort_is_halved_until_it_fits(drive: Any, make_plan: MakePlan, fit: Any) -> None:
    tasks, told = drive(make_plan(7).trials, fit(2))
    assert sorted(len(task.members) for task in tasks) == [1, 2, 2, 2, 3, 4, 7]
    assert set(drive.states().values()) == {"done"}
    assert len(told) == 7
    assert drive.incidents().count("halved") == 3
    assert "two halves" in drive.watcher.messages[0]


def test_halves_go_on_from_the_checkpoints_of_those_they_were(drive: Any, make_plan: MakePlan, fit: Any) -> None:
    tasks, _ = drive(make_plan(4).trials, fit(1))
    whole = tasks[0]
    by_id = {task.cohort_id: task for task in tasks}
    half = by_id[name_half(whole.cohort_id, 0)]
    quarter = by_id[name_half(half.cohort_id, 1)]
    assert half.resume_from == (whole.cohort_id,)
    assert quarter.resume_from == (half.cohort_id, whole.cohort_id)


def test_one_that_does_not_fit_alone_fails(drive: Any, make_plan: MakePlan, fit: Any) -> None:
    tasks, _ = drive(make_plan(2).trials, fit(0))
    assert [len(task.members) for task in tasks] == [2, 1, 1]
    assert set(drive.states().values()) == {"failed"}


def test_the_next_run_begins_with_the_halves(drive: Any, make_plan: MakePlan, fit: Any, lose: Any, script: Any) -> None:
    trials = make_plan(4).trials

    def finish_one(task: CohortTask, attempt: int) -> Sequence[Report]:
        if len(task.members) > 2:
            return lose(task, died=False, out_of_memory=True)
        return lose(task, died=False, finished=task.members[:1]) if len(task.members) == 2 else lose(task, died=False)

    first, _ = drive(trials, finish_one)
    again, _ = drive(trials)
    halves = {task.cohort_id for task in first if len(task.members) == 2}
    assert set(drive.states().values()) == {"done"}
    # Each half lost a member to an error and had its other one done: only the lost ones come again, where they were.
    assert all(halves & set(task.resume_from) or task.cohort_id in halves for task in again)
    assert sorted(len(task.members) for task in again) == [1, 1]


def test_no_checkpoint_of_a_half_is_left(drive: Any, make_plan: MakePlan, folders: Folders, fit: Any) -> None:
    behave = fit(1)

    def leave(task: CohortTask, attempt: int) -> Sequence[Report]:
        path = folders.checkpoint(task.cohort_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"checkpoint")
        return behave(task, attempt)

    trials = make_plan(4).trials
    tasks, _ = drive(trials, leave)
    assert not list(folders.checkpoints.glob("*.safetensors"))
    for task in tasks:  # killed before they were deleted
        folders.checkpoint(task.cohort_id).write_bytes(b"checkpoint")
    drive(trials)
    assert not list(folders.checkpoints.glob("*.safetensors"))


def test_halves_keep_replicates_together() -> None:
    seeds = {"d": 1, "a": 1, "c": 2, "b": 2}
    assert halve_trials(list("abcd"), seeds.__getitem__) == (["a", "d"], ["b", "c"])


def test_on_a_card_replicates_train_together_each_with_its_view(drive: Any, make_plan: MakePlan) -> None:
    trials = make_plan(3, replicates=4).trials
    (task,), _ = drive(trials, device=CARD)
    assert len(task.members) == 12
    views = [member.view for member in task.members]
    assert {view.seed for view in views if view is not None} == {trial.seed for trial in trials}
    assert "12 trials of 4 replicates" in task.label
    row = drive.ledger.connection.execute("SELECT machine FROM trials").fetchone()
    assert '"device": "a card, 16 GiB"' in row[0]


def test_trials_of_a_card_are_not_those_of_a_processor(drive: Any, make_plan: MakePlan) -> None:
    trials = make_plan(2).trials
    (first,), _ = drive(trials)
    (second,), _ = drive(trials, device=CARD)
    assert not set(ids(first)) & set(ids(second))
    assert len(drive.states()) == 4
