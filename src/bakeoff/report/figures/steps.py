"""What each step of an ablation chain adds to the arm it was made on, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    difference_axis,
    round_all,
    row_axis,
    scatter,
    shade_margin,
    turn_triangle,
    whiskers,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.measure import Measure, percent
from bakeoff.stats.results import Verdict
from bakeoff.stats.steps import ChainStep

MAX_STEPS = 60

_LOOKS = {
    "better": ("helps", PALETTE[2], "triangle-right"),
    "worse": ("harms", PALETTE[1], "triangle-left"),
    "equivalent": ("changes too little to matter", PALETTE[0], "square"),
    "inconclusive": ("not settled", NEUTRAL, "circle-open"),
}
"""Verdict on a step -> its words, colour and symbol. A metric of which less is better turns the triangles round."""


def draw_steps(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's chain from top to bottom: the difference that each step makes; None without a step.

    Intervals are paired, and look at the step alone; the colour and symbol are the verdict's, which accounts for the
    whole chain. A hollow diamond is the difference from the chain's start, where that is another arm than the base.
    """
    steps = [step for step in report.steps if step.block == block and step.adds is not None][:MAX_STEPS]
    known = [step for step in steps if step.adds is not None and step.adds.difference is not None]
    if not known:
        return None
    measure = report.summary.measure
    scale = 100.0 if measure.record.is_share else 1.0
    words = [word for word in _LOOKS if any(step.adds is not None and step.adds.verdict == word for step in known)]
    traces = [_draw_verdict(known, word, measure, scale, report.summary.confidence) for word in words]
    traces += _draw_since_start(known, measure, scale)
    names = [f"{label_text(step.link.arm, 22)} on {label_text(str(step.link.base), 14)}" for step in known]
    title = f"points of {measure.label}" if measure.record.is_share else f"difference in {measure.label}"
    return FigureSpec(
        title=f"What each step adds: {measure.label}",
        alt=_describe(known, measure, block),
        data=traces,
        layout=make_layout(
            150 + 36 * len(known),
            xaxis=difference_axis(title),
            yaxis=row_axis(names),
            shapes=shade_margin(report.summary.margin, scale),
        ),
    )


def _draw_verdict(
    known: Sequence[ChainStep], word: str, measure: Measure, scale: float, confidence: float
) -> dict[str, Any]:
    """Return the steps with one verdict, at their rows."""
    mine = [(row, step, step.adds) for row, step in enumerate(known) if step.adds is not None]
    rows = [(row, step, adds) for row, step, adds in mine if adds.verdict == word]
    said, color, symbol = _LOOKS[word]
    symbol = turn_triangle(symbol, higher_is_better=measure.record.higher_is_better)
    differences = [adds.difference or 0.0 for _, _, adds in rows]
    intervals = [adds.interval for _, _, adds in rows]
    return scatter(
        "markers",
        round_all([scale * difference for difference in differences]),
        [row for row, _, _ in rows],
        name=said,
        text=[_tell(step, adds, measure, confidence) for _, step, adds in rows],
        hover="%{text}",
        marker={"color": color, "size": 13, "symbol": symbol, "line": {"width": 2, "color": color}},
        error_x=whiskers(differences, intervals, color, scale=scale),
    )


def _tell(step: ChainStep, adds: Verdict, measure: Measure, confidence: float) -> str:
    difference = "" if adds.difference is None else f"{measure.signed(adds.difference)}{measure.unit_of_difference}"
    interval = "" if adds.interval is None else f" ({percent(confidence)}: {measure.interval(adds.interval)})"
    change = f"<br>{label_text(step.link.change, 90)}" if step.link.change else ""
    return f"{label_text(step.link.arm)} on {label_text(str(step.link.base))}: {difference}{interval}{change}"


def _draw_since_start(known: Sequence[ChainStep], measure: Measure, scale: float) -> list[dict[str, Any]]:
    found = [
        (row, step, step.since_start.difference)
        for row, step in enumerate(known)
        if step.since_start is not None
        and step.since_start.difference is not None
        and step.link.start != step.link.base
    ]
    if not found:
        return []
    told = [
        f"{label_text(step.link.arm)} since {label_text(str(step.link.start))}: "
        f"{measure.signed(difference)}{measure.unit_of_difference}"
        for _, step, difference in found
    ]
    return [
        scatter(
            "markers",
            round_all([scale * difference for _, _, difference in found]),
            [row + 0.26 for row, _, _ in found],
            name="all since the start of the chain",
            text=told,
            hover="%{text}",
            marker={"color": PALETTE[3], "size": 9, "symbol": "diamond-open", "line": {"width": 2}},
        )
    ]


def _describe(known: Sequence[ChainStep], measure: Measure, block: str) -> str:
    told = []
    for step in known[:8]:
        if step.adds is not None and step.adds.difference is not None:
            gain = f"{measure.signed(step.adds.difference)}{measure.unit_of_difference}"
            told.append(f"{show_text(step.link.arm)} on {show_text(str(step.link.base))} {gain}, {step.adds.verdict}")
    rest = "" if len(known) <= 8 else f"; and {count(len(known) - 8, 'further step')}, which the table lists"
    return (
        f"Chart of what each of {count(len(known), 'step')} adds to {measure.label} in {show_text(block)}, with its "
        f"interval: {'; '.join(told)}{rest}."
    )
