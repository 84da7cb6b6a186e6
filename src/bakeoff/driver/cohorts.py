"""Groups trials into cohorts, by the plan and the machine, never by timing or the number of workers. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import TypeVar

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.fusion import fusion_key
from bakeoff.catalog.networks.shapes import format_shape
from bakeoff.catalog.numeric_modes import Modes
from bakeoff.catalog.shape import (
    all_layers,
    body_key,
    count_feature_draws,
    count_frozen_epochs,
    freezes_norm,
    is_body_frozen,
    is_fusable,
    trained_layers,
)
from bakeoff.data.source import DataSource
from bakeoff.driver.balance import balance, share_cores
from bakeoff.driver.costs import Cost, measure_cost
from bakeoff.driver.devices import Device
from bakeoff.driver.facts import Datasets, ImageFacts
from bakeoff.messages import DataView
from bakeoff.study.plan import PlannedTrial

_Item = TypeVar("_Item")

MOST_MEMBERS = 12
"""Maximum members of a cohort. Larger ones are split evenly: beyond about ten, activations no longer fit the cache."""

MOST_ON_A_CARD = 64
"""The same on a GPU, where small networks are fused as far as possible."""

FILLING_OPERATIONS = 10**11
"""Multiply-adds of a step that keep a GPU busy for milliseconds: more members would not increase throughput."""

STEP_OPERATIONS = 10**8
"""Multiply-adds that a CPU core does in the fixed overhead of a step, about two milliseconds."""

THREAD_OPERATIONS = 10**9
"""Multiply-adds of a step for every thread of a cohort: with fewer, waiting for each other costs what threads save."""

USED_MEMORY = 0.6
"""Fraction of a GPU's memory that a cohort may fill: the estimate is rough, and images are there, too."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on fusing trials: a property of the device.

    Attributes:
        most_members: maximum members of a cohort.
        across_replicates: whether members may belong to several replicates, each with its own split and batches.
        num_bytes: the device's memory; 0 if it is not a limit.
        modes: trials in different numeric modes are not fused, nor networks that train faster separately; on a CPU,
            also how many cohorts train at once, and with how many threads.
    """

    most_members: int = MOST_MEMBERS
    across_replicates: bool = False
    num_bytes: int = 0
    modes: Modes = field(default_factory=lambda: Modes(common="float32"))

    def count_members(self, cost: Cost) -> int:
        """Return the maximum number of members with this cost in a cohort."""
        if not self.num_bytes:
            return self.most_members
        fitting = int(USED_MEMORY * self.num_bytes) // max(1, cost.num_bytes)
        filling = -(-FILLING_OPERATIONS * cost.num_steps // max(1, cost.num_operations))
        return max(1, min(self.most_members, fitting, filling))


ON_PROCESSOR = Limits()


def limits_of(device: Device) -> Limits:
    """Return the limits on fusing trials on a device."""
    if device.kind != "cuda":
        return ON_PROCESSOR
    return Limits(most_members=MOST_ON_A_CARD, across_replicates=True, num_bytes=device.num_bytes)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Planned trials that will be fused: equal images, batch size and network shape.

    On a CPU, and with folds, they belong to one replicate and see the same batches.

    Attributes:
        shape: equal for groups with the same arithmetic (network, image size, batch size).
        cost: cost of one member; members differ only in epochs.
        is_part: whether trials that could have been fused with these are in another group.
        num_threads: threads of the worker that trains them.
    """

    trials: tuple[PlannedTrial, ...]
    shape: str
    cost: Cost
    is_part: bool = False
    num_threads: int = 1

    def view(self, datasets: Datasets) -> DataView:
        """Return the group's images, and how they are split."""
        return _view(self.trials[0], datasets)

    def own_views(self, datasets: Datasets) -> tuple[DataView | None, ...]:
        """Return each trial's own view if they belong to several replicates; None for all if they share one."""
        if len({trial.seed for trial in self.trials}) == 1:
            return (None,) * len(self.trials)
        return tuple(_view(trial, datasets) for trial in self.trials)

    @property
    def most_operations(self) -> int:
        """Multiply-adds of the whole group without early stopping."""
        trained = self.cost.num_operations * sum(trial.recipe.epochs for trial in self.trials)
        return trained + self.cost.num_body_operations * self.cost.num_body_passes

    @property
    def span(self) -> int:
        """Cost of the whole group on one core, in multiply-adds: half the members cost more than half."""
        num_epochs = max(trial.recipe.epochs for trial in self.trials)
        return self.most_operations + STEP_OPERATIONS * self.cost.num_steps * num_epochs

    @property
    def most_threads(self) -> int:
        """Maximum number of threads that its steps keep busy; 1 if the cost of a step is unknown."""
        passes = self.cost.num_body_operations if self.cost.num_body_passes > 1 else 0
        per_epoch = len(self.trials) * self.cost.num_operations + passes
        return max(1, per_epoch // (self.cost.num_steps * THREAD_OPERATIONS))

    def cut(self, most: int) -> tuple[Group, ...]:
        """Split into the fewest groups of at most `most` members, as evenly as possible."""
        parts = _split_evenly(self.trials, most)
        return tuple(replace(self, trials=part, is_part=self.is_part or len(parts) > 1) for part in parts)

    @property
    def label(self) -> str:
        """Return a readable name of the group."""
        first, seeds = self.trials[0], {trial.seed for trial in self.trials}
        if len(seeds) > 1:
            return f"{first.block}, {len(self.trials)} trials of {len(seeds)} replicates"
        fold = "" if first.fold is None else f", fold {first.fold + 1}"
        if first.stage == "final" and not self.is_part:
            return f"{first.block}, replicate {first.replicate + 1}{fold}"
        last = self.trials[-1]
        until = "" if first.until is None else f" to epoch {first.until}"
        return f"{first.block}, {first.arm}{'' if last is first else f' to {last.arm}'}{until}, " + (
            f"replicate {first.replicate + 1}{fold}"
        )


def _view(trial: PlannedTrial, datasets: Datasets) -> DataView:
    return DataView(
        source=trial.data.source,
        validation=trial.data.validation,
        fingerprint=datasets[trial.data.source].fingerprint,
        seed=trial.seed,
        folds=trial.data.folds,
        fold=trial.fold,
    )


def group_trials(
    trials: Sequence[PlannedTrial], datasets: Datasets, limits: Limits = ON_PROCESSOR
) -> tuple[Group, ...]:
    """Group trials that can share batches and arithmetic: groups with most threads first, then the most expensive.

    Args:
        trials: the trials to train.
        datasets: facts about their images.
        limits: the device's limits on fusing.

    Raises:
        NetworkError: a network does not fit its images.
    """
    together: dict[tuple[object, ...], list[PlannedTrial]] = {}
    shapes: dict[tuple[object, ...], str] = {}
    named: dict[tuple[str, DataSource], tuple[str, str]] = {}
    for number, trial in enumerate(trials):
        # The replicates of an arm share a recipe; naming its shape takes longer than looking it up.
        recipe = (trial.recipe.model_dump_json(), trial.data.source)
        if recipe not in named:
            named[recipe] = _name_arithmetic(trial, datasets[trial.data.source])
        shape, body = named[recipe]
        # A network that does not consist of layer records trains alone.
        alone = None if is_fusable(trial.recipe) else number
        # Folds may differ in size by an image between replicates, and splits by groups by several: not fused.
        has_one_size = trial.fold is None and not datasets[trial.data.source].num_groups
        # Each replicate has its own augmented features.
        across = limits.across_replicates and has_one_size and not count_feature_draws(trial.recipe)
        seed = None if across else trial.seed
        mode = limits.modes.of(trial.block)
        key = (trial.data.source, trial.data.split, seed, trial.fold, shape, body, alone, trial.until, mode)
        together.setdefault(key, []).append(trial)
        shapes[key] = shape
    groups = [
        Group(trials=part, shape=shapes[key], cost=_measure(part, datasets), is_part=len(part) < len(members))
        for key, members in together.items()
        for part in _cut(members, _count_most(members, shapes[key], datasets, limits))
    ]
    if not limits.across_replicates:
        groups = balance(groups, limits.modes.num_lanes, _span_of, _size_of, Group.cut)
        groups = _give_threads(groups, limits.modes)
    return tuple(sorted(groups, key=lambda group: (-group.num_threads, -group.most_operations)))


def _give_threads(groups: Sequence[Group], modes: Modes) -> list[Group]:
    ordered = sorted(groups, key=_span_of, reverse=True)
    most = [min(modes.max_threads, count_useful_threads(group, modes)) for group in ordered]
    threads = share_cores([group.span for group in ordered], most, modes.num_lanes)
    return [replace(group, num_threads=number) for group, number in zip(ordered, threads, strict=True)]


def count_useful_threads(group: Group, modes: Modes) -> int:
    """Return the maximum number of threads that shorten a group's training: always one in bfloat16.

    oneDNN's bfloat16 threads wait for each other by spinning, which on a busy machine takes ten times as long.
    """
    return group.most_threads if modes.of(group.trials[0].block) == "float32" else 1


def _span_of(group: Group) -> int:
    return group.span


def _size_of(group: Group) -> int:
    return len(group.trials)


def name_cohort(trial_ids: Sequence[str], until: int | None = None, num_threads: int = 1) -> str:
    """Return a cohort's id: a function of the trials planned together, the epoch at which they pause, and its threads.

    So a cohort never resumes from a checkpoint that was trained with other rounding.
    """
    parts = [*trial_ids, *([] if until is None else [f"until {until}"])]
    parts += [f"{num_threads} threads"] if num_threads > 1 else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _name_arithmetic(trial: PlannedTrial, images: ImageFacts) -> tuple[str, str]:
    """Return two texts, both equal for trials that can be fused.

    The first describes what is trained, on which inputs, and from which epoch; the second the frozen body with its
    weights.
    """
    recipe = trial.recipe
    shape_HWC = trace_augmentation(recipe.augmentation, images.shape_HWC)
    layers = trained_layers(recipe, images.shape_HWC, images.num_classes)
    parts = [f"{format_shape(shape_HWC)} in batches of {recipe.batch_size}", fusion_key(layers)]
    if not is_fusable(recipe):
        parts.append(recipe.network.model_dump_json())
    if count_frozen_epochs(recipe) and recipe.transfer is not None:
        parts.append(f"{recipe.transfer.body} frozen for {count_frozen_epochs(recipe)} epochs")
    if freezes_norm(recipe) and recipe.transfer is not None:
        parts.append(f"{recipe.transfer.body} with frozen batch norm")
    if is_body_frozen(recipe):
        frozen = all_layers(recipe, images.shape_HWC, images.num_classes)[: -len(layers)]
        parts.append(f"on a frozen {recipe.network.name_module() or fusion_key(frozen)}")
    return ": ".join(parts), body_key(recipe, images.shape_HWC, images.num_classes)


def _measure(members: Sequence[PlannedTrial], datasets: Datasets) -> Cost:
    longest = max(members, key=lambda trial: trial.recipe.epochs)
    return measure_cost(longest, datasets[longest.data.source])


def _count_most(members: Sequence[PlannedTrial], shape: str, datasets: Datasets, limits: Limits) -> int:
    if limits.modes.are_apart(shape):
        return 1
    if not limits.num_bytes:  # then nothing has to be measured
        return limits.most_members
    return limits.count_members(_measure(members, datasets))


def _cut(members: Sequence[PlannedTrial], most: int) -> list[tuple[PlannedTrial, ...]]:
    """Split into the fewest even parts of at most `most`; between replicates if these are small enough."""
    replicates = [list(part) for _, part in groupby(sorted(members, key=_seed_of), key=_seed_of)]
    most_trials = max(map(len, replicates))
    if len(replicates) > 1 and most_trials <= most:
        parts = _split_evenly(replicates, most // most_trials)
        return [tuple(trial for replicate in part for trial in replicate) for part in parts]
    return _split_evenly([trial for replicate in replicates for trial in replicate], most)


def _seed_of(trial: PlannedTrial) -> int:
    return trial.seed


def _split_evenly(members: Sequence[_Item], most: int) -> list[tuple[_Item, ...]]:
    num_parts = -(-len(members) // most)
    bounds = [round(part * len(members) / num_parts) for part in range(num_parts + 1)]
    return [tuple(members[start:end]) for start, end in pairwise(bounds)]
