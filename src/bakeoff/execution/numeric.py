"""The numeric mode of a study: one for all its arms, chosen by a probe on this machine, recorded, kept when resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from bakeoff.execution.cohorts import Group
from bakeoff.execution.executor import Executor, TaskLost
from bakeoff.execution.facts import Datasets
from bakeoff.execution.machine import describe_hardware, describe_versions
from bakeoff.ledger.store import Ledger
from bakeoff.training.recipe import Recipe
from bakeoff.training.task import Member, Numeric, ProbeDone, ProbeTask, TaskDone

PROBE_MEMBERS = 4
"""Members per probe at most: enough to see what fusing does, cheap enough for large networks."""

WORTHWHILE_GAIN = 1.05
"""bfloat16 has to be this much faster over all networks of the study to be taken."""


def choose_numeric(groups: Sequence[Group], datasets: Datasets, ledger: Ledger, executor: Executor) -> Numeric:
    """Return bfloat16 where it is faster over the study's networks and agrees with float32 for every one.

    What was measured before on this machine, for the same arithmetic and versions, is taken from the ledger.
    """
    by_shape = {group.shape: group for group in reversed(groups)}
    tasks = [_make_probe(group, datasets) for group in by_shape.values()]
    unknown = [task for task in tasks if ledger.probe(task.probe_id) is None]
    _measure(unknown, ledger, executor)
    results = [ledger.probe(task.probe_id) for task in tasks]
    if not all(result is not None and result["agrees"] for result in results):
        return "float32"
    slow, fast = (
        sum(result["seconds_per_step"][mode] for result in results if result) for mode in ("float32", "bfloat16")
    )
    return "bfloat16" if fast * WORTHWHILE_GAIN < slow else "float32"


def _make_probe(group: Group, datasets: Datasets) -> ProbeTask:
    first = group.trials[0]
    recipes = [trial.recipe for trial in group.trials[:PROBE_MEMBERS]]
    content = [
        group.shape,
        [_describe(recipe) for recipe in recipes],
        describe_hardware()["processor"],
        describe_versions()["torch"],
    ]
    return ProbeTask(
        probe_id=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24],
        label=first.block,
        members=tuple(Member(trial_id=f"probe {n}", recipe=recipe) for n, recipe in enumerate(recipes)),
        data=group.view(datasets),
    )


def _describe(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe a step's time and gradient depend on beside its network."""
    always = recipe.model_dump(mode="json", include={"initializer", "optimizer"})
    return always | recipe.model_dump(mode="json", include={"augmentation", "mix"}, exclude_defaults=True)


def _measure(tasks: Sequence[ProbeTask], ledger: Ledger, executor: Executor) -> None:
    """Probe one after another, so that none disturbs another's times; one that is lost counts as not agreeing."""
    for task in tasks:
        executor.submit(task)
        ended = False
        while not ended:
            for report in executor.poll(0.5):
                ended |= isinstance(report, TaskDone | TaskLost)
                if isinstance(report, ProbeDone):
                    _record(report, ledger)
                elif isinstance(report, TaskLost):
                    ledger.record_incident(task.probe_id, "error", f"probe: {report.detail or report.reason}")
                    ledger.record_probe(task.probe_id, {"seconds_per_step": {}, "agrees": False})


def _record(report: ProbeDone, ledger: Ledger) -> None:
    result = {
        "seconds_per_step": dict(report.seconds_per_step),
        "relative_difference": report.relative_difference,
        "agrees": report.agrees,
    }
    ledger.record_probe(report.probe_id, result)
