"""Which fields of a recipe decided how well a search's candidates did, and how much of that chance alone would show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.divergence import NUM_SHUFFLES, Fields, Value, is_log, measure_divergence
from bakeoff.study.axes import make_label
from bakeoff.study.dimensions import AnyDimension, FloatRange, IntRange

LEAST_CANDIDATES = 20
"""Fewer than these have no best quarter to speak of: five good candidates are the least that a density is drawn of."""

MOST_CANDIDATES = 500
"""Of more, evenly chosen ones are looked at."""

_MOST_FIELDS = 30


@dataclass(frozen=True, kw_only=True)
class FieldImportance:
    """How much one field mattered.

    Attributes:
        field: its dotted path; for a genome, what is counted or averaged over its layers.
        share: of all fields' importance, 0..1.
        chance: the largest share in NUM_SHUFFLES shuffles of the scores, in the same unit; may exceed 1.
        values: its value in every point, in their order: a number, or the name of a choice; None where not chosen.
        is_log: whether it is searched on a logarithmic scale.
    """

    field: str
    share: float
    chance: float
    values: tuple[Value | None, ...]
    is_log: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether it mattered more than chance alone would show, at about 95% confidence for this field alone."""
        return self.share > self.chance


@dataclass(frozen=True, kw_only=True)
class SearchImportance:
    """What a search's candidates say of their fields.

    Attributes:
        kind: whose candidates were measured: random, where the random baseline has enough, else candidate.
        num_candidates: those that were measured; `num_good`: the best of them, which all are held against.
        numbers: of the points, which are candidates of both kinds: (kind, number). `scores`: their values; None for
            those given up early.
        fields: most important first.
    """

    kind: str
    num_candidates: int
    num_good: int
    numbers: tuple[tuple[str, int], ...]
    scores: tuple[float | None, ...]
    fields: tuple[FieldImportance, ...]


def measure_importance(
    rows: Sequence[CandidateRow], objective: str, *, is_rising: bool, space: Mapping[str, AnyDimension] | None = None
) -> SearchImportance | None:
    """Measure which fields set the best candidates apart: PED-ANOVA (Watanabe, Bansal and Hutter 2023).

    It draws each field's density among the best quarter of the candidates and among all of them, and
    measures how far the two are apart. Candidates given up early count as worse than all that were trained to the end.

    Where the random baseline has enough candidates it alone is measured: they are drawn evenly and know nothing of each
    other. Those of a search crowd where it found good ones, and children resemble their parents; measured on them,
    importance is of these candidates, not of the space, and chance reaches higher than shuffling shows.

    Args:
        rows: candidates of one block.
        objective: whose values count.
        is_rising: whether more of it is better.
        space: of a search over fields; None for genomes, whose layers are counted and averaged.

    Returns:
        None under LEAST_CANDIDATES candidates, where less than a quarter of them were trained to the end, under 2
        fields that vary, or where all values are equal.
    """
    by_kind = {kind: _choose(rows, kind, objective) for kind in ("random", "candidate")}
    kind = "random" if _are_enough(by_kind["random"], objective) else "candidate"
    measured = by_kind[kind]
    points = {id(row): _read_fields(row, space) for own in by_kind.values() for row in own}
    names = _list_varying([points[id(row)] for row in measured])
    if not _are_enough(measured, objective) or not 2 <= len(names) <= _MOST_FIELDS:
        return None
    num_good = _count_good(measured)
    own, chance = measure_divergence(
        [points[id(row)] for row in measured],
        names,
        _rank_losses(measured, objective, is_rising),
        num_good / len(measured),
        space or {},
    )
    if math.fsum(own.values()) <= 0:
        return None
    known = [*by_kind["candidate"], *by_kind["random"]]
    return SearchImportance(
        kind=kind,
        num_candidates=len(measured),
        num_good=num_good,
        numbers=tuple((row.kind, row.number) for row in known),
        scores=tuple(row.scores[objective] if row.state == "done" else None for row in known),
        fields=_order_fields(own, chance, [points[id(row)] for row in known], space or {}),
    )


