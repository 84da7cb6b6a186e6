"""Lets a worker check networks and weights before anything is trained. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bakeoff.data.source import show_text
from bakeoff.driver.executors.base import Executor, TaskLost
from bakeoff.driver.facts import Datasets
from bakeoff.errors import NetworkFitError
from bakeoff.messages import CheckDone, CheckTask, DataView, Member, Notice, TaskDone
from bakeoff.study.plan import PlannedTrial

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class _Check:
    """A recipe to check, and its position in the study."""

    task: CheckTask
    where: str


def check_networks(
    trials: Sequence[PlannedTrial],
    datasets: Datasets,
    executor: Executor | Callable[[], Executor],
    *,
    say: Callable[[str], object],
    may_fetch: bool = True,
) -> None:
    """Build every outside network, and load all pretrained weights.

    Args:
        trials: the trials; each network is checked once per kind of images and source of weights.
        datasets: facts about the images; trials with unknown images are skipped.
        executor: runs the checks, or creates the executor if there is anything to check.
        say: called with progress messages.
        may_fetch: whether to download published weights; otherwise only check that they are available.

    Raises:
        NetworkError: one line for each that cannot be trained: its position and the reason.
    """
    checks = _list_checks(trials, datasets, may_fetch)
    if not checks:
        return
    if callable(executor):
        executor = executor()
    else:
        executor.prepare(len(trials))  # they will train: all workers load torch while one checks
    problems = _run(checks, executor, say)
    if problems:
        raise NetworkFitError("\n".join(problems))


def _list_checks(trials: Sequence[PlannedTrial], datasets: Datasets, may_fetch: bool) -> dict[str, _Check]:
    checks: dict[str, _Check] = {}
    seen: set[tuple[str, str, int]] = set()
    for trial in trials:
        key = (trial.block, trial.arm, trial.replicate if _has_own_weights(trial) else 0)
        if key in seen or trial.data.source not in datasets or not _needs_check(trial):
            continue
        seen.add(key)
        facts = datasets[trial.data.source]
        fields = trial.recipe.model_dump(mode="json", include={"network", "transfer", "augmentation", "initializer"})
        content = json.dumps([fields, facts.shape_HWC, facts.num_classes], sort_keys=True)
        check_id = hashlib.sha256(f"check {content}".encode()).hexdigest()[:24]
        task = CheckTask(
            check_id=check_id,
            label=trial.block,
            members=(Member(trial_id=check_id, recipe=trial.recipe),),
            data=DataView(source=trial.data.source, validation=0.1, fingerprint=facts.fingerprint, seed=0),
            shape_HWC=facts.shape_HWC,
            num_classes=facts.num_classes,
            may_fetch=may_fetch,
        )
        where = f"block '{show_text(trial.block)}', arm '{show_text(trial.arm)}'"
        checks.setdefault(check_id, _Check(task, where))
    return checks


def _needs_check(trial: PlannedTrial) -> bool:
    transfer = trial.recipe.transfer
    return trial.recipe.network.has_module or (transfer is not None and transfer.weights is not None)


def _has_own_weights(trial: PlannedTrial) -> bool:
    """Return whether each replicate starts from its own weights."""
    transfer = trial.recipe.transfer
    return transfer is not None and transfer.weights is not None and transfer.weights != "imagenet"


def _run(checks: dict[str, _Check], executor: Executor, say: Callable[[str], object]) -> list[str]:
    problems = {}
    for check in checks.values():
        executor.submit(check.task)
    waiting, lost = set(checks), set[str]()
    while waiting:
        for report in executor.poll(POLL_SECONDS):
            if isinstance(report, Notice):
                say(report.text)
            elif isinstance(report, CheckDone) and report.problem:
                problems[report.check_id] = f"{checks[report.check_id].where}: {report.problem}"
            elif isinstance(report, TaskDone):
                waiting.discard(report.task_id)
            elif isinstance(report, TaskLost) and report.died and report.task_id not in lost:
                lost.add(report.task_id)  # not for its network's sake, perhaps
                executor.submit(checks[report.task_id].task)
            elif isinstance(report, TaskLost):
                waiting.discard(report.task_id)
                problems[report.task_id] = f"{checks[report.task_id].where}: {report.reason}"
    return [problems[check_id] for check_id in checks if check_id in problems]
