"""The exam of a study: after every choice is made, its finished trials are evaluated once on the test split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bakeoff.execution.cohorts import Datasets, group_trials
from bakeoff.execution.driver import POLL_SECONDS, Known, Observer
from bakeoff.execution.executor import Executor, TaskLost
from bakeoff.ledger.store import Ledger
from bakeoff.training.task import DataView, ExamDone, ExamTask, Member, Numeric, TaskDone


def hold_exams(
    study_id: str,
    known: Sequence[Known],
    *,
    numeric: Numeric,
    datasets: Datasets,
    ledger: Ledger,
    executor: Executor,
    observer: Observer,
) -> bool:
    """Evaluate those finished trials that have not been; the opening is recorded before the split is read.

    Returns:
        Whether every trial could be evaluated.
    """
    examined = ledger.examined()
    open_trials = {each.trial_id: each for each in known if each.trial_id not in examined}
    if not open_trials:
        return True
    observer.message(f"exam: opening the test split for {len(open_trials)} trials")
    exam_id = ledger.open_exam(study_id, len(open_trials))
    tasks = _make_tasks(list(open_trials.values()), datasets, numeric)
    for task in tasks.values():
        executor.submit(task)
    return _collect(tasks, exam_id, ledger, executor, observer)


def _make_tasks(known: Sequence[Known], datasets: Datasets, numeric: Numeric) -> dict[str, ExamTask]:
    ids = {id(each.planned): each.trial_id for each in known}
    tasks = {}
    for group in group_trials([each.planned for each in known], datasets):
        members = tuple(Member(trial_id=ids[id(planned)], recipe=planned.recipe) for planned in group.trials)
        first = group.trials[0]
        exam_id = hashlib.sha256(" ".join(["exam", *(member.trial_id for member in members)]).encode()).hexdigest()[:24]
        data = DataView(
            name=first.data.name,
            validation=first.data.validation,
            fingerprint=datasets[first.data.name].fingerprint,
            seed=first.seed,
        )
        tasks[exam_id] = ExamTask(exam_id=exam_id, label=group.label, members=members, data=data, numeric=numeric)
    return tasks


def _collect(tasks: dict[str, ExamTask], exam_id: int, ledger: Ledger, executor: Executor, observer: Observer) -> bool:
    """Write down every result; a lost task is tried once more."""
    complete, waiting, tried = True, set(tasks), set[str]()
    while waiting:
        reports = executor.poll(POLL_SECONDS)
        with ledger.transaction():
            for report in reports:
                if isinstance(report, ExamDone):
                    ledger.record_exam(exam_id, report)
                elif isinstance(report, TaskDone):
                    waiting.discard(report.task_id)
                elif isinstance(report, TaskLost) and report.task_id not in tried:
                    tried.add(report.task_id)
                    executor.submit(tasks[report.task_id])
                elif isinstance(report, TaskLost):
                    waiting.discard(report.task_id)
                    complete = False
                    ledger.record_incident(report.task_id, "error", f"exam: {report.detail or report.reason}")
                    observer.message(f"exam of {tasks[report.task_id].label}: {report.reason}")
    return complete
