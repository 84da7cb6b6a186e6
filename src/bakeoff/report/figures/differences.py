"""What verdicts rest on: how far each arm is from the best, or from the baseline, replicate by replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    difference_axis,
    round_all,
    row_axis,
    scatter,
    shade_margin,
    spread,
    turn_triangle,
    whiskers,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import PALETTE, label_text, make_layout
from bakeoff.report.tables import order_arms, phrase
from bakeoff.report.text import count, name_run, show_text
from bakeoff.stats.measure import Measure, percent
from bakeoff.stats.results import ArmSummary, Summary, Verdict

MAX_ARMS = 20

_STYLES = {
    "better": (PALETTE[2], "triangle-right"),
    "worse": (PALETTE[1], "triangle-left"),
    "equivalent": (PALETTE[0], "square"),
    "inconclusive": (PALETTE[6], "circle"),
}
"""Verdict -> colour and symbol of its mean. A metric of which less is better turns the triangles round."""

_SCOPES: Mapping[str, str] = {
    "images": "for new seeds and new images",
    "seeds": "for new seeds on these images",
    "folds": "for new training and test images",
}


def draw_differences(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's paired differences: arms from top to bottom, best first; None where nothing was compared.

    A point is one replicate's difference, or one fold's; the mean carries the interval that the verdict speaks of, and
    its symbol is the verdict's. The band is the margin. Beyond MAX_ARMS, the best are shown.
    """
    summary = report.summary
    answer = next(each for each in summary.answers if each.block == block)
    reference = answer.baseline or answer.best
    arms = {arm.arm: arm for arm in order_arms(summary, block)}
    seen = [
        verdict.seen_from(verdict.b if verdict.a == reference else verdict.a)
        for verdict in summary.verdicts_of(block)
        if reference in (verdict.a, verdict.b) and verdict.difference is not None
    ]
    if reference is None or not seen:
        return None
    order = list(arms)
    rows = sorted(seen, key=lambda verdict: order.index(verdict.a))[:MAX_ARMS]
    measure = summary.measure
    scale = 100.0 if measure.record.is_share else 1.0
    unit = f"points of {measure.label}" if measure.record.is_share else measure.label
    words = [word for word in _STYLES if any(verdict.verdict == word for verdict in rows)]
    names = [f"{label_text(verdict.a, 30)}<br><i>{verdict.verdict}</i>" for verdict in rows]
    return FigureSpec(
        title=f"Difference from {show_text(reference)}, {summary.runs[:-1]} by {summary.runs[:-1]}",
        alt=_describe(rows, reference, measure, block, summary),
        data=[
            _draw_runs(rows, arms, scale, measure, summary),
            *(_draw_means(rows, word, scale, measure, summary) for word in words),
        ],
        layout=make_layout(
            150 + 46 * len(rows),
            xaxis=difference_axis(f"difference from {label_text(reference, 30)}, {unit}"),
            yaxis=row_axis(names),
            shapes=shade_margin(summary.margin, scale),
        ),
    )


def _pair(a: ArmSummary, b: ArmSummary) -> list[tuple[str, float]]:
    """Return the difference of every run that both arms have, by its name."""
    if a.fold_scores:
        return [
            (name_run(*run), a.fold_scores[run] - b.fold_scores[run]) for run in a.fold_scores if run in b.fold_scores
        ]
    return [(name_run(run), a.scores[run] - b.scores[run]) for run in a.scores if run in b.scores]


def _draw_runs(
    rows: Sequence[Verdict], arms: Mapping[str, ArmSummary], scale: float, measure: Measure, summary: Summary
) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float] = []
    text = []
    for row, verdict in enumerate(rows):
        differences = _pair(arms[verdict.a], arms[verdict.b])
        x += [scale * difference for _, difference in differences]
        y += [row + offset for offset in spread(len(differences), 0.36)]
        unit = measure.unit_of_difference
        text += [f"{label_text(verdict.a)}, {name}: {measure.signed(d)}{unit}" for name, d in differences]
    return scatter(
        "markers",
        round_all(x),
        round_all(y),
        name=f"one {summary.runs[:-1]}",
        text=text,
        hover="%{text}",
        marker={"color": PALETTE[5], "size": 7, "opacity": 0.55},
    )


def _draw_means(rows: Sequence[Verdict], word: str, scale: float, measure: Measure, summary: Summary) -> dict[str, Any]:
    mine = [(row, verdict) for row, verdict in enumerate(rows) if verdict.verdict == word]
    color, symbol = _STYLES[word]
    symbol = turn_triangle(symbol, higher_is_better=measure.record.higher_is_better)
    differences = [verdict.difference or 0.0 for _, verdict in mine]
    intervals = [verdict.interval for _, verdict in mine]
    return scatter(
        "markers",
        round_all([scale * difference for difference in differences]),
        [row for row, _ in mine],
        name=f"{word}: mean, {percent(summary.confidence)} interval",
        text=[_tell(verdict, measure, summary) for _, verdict in mine],
        hover="%{text}",
        marker={"color": color, "size": 13, "symbol": symbol},
        error_x=whiskers(differences, intervals, color, scale=scale, thickness=2.5, width=7),
    )


def _tell(verdict: Verdict, measure: Measure, summary: Summary) -> str:
    interval = ""
    if verdict.interval is not None:
        scope = _SCOPES.get(verdict.scope, "")
        interval = f"<br>{percent(summary.confidence)} interval {measure.interval(verdict.interval)}, {scope}"
    difference = f"{measure.signed(verdict.difference or 0.0)}{measure.unit_of_difference}"
    return f"{label_text(verdict.a)} {phrase(verdict)} {label_text(verdict.b)}: {difference}{interval}"


def _describe(rows: Sequence[Verdict], reference: str, measure: Measure, block: str, summary: Summary) -> str:
    told = []
    for verdict in rows[:6]:
        interval = "" if verdict.interval is None else f" ({measure.interval(verdict.interval)})"
        difference = f"{measure.signed(verdict.difference or 0.0)}{measure.unit_of_difference}"
        told.append(f"{show_text(verdict.a)} {difference}{interval}, {verdict.verdict}")
    rest = "" if len(rows) <= 6 else f"; and {count(len(rows) - 6, 'further arm')}, which the table lists"
    where = f" in {show_text(block)}" if block else ""
    return (
        f"Dot plot of the paired differences in {measure.label} from {show_text(reference)}{where}, every "
        f"{summary.runs[:-1]} and their mean with its {percent(summary.confidence)} interval: "
        f"{'; '.join(told)}{rest}."
    )
