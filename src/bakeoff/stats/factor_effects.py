"""What a block says of crossed axes: records of main effects, interactions and ranges, and their dump for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.stats.factorial import FactorialDesign
from bakeoff.stats.results import Verdict
from bakeoff.stats.screening import LenthScreen


@dataclass(frozen=True, kw_only=True)
class MainEffect:
    """One level of a factor against another, each averaged over the levels of all other factors.

    Attributes:
        factor: its name.
        verdict: of level `a` relative to level `b`.
        cells: mean difference in every combination of the other factors that has both levels.
        is_even: all of `cells` have one sign, and no interaction of this pair of levels is shown; never in a fraction.
        others: the names of the factors averaged over.
    """

    factor: str
    verdict: Verdict
    cells: tuple[float, ...]
    is_even: bool
    others: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How the difference of two levels of one factor changes with two levels of another.

    Attributes:
        factors: the two names.
        levels: of each, the two levels (a, b): the difference of differences is (aa - ba) - (ab - bb).
        verdict: its `difference` is the difference of differences; "better" and "worse" say that it is above or below
            zero, "equivalent" that it is smaller than the margin.
    """

    factors: tuple[str, str]
    levels: tuple[tuple[str, str], tuple[str, str]]
    verdict: Verdict

    @property
    def is_shown(self) -> bool:
        """Whether it is shown not to be zero, and not to be too small to matter."""
        return self.verdict.verdict in ("better", "worse")


@dataclass(frozen=True, kw_only=True)
class FactorRange:
    """How much a factor matters: the largest difference of two of its level means.

    Attributes:
        factor: its name.
        means: level -> mean score over its cells and all complete replicates.
        range: largest less smallest mean, 0 or more.
        interval: of the true range, 0 or more; over all pairs of levels together (Bonferroni). None where undefined.
        is_shown: any two of its levels are shown to differ.
    """

    factor: str
    means: Mapping[str, float]
    range: float
    interval: tuple[float, float] | None
    is_shown: bool


@dataclass(frozen=True, kw_only=True)
class FactorEffects:
    """What a block says of the factors.

    Attributes:
        design: of the cells that were used.
        replicates: that every cell has; of the folds of these where there are folds.
        missing: arms without a score, which leave cells empty.
        dropped: (factor, level) left out because of these.
        ranges: factor by factor, largest range first.
        effects: every pair of levels of every factor; empty where nothing can be claimed.
        interactions: every pair of levels of every two factors; empty in a fraction of resolution under 5.
        screen: with fewer than 3 replicates of a fraction, which effects stand out; else None.
    """

    block: str
    design: FactorialDesign
    replicates: int
    missing: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    ranges: tuple[FactorRange, ...]
    effects: tuple[MainEffect, ...]
    interactions: tuple[Interaction, ...]
    screen: LenthScreen | None = None

    def effects_of(self, factor: str) -> tuple[MainEffect, ...]:
        """Return the differences of a factor's levels."""
        return tuple(effect for effect in self.effects if effect.factor == factor)

    @property
    def largest_interactions(self) -> tuple[Interaction, ...]:
        """The interaction with the largest difference of differences of every pair of factors, largest first."""
        best: dict[tuple[str, str], Interaction] = {}
        for each in self.interactions:
            other = best.get(each.factors)
            if other is None or _size(each) > _size(other):
                best[each.factors] = each
        return tuple(sorted(best.values(), key=_size, reverse=True))


def _size(interaction: Interaction) -> float:
    return abs(interaction.verdict.difference or 0.0)


def dump_effects(found: FactorEffects) -> dict[str, Any]:
    """Return a block's effects as plain values, for JSON."""
    screen = found.screen
    return {
        "block": found.block,
        "design": {
            "kind": found.design.kind,
            "title": found.design.title,
            "resolution": found.design.resolution,
            "aliases": list(found.design.aliases),
            "arms": len(found.design.cells),
            "combinations": found.design.num_cells,
        },
        "replicates": found.replicates,
        "missing": list(found.missing),
        "dropped": [list(each) for each in found.dropped],
        "choices": [
            {**vars(each), "means": dict(each.means), "interval": None if each.interval is None else [*each.interval]}
            for each in found.ranges
        ],
        "effects": [
            {
                "factor": each.factor,
                **each.verdict.dump(),
                "cells": list(each.cells),
                "is_even": each.is_even,
            }
            for each in found.effects
        ],
        "interactions": [
            {
                "factors": list(each.factors),
                "levels": [list(pair) for pair in each.levels],
                **each.verdict.dump(),
            }
            for each in found.interactions
        ],
        "screen": None
        if screen is None
        else {**vars(screen), "effects": dict(screen.effects), "standing_out": list(screen.standing_out)},
    }
