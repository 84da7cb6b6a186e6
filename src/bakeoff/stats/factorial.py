"""Crossed axes as a factorial design: which arm has which levels, and what is left of it where arms are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

DesignKind = Literal["full", "fractional", "screening"]
"""All combinations of levels; a regular fraction of them; the smallest one that keeps main effects apart."""

MIN_RESOLUTION_OF_CHOICES = 4
"""Resolution from which main effects are mixed with no two-factor interaction."""

MIN_RESOLUTION_OF_INTERACTIONS = 5
"""Resolution from which two-factor interactions are mixed neither with main effects nor with each other."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One axis of the study's arms: its name and the labels of its levels, two or more."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FactorialDesign:
    """Which arm has which levels.

    Attributes:
        factors: two or more.
        cells: arm -> the place of its level of every factor.
        kind: how the cells were chosen.
        resolution: of a regular fraction; None where all cells are there, and for a Plackett-Burman design.
        aliases: a sentence each: what the effects of a fraction are mixed with.
        others: of a two-level fraction: orthogonal columns that belong to no factor, arm -> 0 or 1 each.
        title: of a fraction: its design in words, such as "Plackett-Burman design, 12 runs".
    """

    factors: tuple[Factor, ...]
    cells: Mapping[str, tuple[int, ...]]
    kind: DesignKind = "full"
    resolution: int | None = None
    aliases: tuple[str, ...] = ()
    others: tuple[Mapping[str, int], ...] = ()
    title: str = ""

    @property
    def num_cells(self) -> int:
        """Combinations of levels, run or not."""
        return int(np.prod([len(factor.levels) for factor in self.factors]))

    @property
    def has_interactions(self) -> bool:
        """Whether two-factor interactions can be estimated, free of main effects and of each other."""
        return self.kind == "full" or (self.resolution or 0) >= MIN_RESOLUTION_OF_INTERACTIONS

    @property
    def has_clear_choices(self) -> bool:
        """Whether no main effect is mixed with a two-factor interaction."""
        return self.kind == "full" or (self.resolution or 0) >= MIN_RESOLUTION_OF_CHOICES

    def list_others(self, *positions: int) -> list[str]:
        """Return the names of all factors but those at some positions."""
        return [factor.name for place, factor in enumerate(self.factors) if place not in positions]


def complete_design(
    design: FactorialDesign, missing: Sequence[str]
) -> tuple[FactorialDesign | None, tuple[tuple[str, str], ...]]:
    """Return the part of a design that has all its cells, and the (factor, level) left out of it.

    Of a full design, the levels that hold missing arms are left out one by one, always the one that keeps the most
    cells, while two factors keep two levels. A fraction is not balanced without one of its runs.

    Returns:
        None in place of the design where no two factors remain.
    """
    if not missing:
        return design, ()
    if design.kind != "full":
        return None, ()
    kept = [list(range(len(factor.levels))) for factor in design.factors]
    holes = {design.cells[arm] for arm in missing}
    dropped = []
    while holes:
        place, level = _choose_level(kept, holes)
        kept[place].remove(level)
        dropped.append((design.factors[place].name, design.factors[place].levels[level]))
        holes = {cell for cell in holes if cell[place] != level}
    if min(map(len, kept)) == 0 or sum(len(levels) > 1 for levels in kept) < 2:
        return None, ()
    return _restrict(design, kept), tuple(dropped)


def _choose_level(kept: Sequence[Sequence[int]], holes: set[tuple[int, ...]]) -> tuple[int, int]:
    """Return the level to leave out: the one with the most holes for the part of all cells that it holds."""
    choices = sorted({(place, cell[place]) for cell in holes for place in range(len(kept))})

    def worth(choice: tuple[int, int]) -> float:
        place, level = choice
        return sum(cell[place] == level for cell in holes) * len(kept[place])

    return max(choices, key=worth)


def _restrict(design: FactorialDesign, kept: Sequence[Sequence[int]]) -> FactorialDesign:
    """Return a full design with some levels of each factor; a factor with one level left is none any more."""
    places = [place for place, levels in enumerate(kept) if len(levels) > 1]
    cells = {
        arm: tuple(kept[place].index(cell[place]) for place in places)
        for arm, cell in design.cells.items()
        if all(level in levels for level, levels in zip(cell, kept, strict=True))
    }
    factors = [
        replace(design.factors[place], levels=tuple(design.factors[place].levels[level] for level in kept[place]))
        for place in places
    ]
    return replace(design, factors=tuple(factors), cells=cells)
