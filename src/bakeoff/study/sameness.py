"""Finds arms of a block that train identically: reported before training, and not compared with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.sameness import resolve
from bakeoff.catalog.shape import Shape
from bakeoff.data.source import DataSource, show_text
from bakeoff.errors import CONFLICT, Problem, StudyError
from bakeoff.stats.measure import join_names
from bakeoff.study.plan import Plan, PlannedTrial


class Facts(Protocol):
    """Facts about images."""

    @property
    def shape_HWC(self) -> Shape: ...  # noqa: D102
    @property
    def num_classes(self) -> int: ...  # noqa: D102
    def count_train(self, trial: PlannedTrial) -> int: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class SameArms:
    """Two or more arms of a block that train identically.

    Attributes:
        arms: in the study's order.
        fields: the recipe fields in which they differ without effect; empty if their recipes are equal.
    """

    block: str
    arms: tuple[str, ...]
    fields: tuple[str, ...]

    def describe(self) -> str:
        """Return a sentence about it."""
        names = join_names([f"'{show_text(arm)}'" for arm in self.arms])
        why = "they are one recipe"
        if self.fields:
            why = f"they differ in {join_names([*self.fields])} alone, which changes nothing in these networks"
        hint = " (initializer.where: everywhere draws dense layers too)" if "initializer" in self.fields else ""
        return (
            f"{show_text(self.block)}: arms {names} are the same training: {why}{hint}; "
            "they are not compared with each other."
        )


def find_same_arms(plan: Plan, facts: Mapping[DataSource, Facts]) -> tuple[SameArms, ...]:
    """Return the arms that train identically, block by block; blocks whose images are unknown are skipped.

    Raises:
        NetworkError: a network does not fit its images.
    """
    groups: dict[tuple[str, str], dict[str, Recipe]] = {}
    for trial in list_first(plan.trials):
        known = facts.get(trial.data.source)
        if known is not None:
            text = resolve(trial.recipe, known.shape_HWC, known.num_classes, known.count_train(trial))
            groups.setdefault((trial.block, text), {})[trial.arm] = trial.recipe
    return tuple(
        SameArms(block=block, arms=tuple(recipes), fields=_list_differing([*recipes.values()]))
        for (block, _), recipes in groups.items()
        if len(recipes) > 1
    )


def check_race(plan: Plan, facts: Mapping[DataSource, Facts]) -> None:
    """Refuse a race that has nothing to decide, because in every block all arms train identically.

    Raises:
        StudyError: that is so.
        NetworkError: a network does not fit its images.
    """
    if isinstance(plan.study.replicates, int) or len(plan.arms) < 2:
        return
    same = {each.block for each in find_same_arms(plan, facts) if len(each.arms) == len(plan.arms)}
    if same == {block.label for block in plan.blocks}:
        problem = (
            f"all {len(plan.arms)} arms are the same training, so a race between them has nothing to decide: "
            "give them recipes that differ, or a fixed number of replicates (replicates: 3)"
        )
        raise StudyError([Problem(place="", field="replicates", message=problem, code=CONFLICT)])


def describe_same_arms(plan: Plan, facts: Mapping[DataSource, Facts]) -> tuple[str, ...]:
    """Return a sentence for each group of arms that train identically; equal recipes are already in the plan's notes.

    Raises:
        NetworkError: a network does not fit its images.
    """
    return tuple(each.describe() for each in find_same_arms(plan, facts) if each.fields)


def list_first(trials: Iterable[PlannedTrial]) -> Iterator[PlannedTrial]:
    """Yield one trial of every arm in every block; the others differ only in seed and fold."""
    seen: set[tuple[str, str]] = set()
    for trial in trials:
        if (trial.block, trial.arm) not in seen:
            seen.add((trial.block, trial.arm))
            yield trial


def _list_differing(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    return tuple(name for name in Recipe.model_fields if len({repr(getattr(each, name)) for each in recipes}) > 1)
