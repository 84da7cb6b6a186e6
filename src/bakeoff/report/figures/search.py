"""The history of a search: every candidate, the best so far and the mean, by generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    draw_points,
    metric_format,
    name_objective,
    objective_axis,
    objective_format,
    round_all,
    scatter,
    spread,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.published import choose_curves, name_curve
from bakeoff.report.search import KindReport, SearchReport, format_candidate, format_value, is_rising
from bakeoff.report.text import count, show_text
from bakeoff.stats.metrics import find_metric
from bakeoff.study.search_settings import COSTS

MAX_POINTS = 2_000
_NAMES = {"candidate": "search", "random": "random baseline"}
_COLORS = {"candidate": PALETTE[0], "random": PALETTE[1]}
_TICK_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
_MOST_TICKS = 20
_SYMBOLS = {"candidate": "circle", "random": "x"}


def draw_search(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's search and its random baseline; None if no candidate has a value.

    A point is a candidate; a pruned one has its last value, and does not count for the best. Of more than MAX_POINTS,
    an evenly spaced selection is drawn. A search without generations has candidates on its x axis, and no means.
    """
    search = report.search_of(block)
    kinds = [] if search is None else [kind for kind in search.kinds if _list_valued(search, kind)]
    if search is None or not kinds:
        return None
    name = name_objective(search.objectives[0])
    return FigureSpec(
        title=f"Search history: {name} by {_step_of(search)}",
        alt=_describe(report, search, kinds, name),
        data=[*(trace for kind in kinds for trace in _draw_kind(search, kind)), *_draw_published(report, search)],
        layout=make_layout(480, xaxis=_number_axis(search, kinds), yaxis=objective_axis(search.objectives[0], name)),
    )


def _number_axis(search: SearchReport, kinds: list[KindReport]) -> dict[str, Any]:
    """Return an axis of generations or candidates, with ticks only at whole numbers."""
    last = max(place for kind in kinds for place in _trace_best(search, kind)[0])
    step = next(size for size in _TICK_STEPS if last / size <= _MOST_TICKS or size == _TICK_STEPS[-1])
    return {"title": {"text": _step_of(search)}, "tickformat": "d", "tick0": 0, "dtick": step}


def _draw_published(report: ReportInput, search: SearchReport) -> list[dict[str, Any]]:
    """Return the published curves of the search's objective, by generation."""
    objective = search.objectives[0]
    if not search.has_generations or objective in COSTS:
        return []
    value = metric_format(find_metric(objective))
    return [
        scatter(
            "lines+markers",
            [generation for generation, _ in curve.points],
            round_all([value for _, value in curve.points]),
            name=f"published {curve.of}, {curve.split}",
            hover=f"published {label_text(name_curve(curve), 120)}: %{{y:{value}}}",
            line={"color": NEUTRAL, "width": 2, "dash": "dash" if curve.of == "best" else "dot"},
            marker={"symbol": "diamond", "size": 8},
        )
        for curve in choose_curves(report.published_curves, search.block, objective)
    ]


def _draw_middle(kind: KindReport) -> list[dict[str, Any]]:
    """Return the band between the quartiles of every generation."""
    known = [(group.number, group.middle) for group in kind.groups if group.middle is not None]
    if not known:
        return []
    xs = [number for number, _ in known]
    lows, highs = ([middle[end] for _, middle in known] for end in (0, 1))
    return [
        scatter(
            "lines",
            [*xs, *reversed(xs)],
            round_all([*highs, *reversed(lows)]),
            name=f"{_NAMES[kind.kind]}: middle half",
            fill="toself",
            opacity=0.25,
            line={"color": _COLORS[kind.kind], "width": 0},
        )
    ]


def _step_of(search: SearchReport) -> str:
    return "generation" if search.has_generations else "candidate"


def _list_valued(search: SearchReport, kind: KindReport) -> list[CandidateRow]:
    """Return the candidates of a kind that were trained to the end, in the order of their proposal."""
    return [
        row
        for row in search.candidates
        if row.kind == kind.kind and row.state == "done" and search.objectives[0] in row.scores
    ]


