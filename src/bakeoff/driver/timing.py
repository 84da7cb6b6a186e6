"""Step times of network shapes on this machine: measured by a worker, stored in the cache. No torch here."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bakeoff.data.locate import cache_folder
from bakeoff.driver.cached_json import read_cached, write_cached
from bakeoff.driver.cohorts import Group
from bakeoff.driver.costs import is_cost_known
from bakeoff.driver.executors.base import Executor, TaskLost
from bakeoff.driver.facts import Datasets
from bakeoff.driver.machine import describe_hardware, describe_versions
from bakeoff.messages import DataView, Member, TaskDone, TimingDone, TimingTask
from bakeoff.study.settings import NumericMode

TIMING_VERSION = 1
"""Increase it when steps are timed differently: cached times are then ignored."""

MEMBERS = 4
BUDGET_SECONDS = 10.0
"""Time limit for all shapes of a plan: first those of unknown cost, then the most expensive."""

LONGEST_SECONDS = 60.0
"""Hard limit for a measurement: building a network, or one step, may take longer than the budget."""

LEAST_SECONDS = 0.5


@dataclass(frozen=True)
class StepTime:
    """Seconds per training step on a whole batch: of `num_members` fused, and of one alone."""

    fused: float
    alone: float
    num_members: int

    def of(self, num_members: int) -> float:
        """Return the step time of a number of members, fused or separate, whichever is faster."""
        each = (self.fused - self.alone) / (self.num_members - 1) if self.num_members > 1 else self.alone
        return min(self.alone + max(0.0, each) * (num_members - 1), self.alone * num_members)


@dataclass(frozen=True)
class Timings:
    """Provides step times.

    Args:
        executor: creates the executor for measurements, called only if necessary. None: use only cached times.
        say: called with progress messages.
    """

    executor: Callable[[], Executor] | None
    say: Callable[[str], object]

    def measure(self, groups: Iterable[Group], datasets: Datasets, numeric: NumericMode) -> dict[str, StepTime]:
        """Return the step times of network shapes, as far as they are cached or can be measured within the limit.

        Args:
            groups: groups of fused trials, without networks from user code.
            datasets: facts about their images.
            numeric: the study's mode; auto uses the faster one.
        """
        by_shape: dict[str, Group] = {}
        for group in sorted(groups, key=lambda group: len(group.trials), reverse=True):
            by_shape.setdefault(group.shape, group)
        costs = {
            shape: group.most_operations if is_known(group, datasets) else math.inf for shape, group in by_shape.items()
        }
        ordered = sorted(by_shape.items(), key=lambda item: costs[item[0]], reverse=True)
        tasks = {shape: _make_task(group, datasets, numeric, len(by_shape)) for shape, group in ordered}
        found = {
            shape: kept
            for shape, task in tasks.items()
            if (kept := read_cached(_locate(task), _make_step_time)) is not None
        }
        missing = {shape: task for shape, task in tasks.items() if shape not in found}
        if missing and self.executor is not None:
            names = ", ".join(dict.fromkeys(str(task.members[0].recipe.network.name) for task in missing.values()))
            self.say(
                f"timing a few training steps of {names} (at most about {BUDGET_SECONDS:.0f} s; cached for next time)"
            )
            found |= _run(missing, self.executor())
        return found


def is_known(group: Group, datasets: Datasets) -> bool:
    """Return whether a group's multiply-adds are known before its network is built."""
    first = group.trials[0]
    return is_cost_known(first.recipe, datasets[first.data.source].shape_HWC)


def _make_task(group: Group, datasets: Datasets, numeric: NumericMode, num_shapes: int) -> TimingTask:
    first = group.trials[0]
    facts = datasets[first.data.source]
    recipes = [trial.recipe for trial in group.trials[:MEMBERS]]
    content = [
        TIMING_VERSION,
        group.shape,
        facts.shape_HWC,
        facts.num_classes,
        [recipe.model_dump(mode="json", exclude={"epochs", "early_stopping"}) for recipe in recipes],
        numeric,
        describe_hardware()["processor"],
        describe_versions()["torch"],
    ]
    timing_id = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
    return TimingTask(
        timing_id=timing_id,
        label=first.block,
        members=tuple(Member(trial_id=f"{timing_id} {number}", recipe=recipe) for number, recipe in enumerate(recipes)),
        data=DataView(source=first.data.source, validation=0.1, fingerprint=facts.fingerprint, seed=0),
        shape_HWC=facts.shape_HWC,
        class_names=facts.class_names,
        numeric=numeric,
        budget_seconds=max(LEAST_SECONDS, BUDGET_SECONDS / num_shapes),
    )


def _run(tasks: Mapping[str, TimingTask], executor: Executor) -> dict[str, StepTime]:
    found: dict[str, StepTime] = {}
    deadline = time.monotonic() + LONGEST_SECONDS
    spent = 0.0
    for shape, task in tasks.items():
        if spent > BUDGET_SECONDS or time.monotonic() > deadline:
            break
        started = time.monotonic()
        executor.submit(task)
        result = _wait(task, executor, deadline)
        # Starting the worker and importing torch do not count.
        spent += min(time.monotonic() - started, task.budget_seconds if not found else math.inf)
        if result is not None:
            found[shape] = result
            write_cached(_locate(task), asdict(result))
    return found


def _wait(task: TimingTask, executor: Executor, deadline: float) -> StepTime | None:
    """Return the measurement; None if it fails or takes too long."""
    result = None
    while time.monotonic() < deadline:
        for report in executor.poll(0.25):
            if isinstance(report, TimingDone) and math.isfinite(report.seconds_per_step):
                result = StepTime(report.seconds_per_step, report.seconds_alone, report.num_members)
            elif isinstance(report, TaskDone | TaskLost):
                return result
    return result


def _locate(task: TimingTask) -> Path:
    return cache_folder() / "timings" / f"{task.timing_id}.json"


def _make_step_time(fields: Mapping[str, Any]) -> StepTime:
    found = StepTime(float(fields["fused"]), float(fields["alone"]), int(fields["num_members"]))
    if not (found.num_members >= 1 and 0 < found.fused < math.inf and 0 < found.alone < math.inf):
        raise ValueError("not a step time")
    return found
