"""The final test: opened once, recorded before it is opened, always of whole groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.data.source import DataSource
from bakeoff.driver.context import OpenRun, RunContext
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.final_tests import run_final_tests
from bakeoff.driver.identity import IdentifiedTrial, identify
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import FinalTestTask, TaskDone
from bakeoff.study.plan import Plan
from bakeoff.workspace import Folders

STUDY = "s" * 64


@pytest.fixture
def identified(make_plan: Callable[..., Plan], facts: ImageFacts) -> Callable[..., list[IdentifiedTrial]]:
    def make(*args: Any, **kwargs: Any) -> list[IdentifiedTrial]:
        return [
            identify(trial, {DataSource(name="digits"): facts}, "float32")
            for trial in make_plan(*args, **kwargs).trials
        ]

    return make


@pytest.fixture
def hold(ledger: Ledger, folders: Folders, facts: ImageFacts, script: Any) -> Callable[..., Any]:
    """Hold a final test; return whether it was complete, the tasks, and the observer."""
    ledger.register_study(
        STUDY, name="s", document={}, placements=[Placement("t", "b", "a", 0)], numeric="float32", command=""
    )

    def make(known: Sequence[IdentifiedTrial], behave: Any = script.succeed) -> Any:
        executor, watcher = script.Executor(behave), script.Watcher()
        context = RunContext(workspace=folders.root, executor=executor, observer=watcher)
        run = OpenRun(context=context, study_id=STUDY, ledger=ledger, datasets={DataSource(name="digits"): facts})
        complete = run_final_tests(known, run, Modes(common="float32"))
        return complete, executor.submitted, watcher

    return make


def openings(ledger: Ledger) -> list[int]:
    return [row[0] for row in ledger.connection.execute("SELECT num_trials FROM exams ORDER BY id")]


def test_every_trial_is_examined_once(hold: Any, identified: Any, ledger: Ledger) -> None:
    known = identified(3, replicates=2)
    complete, tasks, watcher = hold(known)
    assert complete
    assert [len(task.members) for task in tasks] == [3, 3]
    assert ledger.tested() == {each.trial_id for each in known}
    assert openings(ledger) == [6]
    (message,) = watcher.messages
    assert message.endswith(" 6 trials")
    complete, tasks, watcher = hold(known)
    assert (complete, tasks, watcher.messages, openings(ledger)) == (True, [], [], [6])


def test_an_exam_of_nothing_opens_nothing(hold: Any, ledger: Ledger) -> None:
    assert hold([])[0]
    assert openings(ledger) == []


def test_a_trial_in_two_places_is_examined_once(hold: Any, identified: Any, ledger: Ledger) -> None:
    known = identified(1, blocks=[{"one": {"batch_size": 32}, "same": {"batch_size": 32}}])
    _, tasks, watcher = hold(known)
    assert [len(task.members) for task in tasks] == [1]
    assert openings(ledger) == [1]
    (message,) = watcher.messages
    assert message.endswith(" 1 trial")


def test_the_opening_is_on_record_before_the_split_is_opened(hold: Any, identified: Any, ledger: Ledger) -> None:
    def behave(task: FinalTestTask, attempt: int) -> Sequence[Report]:
        assert openings(ledger) == [2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(identified(2), behave)
    assert openings(ledger) == [2]


def test_an_interrupted_exam_is_taken_up_in_the_same_groups(
    hold: Any, identified: Any, ledger: Ledger, script: Any
) -> None:
    """Who is evaluated beside whom must not depend on the interruption."""

    def half(task: FinalTestTask, attempt: int) -> Sequence[Report]:
        done: list[Report] = list(script.succeed(task))
        return [done[0], TaskDone(task_id=task.final_test_id)] if task.data.seed == first.planned.seed else done

    known = identified(3, replicates=2)
    first = known[0]
    _, tasks, _ = hold(known, half)
    assert len(ledger.tested()) == 4
    whole = next(task for task in tasks if task.data.seed == first.planned.seed)
    _, again, _ = hold(known)
    assert again == [whole]
    assert len(ledger.tested()) == 6
    assert openings(ledger) == [6, 2]


def test_a_lost_exam_is_tried_once_more(hold: Any, identified: Any, ledger: Ledger, script: Any, lose: Any) -> None:
    def behave(task: FinalTestTask, attempt: int) -> Sequence[Report]:
        return lose(task, died=True) if attempt == 0 else script.succeed(task)

    complete, tasks, _ = hold(identified(2), behave)
    assert complete
    assert len(tasks) == 2
    assert len(ledger.tested()) == 2


def test_a_lost_exam_does_not_hold_up_the_others(hold: Any, identified: Any, ledger: Ledger, script: Any) -> None:
    def behave(task: FinalTestTask, attempt: int) -> Sequence[Report]:
        lost = TaskLost(task_id=task.final_test_id, died=False, reason="OSError: no weights", detail="Traceback ...")
        return [lost] if task.data.seed == first.planned.seed else script.succeed(task)

    known = identified(2, replicates=2)
    first = known[0]
    complete, tasks, watcher = hold(known, behave)
    assert not complete
    assert len(tasks) == 3
    assert len(ledger.tested()) == 2
    assert "digits, replicate 1" in watcher.messages[-1]
    assert watcher.messages[-1].endswith("OSError: no weights")
    ((incident,),) = ledger.connection.execute("SELECT message FROM incidents").fetchall()
    assert incident.endswith("Traceback ...")
