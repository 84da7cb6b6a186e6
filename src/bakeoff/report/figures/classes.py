"""The scores of each class: precision, recall and F1, for a block's best arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence, ClassRow
from bakeoff.report.figures.shared import draw_points, name_axis, round_all, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text

MAX_CLASSES = 40
_SHOWN = (("f1", "F1", "circle", 10), ("precision", "precision", "triangle-up", 8), ("recall", "recall", "diamond", 8))


def draw_classes(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw precision, recall and F1 of every class of one block's best arm, the worst F1 on top.

    Of more than MAX_CLASSES classes, the worst are drawn. None if no predictions are stored.
    """
    evidence = report.evidence_of(block)
    if evidence is None:
        return None
    # A class without images has no F1; one that was never predicted correctly has 0.
    rows = sorted((row for row in evidence.classes if row.f1 is not None), key=lambda row: row.f1 or 0.0)
    if not rows:
        return None
    drawn = rows[:MAX_CLASSES]
    # F1 is drawn last, on top of the others, but first in the legend.
    traces = [_draw_ranges(drawn)]
    for number in reversed(range(len(_SHOWN))):
        traces += _draw_scores(drawn, number)
    layout = make_layout(
        max(240, 120 + 24 * len(drawn)),
        xaxis={"title": {"text": "score"}, "tickformat": ".2~%", "side": "top"},
        yaxis=name_axis([row.name for row in drawn], range=[len(drawn) - 0.5, -0.5], showgrid=True),
    )
    layout["legend"] = {**layout["legend"], "traceorder": "reversed"}
    named = f"the {len(drawn)} hardest of {len(rows)} classes" if len(drawn) < len(rows) else "every class"
    return FigureSpec(
        title=f"Precision, recall and F1 of {named}, hardest first: {show_text(evidence.arm)}, {evidence.split} split",
        alt=_describe(evidence, rows, named),
        data=traces,
        layout=layout,
    )


def _draw_ranges(rows: Sequence[ClassRow]) -> dict[str, Any]:
    """Draw a line between precision and recall of each class."""
    x: list[float | None] = []
    y: list[int | None] = []
    for position, row in enumerate(rows):
        if row.precision is not None and row.recall is not None:
            x += [row.precision, row.recall, None]
            y += [position, position, None]
    return scatter("lines", round_all(x), y, line={"color": NEUTRAL, "width": 1.5})


def _draw_scores(rows: Sequence[ClassRow], number: int) -> list[dict[str, Any]]:
    field, title, symbol, size = _SHOWN[number]
    return draw_points(
        title,
        [
            (getattr(row, field), position, f"{label_text(row.name)}, {count(row.occurring, 'image')}")
            for position, row in enumerate(rows)
        ],
        {"color": PALETTE[number], "symbol": symbol, "size": size},
        hover=f"%{{text}}<br>{title} %{{x:.2%}}",
        cliponaxis=False,
    )


def _describe(evidence: BlockEvidence, rows: Sequence[ClassRow], named: str) -> str:
    def format_value(row: ClassRow) -> str:
        return f"{show_text(row.name)} ({row.f1:.1%})"

    ends = f"Lowest F1: {', '.join(map(format_value, rows[:3]))}."
    if len(rows) > 3:
        ends += f" Highest: {format_value(rows[-1])}."
    return (
        f"Dot plot of precision, recall and F1 of {named} for {show_text(evidence.arm)} in "
        f"{show_text(evidence.block)}, {evidence.split} split, means over {count(evidence.num_trials, 'trial')}. {ends}"
    )