def _order_fields(
    own: Mapping[str, float], chance: Mapping[str, float], points: Sequence[Fields], space: Mapping[str, AnyDimension]
) -> tuple[FieldImportance, ...]:
    """Return the fields, most important first, as shares of all."""
    total = math.fsum(own.values())
    return tuple(
        FieldImportance(
            field=name,
            share=own[name] / total,
            chance=chance[name] / total,
            values=tuple(point.get(name) for point in points),
            is_log=is_log(name, space),
        )
        for name in sorted(own, key=lambda name: (-own[name], name))
    )


def describe_importance(found: SearchImportance) -> str:
    """Say how the importance was computed and what of it is more than chance."""
    shown = [f"{field.field} ({field.share:.0%})" for field in found.fields if field.is_shown]
    first = (
        f"Above what chance alone shows: {', '.join(shown)}."
        if shown
        else "No field stands out from what chance alone shows."
    )
    whose = "candidates of the random baseline, which are drawn evenly," if found.kind == "random" else "candidates"
    caveat = (
        ""
        if found.kind == "random"
        else " A search crowds where it found good candidates: this is of those it tried, not of all it might have."
    )
    return (
        f"{first} Importance is PED-ANOVA's: how far the values of the best {found.num_good} of {found.num_candidates} "
        f"{whose} lie from those of all of them, as a share of all fields. The mark for chance is the largest of "
        f"{NUM_SHUFFLES} tries with the scores shuffled.{caveat}"
    )


def _choose(rows: Sequence[CandidateRow], kind: str, objective: str) -> list[CandidateRow]:
    """Return the candidates of a kind that have a value, each recipe once, at most MOST_CANDIDATES."""
    known = [row for row in rows if row.kind == kind and _is_scored(row, objective)]
    return known[:: -(-len(known) // MOST_CANDIDATES) or 1]


def _are_enough(rows: Sequence[CandidateRow], objective: str) -> bool:
    finished = [row.scores[objective] for row in rows if row.state == "done"]
    # The best quarter is of those that were trained to the end: of the others it is not known how good they are.
    return len(rows) >= LEAST_CANDIDATES and len(finished) >= _count_good(rows) and min(finished) < max(finished)


def _count_good(rows: Sequence[CandidateRow]) -> int:
    return math.ceil(len(rows) / 4)


def _is_scored(row: CandidateRow, objective: str) -> bool:
    value = row.scores.get(objective)
    return row.state in ("done", "pruned") and not row.same_as and value is not None and math.isfinite(value)


def _read_fields(row: CandidateRow, space: Mapping[str, AnyDimension] | None) -> Fields:
    if space is None:
        return _count_genes(row.changes)
    return {
        path: float(value) if isinstance(space.get(path), IntRange | FloatRange) else make_label(value)
        for path, value in row.changes.items()
    }


def _count_genes(changes: Mapping[str, Any]) -> Fields:
    """Return what tells genomes apart, whatever their number of layers."""
    layers = changes["network"]["layers"]
    of = {kind: [layer for layer in layers if layer["type"] == kind] for kind in ("conv", "dense", "dropout")}
    fields: Fields = {"convolutions": float(len(of["conv"])), "hidden dense layers": float(len(of["dense"]))}
    for kind, name, default in (
        ("conv", "filters", 0.0),
        ("conv", "kernel", 0.0),
        ("conv", "stride", 1.0),
        ("dense", "units", 0.0),
    ):
        if of[kind]:
            noun = "convolution" if kind == "conv" else "dense layer"
            fields[f"{name} a {noun}, mean"] = fmean(float(layer.get(name, default)) for layer in of[kind])
    fields["dropout a layer, mean"] = sum(float(layer["rate"]) for layer in of["dropout"]) / max(
        1, len(of["conv"]) + len(of["dense"])
    )
    optimizer = changes["optimizer"]
    fields["optimizer"] = optimizer if isinstance(optimizer, str) else make_label(optimizer)
    fields["epochs"] = float(changes["epochs"])
    return fields


def _list_varying(points: Sequence[Fields]) -> list[str]:
    names = dict.fromkeys(name for point in points for name in point)
    return [name for name in names if len({point.get(name) for point in points}) > 1]


def _rank_losses(rows: Sequence[CandidateRow], objective: str, is_rising: bool) -> list[float]:
    """Return values that are lower where a candidate is better; those given up early come last."""
    sign = -1.0 if is_rising else 1.0
    finished = [sign * row.scores[objective] for row in rows if row.state == "done"]
    worst = max(finished) + 1.0
    return [sign * row.scores[objective] if row.state == "done" else worst for row in rows]
