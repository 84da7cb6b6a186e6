"""Which choices matter: the range of every factor's level means, with its interval, largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import list_some, round_all, row_axis, scatter, shade_margin, whiskers
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.factor_effects import FactorEffects, FactorRange
from bakeoff.stats.measure import Measure, percent

MAX_FACTORS = 60

_LOOKS = {True: ("levels shown to differ", PALETTE[2], "circle"), False: ("not shown", NEUTRAL, "circle-open")}
"""Whether levels are shown to differ -> the words, colour and symbol."""


def find_factors(report: ReportInput, block: str) -> FactorEffects | None:
    """Return what a block says of its factors; None for a study without crossed axes."""
    found: Sequence[FactorEffects] = report.facts.get("factors", ())
    return next((each for each in found if each.block == block), None)


def draw_choices(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw a block's factors from top to bottom, by the range of their level means; None without factors."""
    found = find_factors(report, block)
    if found is None or not found.ranges:
        return None
    measure, ranges = report.summary.measure, found.ranges[:MAX_FACTORS]
    scale = 100.0 if measure.record.is_share else 1.0
    words = [shown for shown in _LOOKS if any(each.is_shown is shown for each in ranges)]
    unit = f"points of {measure.label}" if measure.record.is_share else measure.label
    margin = report.summary.margin
    return FigureSpec(
        title=f"Which choices matter: {measure.label}",
        alt=_describe(ranges, measure, block),
        data=[_draw(ranges, shown, measure, scale, report.summary.confidence) for shown in words],
        layout=make_layout(
            150 + 36 * len(ranges),
            xaxis={
                "title": {"text": f"best to worst level mean, {unit}"},
                "tickformat": ".3~g",
                "rangemode": "tozero",
            },
            # Invisible ticks keep the labels off intervals that begin at zero, the left edge.
            yaxis={
                **row_axis([label_text(each.factor, 30) for each in ranges]),
                "ticks": "outside",
                "ticklen": 8,
                "tickcolor": "rgba(0, 0, 0, 0)",
            },
            shapes=[{**shape, "x0": 0} for shape in shade_margin(margin, scale)],
        ),
    )


def _draw(
    ranges: Sequence[FactorRange], shown: bool, measure: Measure, scale: float, confidence: float
) -> dict[str, Any]:
    rows = [(row, each) for row, each in enumerate(ranges) if each.is_shown is shown]
    said, color, symbol = _LOOKS[shown]
    sizes = [each.range for _, each in rows]
    return scatter(
        "markers",
        round_all([scale * size for size in sizes]),
        [row for row, _ in rows],
        name=said,
        text=[_tell(each, measure, confidence) for _, each in rows],
        hover="%{text}",
        marker={"color": color, "size": 13, "symbol": symbol, "line": {"width": 2, "color": color}},
        error_x=whiskers(sizes, [each.interval for _, each in rows], color, scale=scale),
    )


def _tell(each: FactorRange, measure: Measure, confidence: float) -> str:
    interval = "" if each.interval is None else f" ({percent(confidence)}: {measure.interval(each.interval)})"
    means = "<br>".join(f"{label_text(level)}: {measure.value(mean)}" for level, mean in each.means.items())
    return f"{label_text(each.factor)}: {measure.distance(each.range)}{interval}<br>{means}"


def _describe(ranges: Sequence[FactorRange], measure: Measure, block: str) -> str:
    sizes = [
        f"{show_text(each.factor)} {measure.distance(each.range)}{'' if each.is_shown else ', not shown'}"
        for each in ranges
    ]
    return (
        f"Chart of how much each of {count(len(ranges), 'choice')} matters to {measure.label} in {show_text(block)}, "
        f"as the range of its level means with an interval: {list_some(sizes, 'choice')}."
    )
