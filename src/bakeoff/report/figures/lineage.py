"""The lineage of an evolved winner: its ancestors by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import name_objective, objective_axis, round_all, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.search import KindReport, SearchReport, format_value, is_rising
from bakeoff.report.text import count, show_text

MAX_ANCESTORS = 80
MAX_NUMBERED = 40
_MAX_NOTES = 8

_LOOKS = {
    "drawn": ("drawn at random", {"symbol": "circle-open", "size": 10, "color": PALETTE[0], "line": {"width": 2}}),
    "child": ("child: crossed, mutated", {"symbol": "circle", "size": 10, "color": PALETTE[0]}),
    "winner": ("winner", {"symbol": "star", "size": 18, "color": PALETTE[1]}),
}


def draw_lineage(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the ancestors of the winner of one block's search, by generation and value.

    None if there is no winner, or it has no ancestors. A thin line goes from a parent to its child; the thick one is
    the winner's line: from child to better parent, back to the start. Of more than MAX_ANCESTORS, the latest are drawn.
    """
    search = report.search_of(block)
    kinds = [] if search is None else [kind for kind in search.kinds if kind.winner and len(kind.lineage) > 1]
    if search is None or not kinds:
        return None
    kind, objective = kinds[0], search.objectives[0]
    shown = [row for row in kind.lineage if objective in row.scores][-MAX_ANCESTORS:]
    if len(shown) < 2:
        return None
    by_number = {row.number: row for row in shown}
    line = find_line(by_number, kind.winner, objective)
    axis = objective_axis(objective, name_objective(objective))
    return FigureSpec(
        title=f"Lineage of {kind.kind} {line[-1].number}",
        alt=_describe(kind, shown, line, objective, block),
        data=[
            _draw_edges(by_number, objective),
            scatter(
                "lines",
                [row.generation for row in line],
                round_all([row.scores[objective] for row in line]),
                name="the winner's line",
                line={"color": PALETTE[1], "width": 3},
            ),
            *_draw_candidates(search, shown, line),
        ],
        layout=make_layout(460, xaxis={"title": {"text": "generation"}, "tickformat": "d", "dtick": 1}, yaxis=axis),
    )


def find_line(by_number: Mapping[int, CandidateRow], winner: CandidateRow | None, objective: str) -> list[CandidateRow]:
    """Return the winner's line, oldest first: from child to better parent, as far back as known."""
    better = max if is_rising(objective) else min
    line = [winner] if winner is not None and winner.number in by_number else []
    while line:
        parents = [by_number[number] for number in line[-1].parents if number in by_number]
        parents = [parent for parent in parents if parent.number < line[-1].number]
        if not parents:
            break
        line.append(better(parents, key=lambda parent: parent.scores[objective]))
    return line[::-1]


def _draw_edges(by_number: Mapping[int, CandidateRow], objective: str) -> dict[str, Any]:
    pairs = [
        (by_number[number], child)
        for child in by_number.values()
        for number in dict.fromkeys(child.parents)
        if number in by_number
    ]
    return scatter(
        "lines",
        [x for parent, child in pairs for x in (parent.generation, child.generation, None)],
        round_all([y for pair in pairs for y in (*(row.scores[objective] for row in pair), None)]),
        name="parent to child",
        line={"color": NEUTRAL, "width": 1},
        opacity=0.6,
    )


def _draw_candidates(
    search: SearchReport, shown: Sequence[CandidateRow], line: Sequence[CandidateRow]
) -> list[dict[str, Any]]:
    objective = search.objectives[0]
    on_line = {row.number for row in line}
    kinds = {"drawn": [row for row in shown if not row.parents and not row.is_winner]}
    kinds["child"] = [row for row in shown if row.parents and not row.is_winner]
    kinds["winner"] = [row for row in shown if row.is_winner]
    is_numbered = len(shown) <= MAX_NUMBERED
    sides = _choose_sides(shown, objective)
    return [
        scatter(
            "markers+text",
            [row.generation for row in rows],
            round_all([row.scores[objective] for row in rows]),
            name=_LOOKS[kind][0],
            text=[str(row.number) if is_numbered or row.number in on_line else "" for row in rows],
            textposition=[sides[row.number] for row in rows],
            textfont={"size": 10},
            hovertext=[_describe_candidate(row, objective) for row in rows],
            hoverinfo="text",
            cliponaxis=False,
            marker=_LOOKS[kind][1],
        )
        for kind, rows in kinds.items()
        if rows
    ]


def _choose_sides(shown: Sequence[CandidateRow], objective: str) -> dict[int, str]:
    """Return where to put each candidate's number: neighbours in a generation alternate between top and bottom."""
    sides: dict[int, str] = {}
    for generation in {row.generation for row in shown}:
        own = sorted(
            (row for row in shown if row.generation == generation), key=lambda row: (row.scores[objective], row.number)
        )
        for position, row in enumerate(reversed(own)):
            sides[row.number] = "bottom center" if position % 2 else "top center"
    return sides


def _describe_candidate(row: CandidateRow, objective: str) -> str:
    notes = [label_text(note, 70) for note in row.notes[:_MAX_NOTES]]
    more = [f"and {len(row.notes) - _MAX_NOTES} more"] if len(row.notes) > _MAX_NOTES else []
    first = f"{row.kind} {row.number}, {format_value(objective, row.scores[objective])}"
    return "<br>".join([first, *notes, *more])


def _describe(
    kind: KindReport, shown: Sequence[CandidateRow], line: Sequence[CandidateRow], objective: str, block: str
) -> str:
    steps = ", then ".join(f"{row.number} ({format_value(objective, row.scores[objective])})" for row in line[-8:])
    rest = "" if len(shown) == len(kind.lineage) else f" Only the latest of {len(kind.lineage):,} are drawn."
    return (
        f"Tree of {kind.kind} {line[-1].number} of the search in {show_text(block)} and the "
        f"{count(len(shown) - 1, 'ancestor')} it descends from, by generation and value. From better parent to child: "
        f"{steps}.{rest} The table shows how each was made."
    )
