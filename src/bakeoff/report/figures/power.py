"""The smallest difference that is likely to be shown, over the number of replicates."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import round_all, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, make_layout
from bakeoff.report.text import show_text
from bakeoff.stats.power import POWER
from bakeoff.stats.prospect import Prospect, draw_curve
from bakeoff.stats.prospects import Prospects, format_difference, list_detectable


def find_prospect(report: ReportInput, block: str) -> Prospect | None:
    """Return what a block can show, by its own trials; None if they do not tell."""
    found = report.facts.get("power")
    if not isinstance(found, Prospects):
        return None
    own = (each for each in found.blocks if each.source.kind in ("trials", "pilot"))
    return next((each for each in own if each.block == block), None)


_WIDE = 4
"""Highest over lowest value from which the labels 1, 2 and 5 of a decade are enough."""


def draw_power(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw the detectable difference over replicates, with the limit of the images and the margin; None if unknown."""
    prospect = find_prospect(report, block)
    if prospect is None or prospect.source.spread is None:
        return None
    aim, measure = prospect.aim, prospect.aim.measure
    scale = 100.0 if measure.record.is_share else 1.0
    curve = draw_curve(prospect)
    numbers = [n for n, _ in curve]
    values = round_all([scale * difference for _, difference in curve])
    unit = measure.unit_of_difference
    traces = [
        scatter(
            "lines+markers",
            numbers,
            values,
            name=f"shown with {POWER:.0%} power",
            hover=f"%{{x}} replicates: %{{y:.2~g}}{unit}",
            line={"color": PALETTE[0], "width": 2},
            marker={"size": 6},
        )
    ]
    ends = [numbers[0], numbers[-1]]
    if aim.scope == "images" and prospect.limit:
        traces.append(_draw_line(ends, scale * prospect.limit, "limit of the test images", PALETTE[1], "dash"))
    if aim.margin is not None:
        traces.append(_draw_line(ends, scale * aim.margin, "margin", NEUTRAL, "dot"))
    heights = [height for trace in traces for height in trace["y"]]
    # Labels at 1, 2 and 5 only: over a wide range plotly's own choice runs 7, 8, 9 and 10 together.
    is_wide = min(heights) > 0 and max(heights) >= _WIDE * min(heights)
    title = f"difference, {'points' if measure.record.is_share else measure.record.label}"
    return FigureSpec(
        title="Detectable difference over replicates",
        alt=_describe(prospect, block),
        data=traces,
        layout=make_layout(
            340,
            xaxis={"title": {"text": "replicates"}, "type": "log", "tickvals": [3, 5, 10, 20, 50]},
            yaxis={
                "title": {"text": title},
                "tickformat": ".2~g",
                "type": "log",
                **({"dtick": "D2"} if is_wide else {}),
            },
        ),
    )


def _draw_line(ends: list[int], value: float, name: str, color: str, dash: str) -> dict[str, Any]:
    y = round_all([value, value])
    return scatter("lines", ends, y, name=name, line={"color": color, "width": 2, "dash": dash})


def _describe(prospect: Prospect, block: str) -> str:
    aim = prospect.aim
    limit = format_difference(prospect.limit, aim.measure)
    images = f"; the test images alone limit it to {limit}" if aim.scope == "images" and prospect.limit else ""
    margin = "" if aim.margin is None else f"; the margin is {format_difference(aim.margin, aim.measure)}"
    return (
        f"Line chart of the smallest difference shown with {POWER:.0%} power in {show_text(block)}, by replicates: "
        f"{list_detectable(prospect)}{images}{margin}."
    )
