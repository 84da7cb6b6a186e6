"""A study's final test: after every choice is made, finished trials are evaluated once on the test split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.driver.cohorts import Limits, group_trials
from bakeoff.driver.context import OpenRun
from bakeoff.driver.executors.base import GOES_ON, TaskLost
from bakeoff.driver.facts import Datasets
from bakeoff.driver.identity import IdentifiedTrial, position_of
from bakeoff.driver.loop import POLL_SECONDS
from bakeoff.driver.searches import place_trial
from bakeoff.errors import StorageError
from bakeoff.messages import FinalTestDone, FinalTestTask, Member, TaskDone


def run_final_tests(known: Sequence[IdentifiedTrial], run: OpenRun, modes: Modes) -> bool:
    """Evaluate finished trials that have not been evaluated; the opening is recorded before the split is read.

    The look is recorded too: a study whose trials were all evaluated for other studies opens nothing, but sees results.

    Returns:
        Whether every trial could be evaluated.
    """
    unique = {each.trial_id: each for each in known}
    run.ledger.record_look(run.study_id, map(place_trial, known))
    open_ids = unique.keys() - run.ledger.tested()
    if not open_ids:
        return True
    run.context.observer.message(
        f"final test: opening the test split for {len(open_ids)} trial{'s' if len(open_ids) > 1 else ''}"
    )
    final_test_id = run.ledger.open_final_test(run.study_id, len(open_ids))
    tasks = _make_tasks(list(unique.values()), open_ids, run.datasets, modes)
    for task in tasks.values():
        run.context.executor.submit(task)
    return _collect(tasks, final_test_id, run)


def _make_tasks(
    known: Sequence[IdentifiedTrial], open_ids: Set[str], datasets: Datasets, modes: Modes
) -> dict[str, FinalTestTask]:
    """Make a task for every group with open trials, always for the whole group.

    Which trials are evaluated together must not depend on where an earlier final test was interrupted: rounding would.
    """
    by_position = {position_of(each.planned): each for each in known}
    tasks = {}
    for group in group_trials([each.planned for each in known], datasets, Limits(modes=modes)):
        found = [by_position[position_of(planned)] for planned in group.trials]
        members = tuple(Member(trial_id=e.trial_id, recipe=e.planned.recipe, code=e.code) for e in found)
        if open_ids.isdisjoint(member.trial_id for member in members):
            continue
        final_test_id = hashlib.sha256(
            " ".join(["exam", *(member.trial_id for member in members)]).encode()
        ).hexdigest()[:24]
        data = group.view(datasets)
        numeric = modes.of(group.trials[0].block)
        tasks[final_test_id] = FinalTestTask(
            final_test_id=final_test_id,
            label=group.label,
            members=members,
            data=data,
            numeric=numeric,
            metrics=group.trials[0].metrics,
            in_turn=modes.takes_turns(group.shape),
        )
    return tasks


def _collect(tasks: dict[str, FinalTestTask], final_test_id: int, run: OpenRun) -> bool:
    """Record every result; a lost task is retried once."""
    executor, ledger = run.context.executor, run.ledger
    complete, waiting, tried = True, set(tasks), set[str]()
    while waiting:
        reports = executor.poll(POLL_SECONDS)
        with ledger.transaction():
            for report in reports:
                if isinstance(report, FinalTestDone):
                    ledger.record_final_test(final_test_id, report)
                    run.context.observer.trial_tested(report.trial_id, test=report.metrics, held_out=report.held_out)
                elif isinstance(report, TaskDone):
                    waiting.discard(report.task_id)
                elif isinstance(report, TaskLost) and report.is_final:
                    raise StorageError(f"{report.reason} {GOES_ON}")
                elif isinstance(report, TaskLost) and report.task_id not in tried:
                    tried.add(report.task_id)
                    executor.submit(tasks[report.task_id])
                elif isinstance(report, TaskLost):
                    waiting.discard(report.task_id)
                    complete = False
                    ledger.record_incident(report.task_id, "error", f"final test: {report.detail or report.reason}")
                    run.context.observer.message(f"final test of {tasks[report.task_id].label}: {report.reason}")
    return complete
