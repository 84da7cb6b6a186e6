"""Who trains beside whom: decided by the plan alone, never by timing or the number of workers. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bakeoff.data.registry import find_dataset
from bakeoff.data.store import Images
from bakeoff.networks.fusion import fusion_key
from bakeoff.networks.layers import Layer
from bakeoff.networks.named import expand
from bakeoff.networks.shapes import format_shape, trace
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.settings import DataSettings
from bakeoff.training.task import DataView

MOST_MEMBERS = 12
"""Members of a cohort at most. Larger ones are cut into equal parts: past about ten, activations leave the cache."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What the plan has to know of a data set's training images.

    Attributes:
        num_images: training images, validation included.
        fingerprint: of the decoded images; empty where they have not been opened.
    """

    shape_HWC: tuple[int, int, int]
    num_classes: int
    num_images: int
    fingerprint: str = ""

    @classmethod
    def of_images(cls, images: Images) -> ImageFacts:
        """Return the facts of opened images."""
        return cls(
            shape_HWC=images.shape_HWC,
            num_classes=len(images.class_names),
            num_images=len(images.labels),
            fingerprint=images.fingerprint,
        )

    @classmethod
    def of_registered(cls, name: str) -> ImageFacts:
        """Return the facts of a registered data set, without opening it."""
        record = find_dataset(name)
        return cls(
            shape_HWC=record.image_shape_HWC, num_classes=record.num_classes, num_images=record.num_images("train")
        )

    def count_train(self, trial: PlannedTrial) -> int:
        """Return the images one epoch of `trial` trains on: all but those held out for validation."""
        return self.num_images - round(self.num_images * trial.data.held_out)


Datasets = Mapping[str, ImageFacts]
"""Facts by data set name."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Planned trials that will be trained fused: equal images, seed, batches and network shape.

    Attributes:
        shape: equal for groups whose arithmetic is the same (network, image size, batch size).
        num_operations: multiply-adds of one member's epoch, training and validation.
        num_steps: training steps of an epoch.
    """

    trials: tuple[PlannedTrial, ...]
    shape: str
    num_operations: int
    num_steps: int

    def view(self, datasets: Datasets) -> DataView:
        """Return the images the group sees, and how they are split."""
        first = self.trials[0]
        return DataView(
            name=first.data.name,
            validation=first.data.validation,
            fingerprint=datasets[first.data.name].fingerprint,
            seed=first.seed,
            folds=first.data.folds,
            fold=first.fold,
        )

    @property
    def most_operations(self) -> int:
        """Multiply-adds of the whole group when no member stops early."""
        return self.num_operations * sum(trial.recipe.epochs for trial in self.trials)

    @property
    def label(self) -> str:
        """Name the group for people."""
        first = self.trials[0]
        fold = "" if first.fold is None else f", fold {first.fold + 1}"
        return f"{first.block}, replicate {first.replicate + 1}{fold}"


def group_trials(trials: Sequence[PlannedTrial], datasets: Datasets) -> tuple[Group, ...]:
    """Put trials that can share batches and arithmetic together, costliest groups first.

    Raises:
        NetworkError: if a network does not fit its images.
    """
    together: dict[tuple[DataSettings, int, int | None, str], list[PlannedTrial]] = {}
    costs: dict[tuple[DataSettings, int, int | None, str], tuple[int, int]] = {}
    for trial in trials:
        images = datasets[trial.data.name]
        layers = expand(trial.recipe.network, images.shape_HWC, images.num_classes)
        key = (trial.data, trial.seed, trial.fold, _name_shape(trial, images, layers))
        together.setdefault(key, []).append(trial)
        costs[key] = _measure(trial, images, layers)
    groups = [
        Group(trials=part, shape=key[3], num_operations=costs[key][0], num_steps=costs[key][1])
        for key, members in together.items()
        for part in _cut(members)
    ]
    return tuple(sorted(groups, key=lambda group: -group.most_operations))


def name_cohort(trial_ids: Sequence[str]) -> str:
    """Return a cohort's id: a function of the trials planned together."""
    return hashlib.sha256("\n".join(trial_ids).encode()).hexdigest()[:24]


def _name_shape(trial: PlannedTrial, images: ImageFacts, layers: Sequence[Layer]) -> str:
    return f"{format_shape(images.shape_HWC)} in batches of {trial.recipe.batch_size}: {fusion_key(layers)}"


def _measure(trial: PlannedTrial, images: ImageFacts, layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the multiply-adds and the training steps of one epoch; a backward pass costs two forward ones."""
    operations = sum(layer.num_multiply_adds for layer in trace(layers, images.shape_HWC))
    num_train = images.count_train(trial)
    return operations * (2 * num_train + images.num_images), -(-num_train // trial.recipe.batch_size)


def _cut(members: Sequence[PlannedTrial]) -> list[tuple[PlannedTrial, ...]]:
    """Cut into the fewest parts of at most MOST_MEMBERS, as equal as can be."""
    num_parts = -(-len(members) // MOST_MEMBERS)
    bounds = [round(part * len(members) / num_parts) for part in range(num_parts + 1)]
    return [tuple(members[start:end]) for start, end in pairwise(bounds)]
