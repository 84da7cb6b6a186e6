"""Chooses a study's numeric modes on this machine, by probes of its networks, and keeps them.

A block keeps the mode in which its trials in the workspace were trained, even if arms are added or the study is edited:
in another mode these trials could not be reused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.numeric_modes import Modes, Numeric, name_shape
from bakeoff.catalog.recipe import Recipe
from bakeoff.cgroups import count_cores
from bakeoff.driver.cohorts import Group, count_useful_threads, group_trials
from bakeoff.driver.context import OpenRun
from bakeoff.driver.executors.base import TaskLost
from bakeoff.driver.facts import Datasets
from bakeoff.driver.machine import describe_hardware, describe_versions
from bakeoff.driver.probe_cache import read_probe, write_probe
from bakeoff.driver.samples import sample_candidates
from bakeoff.ledger.store import Ledger
from bakeoff.messages import Member, ProbeDone, ProbeTask, TaskDone
from bakeoff.study.plan import Plan

PROBE_MEMBERS = 4
"""Maximum members per probe: enough to see the effect of fusing, cheap enough for large networks. Only layers member by
member are timed with all members of a cohort: what they gain grows with these."""

PROBE_VERSION = 3
"""Increase it when probes change: results of earlier ones are then ignored."""

MOST_CANDIDATES = 6
"""Network shapes of a search that are probed in addition to its default, from the smallest to the largest."""

WORTHWHILE_GAIN = 1.05
"""bfloat16 is chosen only if it is this much faster over all networks of a block."""

WORTHWHILE_PARTING = 1.15
"""Members train separately only if that is this much faster: sharing the cache with other workers costs some of it."""

WORTHWHILE_TURNS = 1.03
"""Convolutional layers are computed member by member only if that makes a step this much faster."""

Result = Mapping[str, Any]

_MODES: tuple[Numeric, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class KeptMode:
    """The mode in which a block's trials in the workspace were trained.

    Attributes:
        num_trials: how many of the planned trials have ended in it.
    """

    mode: Numeric
    num_trials: int = 0


def decide_modes(plan: Plan, run: OpenRun) -> Modes:
    """Return the study's modes: those it was started in, the mode it names, fused, or the probes' choice.

    If a block's mode changes, this says in advance which finished trials will be retrained, and why.
    """
    device = run.context.device
    recorded = run.ledger.numeric_of(run.study_id)
    if recorded is not None:
        modes = Modes.parse(recorded)
        return modes if device.kind == "cpu" else modes.without_layouts()
    kept = find_kept_modes(plan, run)
    if plan.study.numeric != "auto":
        modes = Modes(common=plan.study.numeric)
        for block, known in kept.items():
            _report_change(run, block, known, modes.common, f"the study says numeric: {modes.common}")
    else:
        modes = choose_modes(plan, run, kept)
    if device.kind != "cpu":
        return modes
    return replace(modes, num_lanes=count_cores(), max_threads=_limit_threads(plan, run, modes))


def _limit_threads(plan: Plan, run: OpenRun, modes: Modes) -> int:
    """Return how many threads cohorts may use: one if no network of the plan is large enough for more."""
    if run.context.max_threads == 1:
        return 1
    useful = (count_useful_threads(group, modes) for group in _list_groups(plan, run.datasets))
    return min(run.context.max_threads, max(useful, default=1))


def find_kept_modes(plan: Plan, run: OpenRun) -> dict[str, KeptMode]:
    """Return the mode of every block that has one: that of most of its planned trials that have ended.

    If none has ended, it is the mode in which an earlier study with this name ran the block on the same images.
    """
    earlier = run.ledger.earlier_modes(plan.study.name)
    kept: dict[str, KeptMode] = {}
    for block in plan.blocks:
        trials = [trial for trial in plan.trials if trial.block == block.label]
        numbers = {}
        for mode in _MODES:
            ids = {run.identify(trial, mode).trial_id for trial in trials}
            numbers[mode] = sum(state != "failed" for state in run.ledger.trial_states(ids).values())
        most = max(_MODES, key=lambda mode: numbers[mode])
        fingerprint = run.datasets[block.data.source].fingerprint
        if numbers[most]:
            kept[block.label] = KeptMode(most, numbers[most])
        elif (block.label, fingerprint) in earlier:
            kept[block.label] = KeptMode(earlier[block.label, fingerprint])
    return kept


def _report_change(run: OpenRun, block: str, kept: KeptMode, mode: Numeric, reason: str) -> None:
    if kept.num_trials and kept.mode != mode:
        were = "was" if kept.num_trials == 1 else "were"
        run.context.observer.message(
            f"block '{block}': {kept.num_trials} of its trials {were} trained in {kept.mode} and will be retrained "
            f"in {mode}, because {reason}."
        )


def choose_modes(plan: Plan, run: OpenRun, kept: Mapping[str, KeptMode]) -> Modes:
    """Return the mode of every block, and the network shapes that train separately or compute members in turn.

    A block runs in bfloat16 if that is faster over its networks and agrees with float32 for every one: arms are
    compared within blocks, so its networks share a mode. For a search, candidates are probed too. Earlier measurements
    on this machine, with the same arithmetic and versions, are taken from the ledger. Only on a CPU do some networks
    train faster separately.

    Args:
        plan: the trials and their blocks.
        run: its executor runs probes, its ledger stores them.
        kept: the modes that blocks already have; they change only if a network does not agree.
    """
    listed = _list_groups(plan, run.datasets)
    results = _probe({group.shape: group for group in reversed(listed)}, run, len(plan.trials))
    arms: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for group in reversed(listed):
        for trial in group.trials:
            arms[trial.block][group.shape][trial.arm] = None
    chosen = {block: _choose([results[shape] for shape in own], kept.get(block)) for block, own in arms.items()}
    for block, known in kept.items():
        unfit = [arm for shape, own in arms[block].items() if not results[shape].get("agrees") for arm in own]
        _report_change(run, block, known, chosen[block], _explain_disagreement(dict.fromkeys(unfit)))
    modes = list(chosen.values())
    common = max(dict.fromkeys(modes), key=modes.count)
    differing = {block: mode for block, mode in chosen.items() if mode != common}

    def name_shapes(is_faster: Callable[[Result, Numeric], bool]) -> frozenset[str]:
        """Return the shapes for which something is faster in the modes of all their blocks."""
        return frozenset(
            name_shape(shape)
            for shape, result in results.items()
            if all(is_faster(result, chosen[block]) for block, own in arms.items() if shape in own)
        )

    apart = name_shapes(_is_faster_apart)
    in_turn = name_shapes(_is_faster_in_turn) - apart
    return Modes(common=common, by_block=differing, apart=apart, in_turn=in_turn)


def _probe(groups: Mapping[str, Group], run: OpenRun, num_trials: int) -> dict[str, Result]:
    """Return a probe's result for every shape: from the ledger, this machine's cache, or measured now.

    So the same study takes the same choices in any workspace on this machine. Where something is measured, the trials
    are new, too: all workers start, and load torch while one of them probes.
    """
    tasks = {shape: _make_probe(group, run) for shape, group in groups.items()}
    for task in tasks.values():
        if run.ledger.probe(task.probe_id) is None and (known := read_probe(task.probe_id)) is not None:
            run.ledger.record_probe(task.probe_id, known)
    missing = [task for task in tasks.values() if run.ledger.probe(task.probe_id) is None]
    if missing:
        run.context.executor.prepare(num_trials)
    _measure(missing, run)
    return {shape: run.ledger.probe(task.probe_id) or {} for shape, task in tasks.items()}


def _list_groups(plan: Plan, datasets: Datasets) -> list[Group]:
    """Return the planned groups, and groups of a few candidates of every search."""
    groups = list(group_trials(plan.trials, datasets))
    for block in plan.blocks:
        default = next((trial for trial in plan.trials if trial.block == block.label), None)
        if block.search is None or default is None:
            continue
        found = {group.shape: group for group in group_trials(sample_candidates(block, default, datasets), datasets)}
        groups += _thin_out(list(found.values()), MOST_CANDIDATES)
    return groups


def _thin_out(groups: Sequence[Group], most: int) -> list[Group]:
    """Select at most a given number, evenly from the most expensive to the cheapest, including both."""
    if len(groups) <= most:
        return list(groups)
    return [groups[round(number * (len(groups) - 1) / (most - 1))] for number in range(most)]


def _choose(results: Sequence[Result], kept: KeptMode | None) -> Numeric:
    if not all(result.get("agrees") for result in results):
        return "float32"
    if kept is not None:
        return kept.mode
    slow, fast = (sum(result["seconds_per_step"][mode] for result in results) for mode in ("float32", "bfloat16"))
    return "bfloat16" if fast * WORTHWHILE_GAIN < slow else "float32"


def _explain_disagreement(arms: Iterable[str]) -> str:
    """Return the reason that rules out bfloat16."""
    return f"in bfloat16 the gradients of {', '.join(arms)} differ too much from those in float32"


def _is_faster_apart(result: Result, mode: Numeric) -> bool:
    """Return whether members train clearly faster separately than fused in the better way, in their mode."""
    alone = result.get("seconds_alone", {}).get(mode)
    if alone is None:
        return False
    fused = result["seconds_per_step"][mode]
    best = min(fused, result.get("seconds_in_turn", {}).get(mode, fused))
    return bool(alone * result["num_members"] * WORTHWHILE_PARTING < best)


def _is_faster_in_turn(result: Result, mode: Numeric) -> bool:
    """Return whether fused members train faster if their convolutional layers are computed one member at a time."""
    in_turn = result.get("seconds_in_turn", {}).get(mode)
    return in_turn is not None and bool(in_turn * WORTHWHILE_TURNS < result["seconds_per_step"][mode])


def _make_probe(group: Group, run: OpenRun) -> ProbeTask:
    first = group.trials[0]
    recipes = [trial.recipe for trial in group.trials]
    name = first.recipe.network.name
    code = run.codes[name] if names_class(name) else None
    content = [
        PROBE_VERSION,
        group.shape,
        [_describe(recipe) for recipe in recipes[:PROBE_MEMBERS]],
        *([len(recipes)] if len(recipes) > PROBE_MEMBERS else []),
        describe_hardware()["processor"],
        describe_versions()["torch"],
        *run.context.device.record.values(),
        *([] if code is None else [code]),
    ]
    members = tuple(Member(trial_id=f"probe {n}", recipe=recipe, code=code) for n, recipe in enumerate(recipes))
    return ProbeTask(
        probe_id=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24],
        label=first.block,
        members=members[:PROBE_MEMBERS],
        data=group.view(run.datasets),
        cohort=members if len(members) > PROBE_MEMBERS else (),
    )


def _describe(recipe: Recipe) -> dict[str, Any]:
    """Return the parts of a recipe, besides its network, on which a step's time and gradient depend."""
    always = recipe.model_dump(mode="json", include={"initializer", "optimizer"})
    return always | recipe.model_dump(mode="json", include={"augmentation", "mix"}, exclude_defaults=True)


