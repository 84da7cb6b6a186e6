"""How a study's arithmetic runs on this machine: chosen by probes of its networks, recorded, kept when resumed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.execution.cohorts import Group, group_trials
from bakeoff.execution.devices import PROCESSOR, Device
from bakeoff.execution.executor import Executor, TaskLost
from bakeoff.execution.facts import Datasets
from bakeoff.execution.machine import describe_hardware, describe_versions
from bakeoff.execution.samples import sample_candidates
from bakeoff.ledger.store import Ledger
from bakeoff.study.plan import Block, PlannedTrial
from bakeoff.training.modes import Modes, name_shape
from bakeoff.training.recipe import Recipe
from bakeoff.training.task import Member, Numeric, ProbeDone, ProbeTask, TaskDone

PROBE_MEMBERS = 4
"""Members per probe at most: enough to see what fusing does, cheap enough for large networks."""

PROBE_VERSION = 2
"""Raise it when probes measure something else: what earlier ones found is then not used."""

MOST_CANDIDATES = 6
"""Network shapes of a search that are probed beside its default, from the smallest to the largest."""

WORTHWHILE_GAIN = 1.05
"""bfloat16 has to be this much faster over all networks of a block to be taken."""

WORTHWHILE_PARTING = 1.15
"""Members have to train this much faster one by one to be taken apart: neighbours in the cache cost some of it."""

Result = Mapping[str, Any]


def choose_modes(
    trials: Sequence[PlannedTrial],
    blocks: Sequence[Block],
    datasets: Datasets,
    ledger: Ledger,
    executor: Executor,
    device: Device = PROCESSOR,
) -> Modes:
    """Return the mode of every block, and which network shapes train apart.

    A block runs in bfloat16 where that is faster over its networks and agrees with float32 for every one: arms are
    compared within blocks, so its networks share a mode. Of a search, candidates are probed too. What was measured
    before on this machine, for the same arithmetic and versions, is taken from the ledger.

    Args:
        trials: all that is planned.
        blocks: theirs.
        datasets: facts of their images.
        ledger: where probes are kept.
        executor: what runs them.
        device: what its workers compute on. Only a processor has networks that train faster apart.
    """
    groups = {group.shape: group for group in reversed(_list_groups(trials, blocks, datasets))}
    tasks = {shape: _make_probe(group, datasets, device) for shape, group in groups.items()}
    _measure([task for task in tasks.values() if ledger.probe(task.probe_id) is None], ledger, executor)
    results = {shape: ledger.probe(task.probe_id) or {} for shape, task in tasks.items()}
    shapes: dict[str, set[str]] = defaultdict(set)
    for shape, group in groups.items():
        for trial in group.trials:
            shapes[trial.block].add(shape)
    chosen = {block: _choose([results[shape] for shape in found]) for block, found in shapes.items()}
    modes = list(chosen.values())
    common = max(dict.fromkeys(modes), key=modes.count)
    differing = {block: mode for block, mode in chosen.items() if mode != common}
    apart = {
        name_shape(shape)
        for shape, result in results.items()
        if all(_is_faster_apart(result, chosen[trial.block]) for trial in groups[shape].trials)
    }
    return Modes(common=common, by_block=differing, apart=frozenset(apart))


def _list_groups(trials: Sequence[PlannedTrial], blocks: Sequence[Block], datasets: Datasets) -> list[Group]:
    """Return the planned groups, and groups of a few candidates of every search."""
    groups = list(group_trials(trials, datasets))
    for block in blocks:
        default = next((trial for trial in trials if trial.block == block.label), None)
        if block.search is None or default is None:
            continue
        found = {group.shape: group for group in group_trials(sample_candidates(block, default, datasets), datasets)}
        groups += _thin_out(list(found.values()), MOST_CANDIDATES)
    return groups


def _thin_out(groups: Sequence[Group], most: int) -> list[Group]:
    """Keep at most so many, evenly from the costliest to the cheapest, both among them."""
    if len(groups) <= most:
        return list(groups)
    return [groups[round(number * (len(groups) - 1) / (most - 1))] for number in range(most)]


def _choose(results: Sequence[Result]) -> Numeric:
    if not all(result.get("agrees") for result in results):
        return "float32"
    slow, fast = (sum(result["seconds_per_step"][mode] for result in results) for mode in ("float32", "bfloat16"))
    return "bfloat16" if fast * WORTHWHILE_GAIN < slow else "float32"


def _is_faster_apart(result: Result, mode: Numeric) -> bool:
    """Tell whether members take clearly less time one by one than fused, in the mode they will run in."""
    alone = result.get("seconds_alone", {}).get(mode)
    if alone is None:
        return False
    return bool(alone * result["num_members"] * WORTHWHILE_PARTING < result["seconds_per_step"][mode])


def _make_probe(group: Group, datasets: Datasets, device: Device) -> ProbeTask:
    first = group.trials[0]
    recipes = [trial.recipe for trial in group.trials[:PROBE_MEMBERS]]
    content = [
        PROBE_VERSION,
        group.shape,
        [_describe(recipe) for recipe in recipes],
        describe_hardware()["processor"],
        describe_versions()["torch"],
        *device.record.values(),
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
        "num_members": report.num_members,
        "seconds_alone": dict(report.seconds_alone),
    }
    ledger.record_probe(report.probe_id, result)
