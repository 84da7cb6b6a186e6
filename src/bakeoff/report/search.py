"""What a search tried and found: values by generation, the winner and its lineage, and failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.importance import SearchImportance, measure_importance
from bakeoff.report.text import count, times
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.study.axes import make_label
from bakeoff.study.plan import Plan
from bakeoff.study.search import AnySearch
from bakeoff.study.search_settings import COSTS

KINDS = ("candidate", "random")
_MAX_REASONS = 5
_MAX_CHARACTERS = 400


@dataclass(frozen=True, kw_only=True)
class GroupReport:
    """Candidates that were proposed together.

    Attributes:
        number: from 0; the generation, if the search has generations.
        num_new: number of candidates proposed in it.
        best: its best value, including candidates kept from the previous generation; None if there is none.
        mean: over the same candidates. Both leave out pruned ones.
        best_so_far: the best value up to this group.
        middle: the quartiles; None if there are no values.
    """

    number: int
    num_new: int
    best: float | None
    mean: float | None
    best_so_far: float | None
    middle: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class KindReport:
    """A search, or its random baseline, in one block.

    Attributes:
        kind: candidate or random, as in the candidates' labels.
        num_candidates: number of candidates proposed.
        num_repeated: those with the same recipe as an earlier one, which are not trained again.
        num_pruned: those stopped before their last epoch.
        num_failed: those that failed or diverged.
        num_unfit: those without a valid recipe for these images.
        winner: the best candidate, if there is one.
        lineage: the winner's ancestors, then the winner.
        reasons: why candidates failed or did not fit: reason -> count.
    """

    kind: str
    num_candidates: int
    num_repeated: int
    num_pruned: int
    num_failed: int
    num_unfit: int
    groups: tuple[GroupReport, ...]
    winner: CandidateRow | None
    lineage: tuple[CandidateRow, ...]
    reasons: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """The search of one block.

    Attributes:
        objectives: what candidates were judged by on the validation split, most important first.
        has_generations: whether groups are generations.
        kinds: the search, then its baseline, if any.
        candidates: those of both.
        importance: which fields set good candidates apart; None if there are too few candidates.
    """

    block: str
    name: str
    objectives: tuple[str, ...]
    has_generations: bool
    kinds: tuple[KindReport, ...]
    candidates: tuple[CandidateRow, ...]
    importance: SearchImportance | None = None

    @property
    def group_noun(self) -> str:
        """The name of a group: "generation" or "group"."""
        return "generation" if self.has_generations else "group"


def describe_searches(plan: Plan, candidates: Sequence[CandidateRow]) -> tuple[SearchReport, ...]:
    """Describe the searches of a study, one per block that has candidates."""
    found = []
    for block in plan.blocks:
        own = tuple(row for row in candidates if row.block == block.label)
        if block.search is None or not own:
            continue
        objectives = block.search.list_objectives(plan.study.decide.metric)
        by_kind = {kind: [row for row in own if row.kind == kind] for kind in KINDS}
        found.append(
            SearchReport(
                block=block.label,
                name=block.search.name,
                objectives=objectives,
                has_generations=block.search.has_generations,
                kinds=tuple(
                    _describe_kind(kind, rows, objectives[0], block.search) for kind, rows in by_kind.items() if rows
                ),
                candidates=own,
                importance=measure_importance(
                    own, objectives[0], is_rising=is_rising(objectives[0]), space=block.search.find_space()
                ),
            )
        )
    return tuple(found)


def _describe_kind(kind: str, rows: Sequence[CandidateRow], objective: str, search: AnySearch) -> KindReport:
    states = Counter(row.state for row in rows)
    winner = next((row for row in rows if row.is_winner), None)
    num_kept = search.num_elite if kind == "candidate" else 0
    return KindReport(
        kind=kind,
        num_candidates=len(rows),
        num_repeated=sum(bool(row.same_as) for row in rows),
        num_pruned=states["pruned"],
        num_failed=states["failed"],
        num_unfit=states["unfit"],
        groups=tuple(_trace(rows, objective, num_kept)),
        winner=winner,
        lineage=_find_lineage(rows, winner),
        reasons=dict(Counter(row.reason for row in rows if row.state in ("failed", "unfit")).most_common()),
    )


def _trace(rows: Sequence[CandidateRow], objective: str, num_kept: int) -> Iterator[GroupReport]:
    """Yield the groups; the best `num_kept` of a generation are also in the next."""
    highest_first = is_rising(objective)
    kept: list[float] = []
    best_so_far: float | None = None
    for number in sorted({row.group for row in rows}):
        own = [row for row in rows if row.group == number]
        values = [row.scores[objective] for row in own if row.state == "done" and objective in row.scores] + kept
        values.sort(reverse=highest_first)
        known = [value for value in (*values[:1], best_so_far) if value is not None]
        best_so_far = (max if highest_first else min)(known) if known else None
        yield GroupReport(
            number=number,
            num_new=len(own),
            best=values[0] if values else None,
            mean=math.fsum(values) / len(values) if values else None,
            best_so_far=best_so_far,
            middle=(float(np.quantile(values, 0.25)), float(np.quantile(values, 0.75))) if values else None,
        )
        kept = values[:num_kept]


def _find_lineage(rows: Sequence[CandidateRow], winner: CandidateRow | None) -> tuple[CandidateRow, ...]:
    by_number = {row.number: row for row in rows}
    found: set[int] = set()
    waiting = [] if winner is None else [winner.number]
    while waiting:
        number = waiting.pop()
        if number not in found and number in by_number:
            found.add(number)
            waiting += by_number[number].parents
    return tuple(by_number[number] for number in sorted(found))


def is_rising(objective: str) -> bool:
    """Return whether a higher objective is better."""
    return objective not in COSTS and find_metric(objective).higher_is_better


def format_value(objective: str, value: float | None) -> str:
    """Format an objective's value: shares in percent, others as they are; None is a dash."""
    if value is None:
        return "-"
    if objective in COSTS:
        return f"{value:,.0f}" if objective == "parameters" else f"{value:.1f} s"
    return Measure(find_metric(objective), "validation").value(value)


