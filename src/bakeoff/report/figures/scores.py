"""Every replicate's score, with each arm's mean and interval."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    draw_points,
    interval_of_mean,
    list_some,
    metric_axis,
    metric_format,
    row_axis,
    spread,
    whiskers,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import PALETTE, label_text, make_layout
from bakeoff.report.tables import order_arms
from bakeoff.report.text import name_run, show_text
from bakeoff.stats.measure import percent
from bakeoff.stats.results import ArmSummary, MeanSd

MAX_ARMS = 40


def draw_scores(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw one block's scores: arms from top to bottom, best first; None without a score.

    A small point is a replicate or, with folds, a fold. The interval is Student's t for an arm's own mean. There is
    none with folds, whose scores are not independent, nor if arms were compared, because such intervals may overlap
    although paired differences are clear. A vertical line is a published value of the same metric on the same split. Of
    more than MAX_ARMS, the best are shown.
    """
    summary = report.summary
    measure = summary.measure
    scored = [(arm, score) for arm in order_arms(summary, block) if (score := arm.score(measure)) is not None]
    if not scored:
        return None
    shown = scored[:MAX_ARMS]
    names = [arm.arm for arm, _ in shown]
    value = metric_format(measure.record)
    layout = make_layout(
        150 + 34 * len(shown),
        xaxis=metric_axis(measure.record, measure.label),
        yaxis=row_axis(list(map(label_text, names))),
    )
    return FigureSpec(
        title=f"{measure.label[0].upper()}{measure.label[1:]} of every replicate",
        alt=_describe(report, block, shown, len(scored)),
        data=[
            *_draw_runs(shown, value),
            *_draw_means(shown, value, None if summary.num_folds or summary.verdicts_of(block) else summary.confidence),
            *draw_points(
                "published",
                [(number, row, label_text(names[row])) for row, number in _list_published(report, block, names)],
                {"color": PALETTE[2], "symbol": "line-ns-open", "size": 24, "line": {"width": 3}},
                hover=f"%{{text}}: published %{{x:{value}}}",
            ),
        ],
        layout=layout,
    )


def _draw_runs(shown: list[tuple[ArmSummary, MeanSd]], value: str) -> list[dict[str, Any]]:
    points = []
    for row, (arm, _) in enumerate(shown):
        scores = [(name_run(replicate), score) for replicate, score in arm.scores.items()]
        if arm.fold_scores:
            scores = [(name_run(*run), score) for run, score in arm.fold_scores.items()]
        for (name, score), offset in zip(scores, spread(len(scores), 0.4), strict=True):
            points.append((score, row + offset, f"{label_text(arm.arm)}, {name}"))
    name = "one fold" if shown[0][0].fold_scores else "one replicate"
    marker = {"color": PALETTE[5], "size": 7, "opacity": 0.55}
    return draw_points(name, points, marker, hover=f"%{{text}}: %{{x:{value}}}")


def _draw_means(shown: list[tuple[ArmSummary, MeanSd]], value: str, confidence: float | None) -> list[dict[str, Any]]:
    """Draw the mean of each arm, with its interval unless `confidence` is None."""
    name, bars = "mean", {}
    if confidence is not None:
        intervals = [interval_of_mean(list(arm.scores.values()), confidence) for arm, _ in shown]
        if any(intervals):
            name = f"mean with {percent(confidence)} interval"
            bars = {"error_x": whiskers([score.mean for _, score in shown], intervals, PALETTE[1])}
    points = [(score.mean, row, label_text(arm.arm)) for row, (arm, score) in enumerate(shown)]
    marker = {"color": PALETTE[1], "size": 11, "symbol": "diamond"}
    return draw_points(name, points, marker, hover=f"%{{text}}: mean %{{x:{value}}}", **bars)


def _list_published(report: ReportInput, block: str, names: list[str]) -> list[tuple[int, float]]:
    """Return (row, value) of the published values of the deciding metric on the deciding split."""
    summary = report.summary
    return [
        (names.index(figure.arm), figure.value)
        for figure in report.published
        if figure.arm in names
        and figure.block in (None, block)
        and figure.metric == summary.metric
        and figure.split == summary.split
    ]


def _describe(report: ReportInput, block: str, shown: list[tuple[ArmSummary, MeanSd]], num_scored: int) -> str:
    measure = report.summary.measure
    means = [f"{show_text(arm.arm)} {measure.value(score.mean)}" for arm, score in shown]
    names = [arm.arm for arm, _ in shown]
    values = _list_published(report, block, names)
    listed = list_some([f"{show_text(names[row])} {measure.value(value)}" for row, value in values], "value", most=6)
    published = f" Vertical lines are published values: {listed}." if values else ""
    return (
        f"Dot plot of the {measure.label} of every replicate in {show_text(block)}, best mean first. Means: "
        f"{list_some(means, 'arm', most=6, total=num_scored)}.{published}"
    )
