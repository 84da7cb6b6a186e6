"""What a study would take, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.execution.cohorts import Group, group_trials, limits_of
from bakeoff.execution.costs import is_cost_known
from bakeoff.execution.devices import Device
from bakeoff.execution.facts import Datasets, describe_datasets
from bakeoff.execution.machine import count_cores
from bakeoff.execution.paths import describe_parts, resolve_paths
from bakeoff.execution.run import check_plan
from bakeoff.study.plan import Plan
from bakeoff.training.modes import Modes
from bakeoff.training.shape import is_fusable

OPERATIONS_PER_SECOND = 4e10
STEP_SECONDS = 0.0008
MEMBER_STEP_SECONDS = 0.0003
START_SECONDS = 4.0
"""For estimates before anything has run: multiply-adds per second and core, what a step costs beside them, with each
member's share, and what starting takes. Fitted to LeNet and ModNet1 on CIFAR-10 and LeNet on digits, on AMD EPYC 9005.
"""

WORKERS_PER_CARD = 4
"""Processes that share a card where each of them trains one network at a time."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would take.

    Attributes:
        num_cohorts: groups of trials trained fused; 0 where no images are known before they are opened, and of a
            search, which is yet to choose its recipes.
        seconds: an upper bound when nothing stops early, at a typical rate; good to a factor of about two.
        notes: what the figures leave out, a sentence each.
    """

    plan: Plan
    num_cohorts: int
    num_workers: int
    seconds: float
    notes: tuple[str, ...] = ()


def estimate_plan(plan: Plan, workers: int | None, data_dir: Path | None, device: Device) -> Estimate:
    """Estimate what a plan takes; trains nothing, opens no images. On a graphics card no time is told.

    Raises:
        BakeoffError: a network does not fit images of which enough is known.
    """
    plan = resolve_paths(plan)
    datasets = describe_datasets(plan.blocks, data_dir)
    check_plan(plan, datasets)
    num_lanes = count_cores() if device.kind == "cpu" else 1
    limits = replace(limits_of(device), modes=Modes(common="float32", num_lanes=num_lanes))
    groups = group_trials([trial for trial in plan.trials if trial.data.source in datasets], datasets, limits)
    num_workers = count_workers(workers, device, plan)
    busy = max(1, min(num_workers, len(groups)))
    is_search = plan.study.search is not None
    share = plan.most_trials / len(plan.trials)  # 1 but for a search
    timed = bool(groups) and device.kind == "cpu"  # the rates are a processor's
    return Estimate(
        plan=plan,
        num_cohorts=0 if is_search else len(groups),
        num_workers=num_workers,
        seconds=(START_SECONDS + share * sum(map(_estimate_group, groups)) / busy) if timed else 0.0,
        notes=(*_describe_candidates(plan), *describe_parts(plan, data_dir), *_list_unknown(plan, datasets)),
    )


def _describe_candidates(plan: Plan) -> Iterator[str]:
    if plan.most_candidate_trials:
        finals = plan.most_trials - plan.most_candidate_trials
        yield (
            f"a search: at most {plan.most_candidate_trials:,} trials of candidates, then {finals:,} of the finals; "
            "the time takes every candidate for as costly as the default recipe."
        )


def _list_unknown(plan: Plan, datasets: Datasets) -> Iterator[str]:
    """Say what an estimate cannot count before images are opened or networks built."""
    closed = dict.fromkeys(block.data.source.label for block in plan.blocks if block.data.source not in datasets)
    if closed:
        yield f"not counted in cohorts and time, for the images have not been opened: {', '.join(closed)}."
    known = [trial for trial in plan.trials if trial.data.source in datasets]
    unknown = dict.fromkeys(
        str(trial.recipe.network.name)
        for trial in known
        if not is_cost_known(trial.recipe, datasets[trial.data.source].shape_HWC)
    )
    if unknown:
        yield f"not counted in time, for only building it tells its cost: {', '.join(unknown)}."


def _estimate_group(group: Group) -> float:
    """Return the seconds a group takes on one core when no member stops early."""
    num_epochs = max(trial.recipe.epochs for trial in group.trials)
    step_seconds = STEP_SECONDS + MEMBER_STEP_SECONDS * len(group.trials)
    return group.most_operations / OPERATIONS_PER_SECOND + num_epochs * group.cost.num_steps * step_seconds


def count_workers(asked: int | None, device: Device, plan: Plan) -> int:
    """Return how many processes to start: several a card where trials cannot be fused, to fill what one leaves."""
    if asked is not None or device.kind == "cpu":
        return asked or count_cores()
    fused = plan.study.search is not None or all(is_fusable(trial.recipe) for trial in plan.trials)
    each = 1 if fused or device.kind == "mps" else min(WORKERS_PER_CARD, max(1, count_cores() // len(device.addresses)))
    return each * len(device.addresses)