def format_candidate(row: CandidateRow, most_characters: int | None = None) -> str:
    """Format what a candidate changes in the default recipe: `optimizer.learning_rate=0.01, epochs=12`."""
    text = ", ".join(f"{path}={make_label(_name_parts(value))}" for path, value in row.changes.items()) or "nothing"
    if most_characters is None or len(text) <= most_characters:
        return text
    return f"{text[: most_characters - 3]}..."


def _name_parts(value: Any) -> Any:
    """Return a value with layers named by their type, and a network of layers as their list."""
    if isinstance(value, Mapping) and value.keys() == {"layers"}:
        return _name_parts(value["layers"])
    if isinstance(value, Mapping):
        return {"name" if key == "type" else key: _name_parts(part) for key, part in value.items()}
    return [_name_parts(part) for part in value] if isinstance(value, list) else value


def describe_search(report: SearchReport) -> list[str]:
    """Return the outcome of a search in sentences: counts, winner and failures, for the search and its baseline."""
    lines = []
    for kind in report.kinds:
        lines.append(_count_candidates(report, kind))
        most = list(kind.reasons.items())[:_MAX_REASONS]
        lines += [f"Not trained: {reason} ({times(number)})." for reason, number in most]
    if any(kind.winner is not None for kind in report.kinds):
        lines.append(
            "These scores chose the winners, so they are too high; the verdict compares winners on new replicates."
        )
    return lines


def _count_candidates(report: SearchReport, kind: KindReport) -> str:
    who = f"Search ({report.name})" if kind.kind == "candidate" else "Random baseline"
    parts = [count(kind.num_candidates, "candidate")]
    parts += [
        f"{number} {what}"
        for number, what in (
            (kind.num_repeated, "repeated, not trained again"),
            (kind.num_pruned, "pruned"),
            (kind.num_failed, "failed"),
            (kind.num_unfit, "not valid for these images"),
        )
        if number
    ]
    counted = f"{who}: {', '.join(parts)} in {count(len(kind.groups), report.group_noun)}."
    if kind.winner is None:
        return f"{counted} There is no winner."
    scores = ", ".join(f"{name} {format_value(name, value)}" for name, value in kind.winner.scores.items())
    label = f"{kind.kind} {kind.winner.number}"
    return f"{counted} Best: {label}, validation {scores}: {format_candidate(kind.winner, _MAX_CHARACTERS)}."
