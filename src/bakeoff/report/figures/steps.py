"""What each step of an ablation chain adds to its base arm, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import difference_axis, draw_points, draw_verdicts, list_some, row_axis, shade_margin
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.tables import format_difference
from bakeoff.report.text import count, show_text
from bakeoff.stats.measure import Measure, percent
from bakeoff.stats.results import Summary, Verdict
from bakeoff.stats.steps import ChainStep

MAX_STEPS = 60

_LOOKS = {
    "better": ("helps", PALETTE[2], "triangle-right"),
    "worse": ("harms", PALETTE[1], "triangle-left"),
    "equivalent": ("changes too little to matter", PALETTE[0], "square"),
    "inconclusive": ("not settled", NEUTRAL, "circle-open"),
}
"""Verdict on a step -> its words, colour and symbol; triangles point towards better."""


def draw_steps(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's chain from top to bottom: the difference that each step makes; None without a step.

    Intervals are paired and for the step alone; colour and symbol show the verdict, which accounts for the whole chain.
    A hollow diamond is the difference from the chain's start, unless that is the step's base.
    """
    steps = [step for step in report.steps if step.block == block and step.adds is not None][:MAX_STEPS]
    known = [(step, step.adds) for step in steps if step.adds is not None and step.adds.difference is not None]
    if not known:
        return None
    summary = report.summary
    measure = summary.measure
    scale = 100.0 if measure.record.is_share else 1.0
    traces = []
    for word, (name, color, symbol) in _LOOKS.items():
        rows = [
            (row, adds, _describe_step(step, adds, summary))
            for row, (step, adds) in enumerate(known)
            if adds.verdict == word
        ]
        marker = {"color": color, "symbol": symbol, "line": {"width": 2, "color": color}}
        traces += draw_verdicts(name, rows, measure, marker)
    traces += _draw_since_start([step for step, _ in known], measure, scale)
    names = [f"{label_text(step.link.arm, 22)} on {label_text(str(step.link.base), 14)}" for step, _ in known]
    title = f"points of {measure.label}" if measure.record.is_share else f"difference in {measure.label}"
    return FigureSpec(
        title=f"What each step adds: {measure.label}",
        alt=_describe(known, measure, block),
        data=traces,
        layout=make_layout(
            150 + 36 * len(known),
            xaxis=difference_axis(title),
            yaxis=row_axis(names),
            shapes=shade_margin(summary.margin, scale),
        ),
    )


def _describe_step(step: ChainStep, adds: Verdict, summary: Summary) -> str:
    measure = summary.measure
    difference = "" if adds.difference is None else format_difference(measure, adds.difference)
    interval = "" if adds.interval is None else f" ({percent(summary.confidence)}: {measure.interval(adds.interval)})"
    change = f"<br>{label_text(step.link.change, 90)}" if step.link.change else ""
    return f"{label_text(step.link.arm)} on {label_text(str(step.link.base))}: {difference}{interval}{change}"


def _draw_since_start(known: Sequence[ChainStep], measure: Measure, scale: float) -> list[dict[str, Any]]:
    points = [
        (
            scale * step.since_start.difference,
            row + 0.26,
            f"{label_text(step.link.arm)} since {label_text(str(step.link.start))}: "
            f"{format_difference(measure, step.since_start.difference)}",
        )
        for row, step in enumerate(known)
        if step.since_start is not None
        and step.since_start.difference is not None
        and step.link.start != step.link.base
    ]
    marker = {"color": PALETTE[3], "size": 9, "symbol": "diamond-open", "line": {"width": 2}}
    return draw_points("all since the start of the chain", points, marker)


def _describe(known: Sequence[tuple[ChainStep, Verdict]], measure: Measure, block: str) -> str:
    steps = [
        f"{show_text(step.link.arm)} on {show_text(str(step.link.base))} "
        f"{format_difference(measure, adds.difference or 0.0)}, {adds.verdict}"
        for step, adds in known
    ]
    return (
        f"Chart of what each of {count(len(known), 'step')} adds to {measure.label} in {show_text(block)}, with its "
        f"interval: {list_some(steps, 'step')}."
    )
