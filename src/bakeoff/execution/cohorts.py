"""Who trains beside whom: decided by the plan alone, never by timing or the number of workers. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bakeoff.data.source import DataSource
from bakeoff.execution.costs import Cost, measure_cost
from bakeoff.execution.facts import Datasets, ImageFacts
from bakeoff.networks.fusion import fusion_key
from bakeoff.networks.outside import OutsideNetwork
from bakeoff.networks.shapes import format_shape
from bakeoff.study.plan import PlannedTrial
from bakeoff.training.augmentation.records import trace_augmentation
from bakeoff.training.shape import all_layers, body_key, count_frozen_epochs, is_body_frozen, is_fusable, trained_layers
from bakeoff.training.task import DataView

MOST_MEMBERS = 12
"""Members of a cohort at most. Larger ones are cut into equal parts: past about ten, activations leave the cache."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Planned trials that will be trained fused: equal images, seed, batches and network shape.

    Attributes:
        shape: equal for groups whose arithmetic is the same (network, image size, batch size).
        cost: of one member; members differ in epochs only.
    """

    trials: tuple[PlannedTrial, ...]
    shape: str
    cost: Cost

    def view(self, datasets: Datasets) -> DataView:
        """Return the images the group sees, and how they are split."""
        first = self.trials[0]
        return DataView(
            source=first.data.source,
            validation=first.data.validation,
            fingerprint=datasets[first.data.source].fingerprint,
            seed=first.seed,
            folds=first.data.folds,
            fold=first.fold,
        )

    @property
    def most_operations(self) -> int:
        """Multiply-adds of the whole group when no member stops early."""
        trained = self.cost.num_operations * sum(trial.recipe.epochs for trial in self.trials)
        return trained + self.cost.num_body_operations * self.cost.num_body_passes

    @property
    def label(self) -> str:
        """Name the group for people."""
        first = self.trials[0]
        fold = "" if first.fold is None else f", fold {first.fold + 1}"
        if first.stage == "final":
            return f"{first.block}, replicate {first.replicate + 1}{fold}"
        last = self.trials[-1]
        until = "" if first.until is None else f" to epoch {first.until}"
        return f"{first.block}, {first.arm}{'' if last is first else f' to {last.arm}'}{until}, " + (
            f"replicate {first.replicate + 1}{fold}"
        )


def group_trials(trials: Sequence[PlannedTrial], datasets: Datasets) -> tuple[Group, ...]:
    """Put trials that can share batches and arithmetic together, costliest groups first.

    Raises:
        NetworkError: if a network does not fit its images.
    """
    together: dict[tuple[object, ...], list[PlannedTrial]] = {}
    shapes: dict[tuple[object, ...], str] = {}
    named: dict[tuple[int, DataSource], tuple[str, str]] = {}
    for number, trial in enumerate(trials):
        # The replicates of an arm share one recipe object; naming its shape takes longer than looking it up.
        recipe = (id(trial.recipe), trial.data.source)
        if recipe not in named:
            named[recipe] = _name_arithmetic(trial, datasets[trial.data.source])
        shape, body = named[recipe]
        # A network that is not made of layer records trains alone.
        alone = None if is_fusable(trial.recipe) else number
        key = (trial.data.source, trial.data.split, trial.seed, trial.fold, shape, body, alone, trial.until)
        together.setdefault(key, []).append(trial)
        shapes[key] = shape
    groups = [
        Group(trials=part, shape=shapes[key], cost=_measure(part, datasets))
        for key, members in together.items()
        for part in _cut(members)
    ]
    return tuple(sorted(groups, key=lambda group: -group.most_operations))


def name_cohort(trial_ids: Sequence[str], until: int | None = None) -> str:
    """Return a cohort's id: a function of the trials planned together, and of the epoch they are to pause after."""
    parts = [*trial_ids, *([] if until is None else [f"until {until}"])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _name_arithmetic(trial: PlannedTrial, images: ImageFacts) -> tuple[str, str]:
    """Return two texts, both equal for trials whose members could share a pass.

    The first says what is trained, on what, and from when on; the second what a frozen body is, with its weights.
    """
    recipe = trial.recipe
    shape_HWC = trace_augmentation(recipe.augmentation, images.shape_HWC)
    layers = trained_layers(recipe, images.shape_HWC, images.num_classes)
    parts = [f"{format_shape(shape_HWC)} in batches of {recipe.batch_size}", fusion_key(layers)]
    if not is_fusable(recipe):
        parts.append(recipe.network.model_dump_json())
    if count_frozen_epochs(recipe) and recipe.transfer is not None:
        parts.append(f"{recipe.transfer.body} frozen for {count_frozen_epochs(recipe)} epochs")
    if is_body_frozen(recipe):
        frozen = all_layers(recipe, images.shape_HWC, images.num_classes)[: -len(layers)]
        outside = isinstance(recipe.network, OutsideNetwork)
        parts.append(f"on a frozen {recipe.network.name if outside else fusion_key(frozen)}")
    return ": ".join(parts), body_key(recipe, images.shape_HWC, images.num_classes)


def _measure(members: Sequence[PlannedTrial], datasets: Datasets) -> Cost:
    longest = max(members, key=lambda trial: trial.recipe.epochs)
    return measure_cost(longest, datasets[longest.data.source])


def _cut(members: Sequence[PlannedTrial]) -> list[tuple[PlannedTrial, ...]]:
    """Cut into the fewest parts of at most MOST_MEMBERS, as equal as can be."""
    num_parts = -(-len(members) // MOST_MEMBERS)
    bounds = [round(part * len(members) / num_parts) for part in range(num_parts + 1)]
    return [tuple(members[start:end]) for start, end in pairwise(bounds)]