def _trace_best(search: SearchReport, kind: KindReport) -> tuple[list[int], list[float | None]]:
    """Return the generations or candidates where the best so far is known, and its values there."""
    if search.has_generations:
        return [group.number for group in kind.groups], [group.best_so_far for group in kind.groups]
    better = max if is_rising(search.objectives[0]) else min
    rows = _list_valued(search, kind)
    best: list[float | None] = []
    for row in rows:
        value = row.scores[search.objectives[0]]
        best.append(value if not best or best[-1] is None else better(value, best[-1]))
    return [row.number for row in rows], best


def _draw_kind(search: SearchReport, kind: KindReport) -> list[dict[str, Any]]:
    name, color, objective = _NAMES[kind.kind], _COLORS[kind.kind], search.objectives[0]
    value = f"%{{y:{objective_format(objective)}}}"
    places, best = _trace_best(search, kind)
    traces = [
        *(_draw_middle(kind) if search.has_generations else []),
        *_draw_candidates(search, kind, f"%{{text}}<br>{value}"),
        scatter(
            "lines",
            places,
            round_all(best),
            name=f"{name}: best so far",
            hover=f"{name}: best up to {_step_of(search)} %{{x}}: {value}",
            line={"color": color, "width": 3, "shape": "hv"},
        ),
    ]
    if search.has_generations:
        traces.append(
            scatter(
                "lines",
                places,
                round_all([group.mean for group in kind.groups]),
                name=f"{name}: mean",
                hover=f"{name}: mean of generation %{{x}}: {value}",
                line={"color": color, "width": 1.5, "dash": "dot"},
            )
        )
    return traces


def _draw_candidates(search: SearchReport, kind: KindReport, hover: str) -> list[dict[str, Any]]:
    """Return the points of the finished candidates, the pruned ones, and the winner."""
    objective = search.objectives[0]
    rows = [row for row in search.candidates if row.kind == kind.kind and objective in row.scores]
    rows = rows[:: -(-len(rows) // MAX_POINTS)]
    xs = _place(rows) if search.has_generations else [row.number for row in rows]
    name, symbol = _NAMES[kind.kind], _SYMBOLS[kind.kind]
    done = [n for n, row in enumerate(rows) if row.state == "done" and not row.is_winner]
    pruned = [n for n, row in enumerate(rows) if row.state == "pruned"]
    won = [n for n, row in enumerate(rows) if row.is_winner]
    looks = (
        (done, f"{name}: candidates", {"symbol": symbol, "size": 7, "opacity": 0.5}),
        (pruned, f"{name}: pruned", {"symbol": f"{symbol}-open", "size": 6, "opacity": 0.5}),
        (won, f"{name}: winner", {"symbol": "star", "size": 16}),
    )
    points = [
        (x, row.scores[objective], f"{kind.kind} {row.number}: {label_text(format_candidate(row), 90)}")
        for x, row in zip(xs, rows, strict=True)
    ]
    return [
        trace
        for numbers, label, look in looks
        for trace in draw_points(
            label, [points[n] for n in numbers], {"color": _COLORS[kind.kind], **look}, hover=hover
        )
    ]


def _place(rows: Sequence[CandidateRow]) -> list[float]:
    """Return each candidate's position near its generation's number, all different within a generation."""
    members: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault(row.group, []).append(index)
    places = [0.0] * len(rows)
    for group, indices in members.items():
        for index, offset in zip(indices, spread(len(indices), 0.5), strict=True):
            places[index] = round(group + offset, 3)
    return places


def _describe(report: ReportInput, search: SearchReport, kinds: list[KindReport], name: str) -> str:
    objective = search.objectives[0]
    published = choose_curves(report.published_curves, search.block, objective) if search.has_generations else []
    ends = []
    for kind in kinds:
        known = [value for value in _trace_best(search, kind)[1] if value is not None]
        first, last = format_value(objective, known[0]), format_value(objective, known[-1])
        ends.append(f"{_NAMES[kind.kind]} of {count(kind.num_candidates, 'candidate')}: from {first} to {last}")
    shown = "every candidate, the middle half of each generation" if search.has_generations else "every candidate"
    curves = (
        f" Published curves: {'; '.join(show_text(name_curve(curve)) for curve in published)}." if published else ""
    )
    return (
        f"Chart of {name} by {_step_of(search)} in {show_text(search.block)}: {shown}, and the best so far, "
        f"{'; '.join(ends)}. A star marks the winner.{curves}"
    )
