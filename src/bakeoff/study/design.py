"""Which combinations of crossed axes become arms: all of them, or a fraction that still tells the axes apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.stats.designs import MAX_FACTORS, Fraction, make_fraction, make_screening
from bakeoff.stats.factorial import DesignKind
from bakeoff.study.axes import Entry, read_axes

Choice: TypeAlias = tuple[Entry, ...]

_MOST_ALIASES = 3


class Design(Record):
    """Which combinations of the axes of `arms` are run."""

    kind: DesignKind = Field(
        default="full",
        description="full: all combinations; fractional: a regular fraction 2^(k-p) of two-level axes; screening: the "
        "smallest design that tells the axes apart (Plackett-Burman, or 2^(k-p) where the runs are a power of two).",
    )
    runs: int | None = Field(
        default=None,
        strict=True,
        ge=4,
        le=256,
        description="Number of arms of a fraction; null: the smallest that there is.",
    )
    resolution: Literal[3, 4, 5] | None = Field(
        default=None,
        description="Lowest resolution of a fractional design; null: 3, and for a number of runs the highest.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Design:
        if self.kind == "full" and (self.runs or self.resolution):
            raise PydanticCustomError("design", "a full design runs all combinations: leave runs and resolution out")
        if self.kind == "screening" and self.resolution:
            message = "a screening design has no resolution to choose: leave it out, or write kind: fractional"
            raise PydanticCustomError("design", message)
        return self

    @property
    def is_full(self) -> bool:
        """Whether all combinations are run."""
        return self.kind == "full"

    def make(self, num_factors: int) -> Fraction:
        """Return the fraction for a number of two-level factors.

        Raises:
            ValueError: there is none of these runs and this resolution.
        """
        if self.kind == "screening":
            return make_screening(num_factors, self.runs)
        return make_fraction(num_factors, resolution=self.resolution or 3, num_runs=self.runs)


def read_design(given: object) -> Design:
    """Return a design as a study gives it; a full one for what is none."""
    try:
        return Design.model_validate(given)
    except ValidationError:
        return Design()


def choose_arms(axes: Sequence[Sequence[Entry]], design: Design) -> list[Choice]:
    """Return the combinations of entries that are arms, in the order in which a full design has them.

    Raises:
        ValueError: the axes have no such design; says what to change.
    """
    if design.is_full:
        return list(itertools.product(*axes))
    varied = find_varied(axes)
    _check_axes(axes, varied, design)
    rows = sorted(map(tuple, design.make(len(varied)).levels_NK.tolist()))
    fixed = [axis[0] for axis in axes]
    return [_place_levels(fixed, axes, varied, row) for row in rows]


def find_varied(axes: Sequence[Sequence[Entry]]) -> list[int]:
    """Return the places of axes with two entries or more."""
    return [place for place, axis in enumerate(axes) if len(axis) > 1]


def _place_levels(
    fixed: Sequence[Entry], axes: Sequence[Sequence[Entry]], varied: Sequence[int], row: Sequence[int]
) -> Choice:
    chosen = list(fixed)
    for place, level in zip(varied, row, strict=True):
        chosen[place] = axes[place][level]
    return tuple(chosen)


def _check_axes(axes: Sequence[Sequence[Entry]], varied: Sequence[int], design: Design) -> None:
    if len(varied) < 2:
        raise ValueError(f"a {design.kind} design crosses two axes of arms or more: write design: full")
    if len(varied) > MAX_FACTORS:
        raise ValueError(f"{len(varied)} axes of arms, allowed {MAX_FACTORS} in a {design.kind} design")
    large = [axes[place] for place in varied if len(axes[place]) > 2]
    if large:
        labels = ", ".join(entry.label for entry in large[0][:4])
        raise ValueError(
            f"a {design.kind} design needs two levels on every axis of arms, and one has {len(large[0])} ({labels}"
            f"{', ...' if len(large[0]) > 4 else ''}): keep two of them, or write design: full"
        )


def count_arms(axes: Sequence[Sequence[Entry]], design: Design) -> int:
    """Return how many arms a study has, without listing them; an axis that could not be read counts as one entry.

    Raises:
        ValueError: as `choose_arms`.
    """
    if design.is_full:
        return math.prod(len(axis) or 1 for axis in axes)
    return len(choose_arms([axis or [] for axis in axes], design))


def describe_design(axes: Sequence[Mapping[str, Any]], design: Design, names: Sequence[str]) -> tuple[str, ...]:
    """Say how many of all arms a fraction has, and what its effects are mixed with; nothing of a full design.

    Args:
        axes: the study's `arms`, plain and free of faults.
        design: the study's.
        names: of the axes with two entries.
    """
    entries, _ = read_axes("arms", axes)
    if design.is_full:
        return ()
    fraction = design.make(len(names))
    whole = math.prod(len(axis) for axis in entries)
    first = f"{fraction.num_runs} of {whole:,} combinations of arms are run: {fraction.title}."
    return tuple(filter(None, (first, describe_aliases(fraction, names))))


def describe_aliases(fraction: Fraction, names: Sequence[str]) -> str:
    """Say what the main effects of a fraction are aliased with; empty where nothing is."""
    if fraction.is_full:
        return ""
    if not fraction.columns:
        return "Every choice is aliased in part with interactions of two others."
    aliased = [
        f"{name} is aliased with {_list_groups(groups, names)}"
        for name, groups in zip(names, fraction.find_aliases(), strict=True)
        if groups
    ]
    if aliased:
        return f"{'; '.join(aliased)}."
    free = "No choice is aliased with an interaction of two others"
    if fraction.resolution == 4:
        return f"{free}, but interactions of two are aliased with each other."
    return f"{free}, nor are interactions of two with each other."


def _list_groups(groups: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    listed = [" x ".join(names[place] for place in group) for group in groups[:_MOST_ALIASES]]
    more = [f"{len(groups) - _MOST_ALIASES} more"] if len(groups) > _MOST_ALIASES else []
    return " and ".join(filter(None, [", ".join([*listed, *more][:-1]), [*listed, *more][-1]]))