def _measure(tasks: Sequence[ProbeTask], run: OpenRun) -> None:
    """Run probes one by one, so that they do not disturb each other's times.

    A probe that is lost counts as disagreement; one whose worker died is tried once more.
    """
    executor, ledger = run.context.executor, run.ledger
    for task in tasks:
        executor.submit(task)
        ended, was_lost = False, False
        while not ended:
            for report in executor.poll(0.5):
                if isinstance(report, ProbeDone):
                    _record(report, ledger)
                elif isinstance(report, TaskLost):
                    ledger.record_incident(task.probe_id, "error", f"probe: {report.detail or report.reason}")
                    if report.died and not was_lost:
                        was_lost = True
                        executor.submit(task)
                        continue
                    ledger.record_probe(task.probe_id, {"seconds_per_step": {}, "agrees": False})
                    run.context.observer.message(f"{task.label}: float32, for its probe was lost: {report.reason}")
                ended |= isinstance(report, TaskDone | TaskLost)


def _record(report: ProbeDone, ledger: Ledger) -> None:
    result = {
        "seconds_per_step": dict(report.seconds_per_step),
        "relative_difference": report.relative_difference if math.isfinite(report.relative_difference) else None,
        "agrees": report.agrees,
        "num_members": report.num_members,
        "seconds_alone": dict(report.seconds_alone),
        "seconds_in_turn": dict(report.seconds_in_turn),
    }
    ledger.record_probe(report.probe_id, result)
    write_probe(report.probe_id, result)
