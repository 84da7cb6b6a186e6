"""The average of several arms of one block, as an arm of its own: a level of a factor, one side of an interaction, a
group.

It is averaged replicate by replicate, fold by fold and image by image, so that two averages are compared as two arms
are: paired, by whatever decides, on new images or on these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.looks import LineLook
from bakeoff.stats.results import ArmSummary


@dataclass(frozen=True, kw_only=True)
class AveragedArm(ArmSummary):
    """The average of some arms of a block, on the replicates that all of them have.

    Attributes:
        averaged: the arms, at least one.
    """

    averaged: tuple[ArmSummary, ...]

    @property
    def members(self) -> tuple[ArmSummary, ...]:
        """The arms that it is the average of."""
        return self.averaged

    def as_seen_at(self, look: LineLook) -> AveragedArm:
        """Return the average of what an earlier look saw of every member."""
        return average_arms([member.as_seen_at(look) for member in self.members], self.arm)


def average_arms(arms: Sequence[ArmSummary], label: str) -> AveragedArm:
    """Return the average of some arms of a block: every arm counts the same, on the replicates that all have.

    A replicate counts as failed if it failed in every arm.

    Args:
        arms: at least one, all of one block.
        label: the name of the average.

    Raises:
        ValueError: no arm.
    """
    if not arms:
        raise ValueError("an average needs at least one arm")
    runs = [run for run in arms[0].fold_scores if all(run in arm.fold_scores for arm in arms)]
    common = find_common(arms)
    return AveragedArm(
        block=arms[0].block,
        arm=label,
        replicates=min(arm.replicates for arm in arms),
        failed=sum(arm.failed for arm in arms),
        train={},
        validation={},
        test={},
        scores={replicate: float(np.mean([arm.scores[replicate] for arm in arms])) for replicate in common},
        epochs=None,
        seconds=None,
        fold_scores={run: float(np.mean([arm.fold_scores[run] for arm in arms])) for run in runs},
        failed_runs=frozenset.intersection(*(arm.failed_runs for arm in arms)),
        by_image={replicate: _average_images(arms, replicate) for replicate in common if _know_images(arms, replicate)},
        averaged=tuple(arms),
        groups=arms[0].groups,
    )


def find_common(arms: Sequence[ArmSummary]) -> tuple[int, ...]:
    """Return the replicates of which every arm has a score, in order."""
    return tuple(sorted(set.intersection(*(set(arm.scores) for arm in arms)))) if arms else ()


def keep_replicates(arm: ArmSummary, kept: Collection[int]) -> ArmSummary:
    """Return an arm with the scores of some replicates alone."""
    return replace(
        arm,
        scores={replicate: score for replicate, score in arm.scores.items() if replicate in kept},
        fold_scores={run: score for run, score in arm.fold_scores.items() if run[0] in kept},
    )


def _know_images(arms: Sequence[ArmSummary], replicate: int) -> bool:
    """Return whether all arms know what the same images contribute in a replicate."""
    if any(replicate not in arm.by_image for arm in arms):
        return False
    return len({len(arm.by_image[replicate]) for arm in arms}) == 1


def _average_images(arms: Sequence[ArmSummary], replicate: int) -> NDArray[np.float32]:
    total_N = np.zeros(len(arms[0].by_image[replicate]))
    for arm in arms:
        total_N += arm.by_image[replicate]
    return np.asarray(total_N / len(arms), dtype=np.float32)
