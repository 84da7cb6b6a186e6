"""The differences that verdicts rest on: each arm from the best one or the baseline, by replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    difference_axis,
    draw_points,
    draw_verdicts,
    list_some,
    row_axis,
    shade_margin,
    spread,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import PALETTE, label_text, make_layout
from bakeoff.report.tables import format_difference, order_arms, phrase, verdicts_against
from bakeoff.report.text import name_run, show_text
from bakeoff.stats.measure import percent
from bakeoff.stats.results import ArmSummary, Summary, Verdict

MAX_ARMS = 20

_STYLES = {
    "better": {"color": PALETTE[2], "symbol": "triangle-right"},
    "worse": {"color": PALETTE[1], "symbol": "triangle-left"},
    "equivalent": {"color": PALETTE[0], "symbol": "square"},
    "inconclusive": {"color": PALETTE[6], "symbol": "circle"},
}
"""Verdict -> marker of its mean; triangles point towards better."""

_SCOPES: Mapping[str, str] = {
    "images": "for new seeds and new images",
    "seeds": "for new seeds on these images",
    "folds": "for new training and test images",
}


def draw_differences(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's paired differences: arms from top to bottom, best first; None if nothing was compared.

    A small point is one replicate's or fold's difference. The mean has the verdict's interval, and the symbol of the
    verdict. The band is the margin. Of more than MAX_ARMS, the best are shown.
    """
    summary = report.summary
    answer = next(each for each in summary.answers if each.block == block)
    reference = answer.baseline or answer.best
    arms = {arm.arm: arm for arm in order_arms(summary, block)}
    against = {} if reference is None else verdicts_against(summary, block, reference)
    rows = [against[arm] for arm in arms if arm in against and against[arm].difference is not None][:MAX_ARMS]
    if reference is None or not rows:
        return None
    measure = summary.measure
    scale = 100.0 if measure.record.is_share else 1.0
    unit = f"points of {measure.label}" if measure.record.is_share else measure.label
    names = [f"{label_text(verdict.a, 30)}<br><i>{verdict.verdict}</i>" for verdict in rows]
    traces = _draw_runs(rows, arms, scale, summary)
    for word, marker in _STYLES.items():
        mine = [(row, v, _describe_verdict(v, summary)) for row, v in enumerate(rows) if v.verdict == word]
        name = f"{word}: mean, {percent(summary.confidence)} interval"
        traces += draw_verdicts(name, mine, measure, marker, thickness=2.5, width=7)
    return FigureSpec(
        title=f"Difference from {show_text(reference)}, {_say_how(rows, summary)}",
        alt=_describe(rows, reference, block, summary),
        data=traces,
        layout=make_layout(
            150 + 46 * len(rows),
            xaxis=difference_axis(f"difference from {label_text(reference, 30)}, {unit}"),
            yaxis=row_axis(names),
            shapes=shade_margin(summary.margin, scale),
        ),
    )


def _say_how(rows: Sequence[Verdict], summary: Summary) -> str:
    if all(verdict.unpaired is not None for verdict in rows):
        return "mean against mean"
    return f"{summary.runs[:-1]} by {summary.runs[:-1]}"


def _pair(a: ArmSummary, b: ArmSummary) -> list[tuple[str, float]]:
    """Return the name and difference of every run that both arms have."""
    if a.fold_scores:
        return [
            (name_run(*run), a.fold_scores[run] - b.fold_scores[run]) for run in a.fold_scores if run in b.fold_scores
        ]
    return [(name_run(run), a.scores[run] - b.scores[run]) for run in a.scores if run in b.scores]


def _draw_runs(
    rows: Sequence[Verdict], arms: Mapping[str, ArmSummary], scale: float, summary: Summary
) -> list[dict[str, Any]]:
    points = []
    for row, verdict in enumerate(rows):
        runs = [] if verdict.unpaired is not None else _pair(arms[verdict.a], arms[verdict.b])
        for (name, difference), offset in zip(runs, spread(len(runs), 0.36), strict=True):
            text = f"{label_text(verdict.a)}, {name}: {format_difference(summary.measure, difference)}"
            points.append((scale * difference, row + offset, text))
    return draw_points(f"one {summary.runs[:-1]}", points, {"color": PALETTE[5], "size": 7, "opacity": 0.55})


def _describe_verdict(verdict: Verdict, summary: Summary) -> str:
    measure, interval = summary.measure, ""
    if verdict.interval is not None:
        scope = _SCOPES.get(verdict.scope, "")
        interval = f"<br>{percent(summary.confidence)} interval {measure.interval(verdict.interval)}, {scope}"
    difference = format_difference(measure, verdict.difference or 0.0)
    return f"{label_text(verdict.a)} {phrase(verdict)} {label_text(verdict.b)}: {difference}{interval}"


def _describe(rows: Sequence[Verdict], reference: str, block: str, summary: Summary) -> str:
    measure = summary.measure
    differences = []
    for verdict in rows:
        interval = "" if verdict.interval is None else f" ({measure.interval(verdict.interval)})"
        difference = format_difference(measure, verdict.difference or 0.0)
        differences.append(f"{show_text(verdict.a)} {difference}{interval}, {verdict.verdict}")
    where = f" in {show_text(block)}" if block else ""
    return (
        f"Dot plot of the paired differences in {measure.label} from {show_text(reference)}{where}, every "
        f"{summary.runs[:-1]} and their mean with its {percent(summary.confidence)} interval: "
        f"{list_some(differences, 'arm', most=6)}."
    )
