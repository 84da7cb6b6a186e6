"""Which fields of a recipe determined the scores of a search's candidates, compared with chance."""

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
"""With fewer candidates, the best quarter is fewer than five: too few to estimate a density."""

MOST_CANDIDATES = 500
"""Of more candidates, an evenly spaced selection is measured."""

_MOST_FIELDS = 30


@dataclass(frozen=True, kw_only=True)
class FieldImportance:
    """How much one field mattered.

    Attributes:
        field: its dotted path; for a genome, a count or average over its layers.
        share: its fraction of all fields' importance.
        chance: the largest fraction in NUM_SHUFFLES repetitions with shuffled scores; may exceed 1.
        values: its value in every point: a number, or the name of a choice; None if not set.
        is_log: whether it is searched on a logarithmic scale.
    """

    field: str
    share: float
    chance: float
    values: tuple[Value | None, ...]
    is_log: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether it mattered more than chance explains, at about 95% confidence for this field alone."""
        return self.share > self.chance


@dataclass(frozen=True, kw_only=True)
class SearchImportance:
    """The importance of a search's fields.

    Attributes:
        kind: which candidates were measured: random, if the random baseline has enough, else candidate.
        num_candidates: number of candidates measured.
        num_good: number of the best of them, which are compared with all.
        numbers: (kind, number) of every point; points are candidates of both kinds.
        scores: the points' values; None for pruned ones.
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

    It estimates each field's density among the best quarter of the candidates and among all, and measures how far the
    two differ. Pruned candidates count as worse than all others.

    If the random baseline has enough candidates, only these are measured, because they are independent and evenly
    distributed. A search's candidates concentrate where it found good ones and resemble their parents; their importance
    is about these candidates, not about the space, and chance reaches higher than shuffling shows.

    Args:
        rows: candidates of one block.
        objective: the measured objective.
        is_rising: whether higher is better.
        space: the searched dimensions; None for genomes, whose layers are counted and averaged.

    Returns:
        None if there are fewer than LEAST_CANDIDATES candidates, less than a quarter were trained to the end, fewer
        than 2 fields vary, or all values are equal.
    """
    by_kind = {kind: _choose(rows, kind, objective) for kind in ("random", "candidate")}
    kind = "random" if _are_enough(by_kind["random"], objective) else "candidate"
    measured = by_kind[kind]
    points = {id(row): _read_fields(row, space) for own in by_kind.values() for row in own}
    own_points = [points[id(row)] for row in measured]
    names = [
        name
        for name in dict.fromkeys(name for point in own_points for name in point)
        if len({point.get(name) for point in own_points}) > 1
    ]
    if not _are_enough(measured, objective) or not 2 <= len(names) <= _MOST_FIELDS:
        return None
    num_good = _count_good(measured)
    own, chance = measure_divergence(
        own_points,
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
    """Return the fields, most important first, as fractions of the total."""
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
    """Say which fields matter more than chance explains, and how that was computed."""
    shown = [f"{field.field} ({field.share:.0%})" for field in found.fields if field.is_shown]
    fields = ", ".join(shown) or "no field"
    whose, caveat = "candidates of the random baseline, which are evenly distributed,", ""
    if found.kind != "random":
        whose = "candidates"
        caveat = " A search concentrates on good candidates, so this is about those it tried, not all possible ones."
    return (
        f"Mattered more than chance would explain: {fields}. Importance is PED-ANOVA's: how far the values of the best "
        f"{found.num_good} of {found.num_candidates} {whose} differ from those of all of them, as a fraction of the "
        f"total over fields. The mark for chance is the maximum of {NUM_SHUFFLES} repetitions with shuffled scores."
        f"{caveat}"
    )


def _choose(rows: Sequence[CandidateRow], kind: str, objective: str) -> list[CandidateRow]:
    """Return the scored candidates of a kind, each recipe once, at most MOST_CANDIDATES."""
    known = [row for row in rows if row.kind == kind and _is_scored(row, objective)]
    return known[:: -(-len(known) // MOST_CANDIDATES) or 1]


def _are_enough(rows: Sequence[CandidateRow], objective: str) -> bool:
    finished = [row.scores[objective] for row in rows if row.state == "done"]
    # The best quarter must have been trained to the end; how good the others would have been is not known.
    return len(rows) >= LEAST_CANDIDATES and len(finished) >= _count_good(rows) and min(finished) < max(finished)


def _count_good(rows: Sequence[CandidateRow]) -> int:
    return math.ceil(len(rows) / 4)


def _is_scored(row: CandidateRow, objective: str) -> bool:
    value = row.scores.get(objective)
    return row.state in ("done", "pruned") and not row.same_as and value is not None and math.isfinite(value)


def _read_fields(row: CandidateRow, space: Mapping[str, AnyDimension] | None) -> Fields:
    network = row.changes.get("network")
    if space is None and isinstance(network, Mapping) and "layers" in network:
        return _count_genes(row.changes)
    return {
        path: float(value) if _is_number(path, value, space) else make_label(value)
        for path, value in row.changes.items()
    }


def _is_number(path: str, value: object, space: Mapping[str, AnyDimension] | None) -> bool:
    if space is None:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(space.get(path), IntRange | FloatRange)


def _count_genes(changes: Mapping[str, Any]) -> Fields:
    """Return features that genomes can be compared by, whatever their number of layers."""
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


def _rank_losses(rows: Sequence[CandidateRow], objective: str, is_rising: bool) -> list[float]:
    """Return losses, lower is better; pruned candidates come last."""
    sign = -1.0 if is_rising else 1.0
    finished = [sign * row.scores[objective] for row in rows if row.state == "done"]
    worst = max(finished) + 1.0
    return [sign * row.scores[objective] if row.state == "done" else worst for row in rows]
