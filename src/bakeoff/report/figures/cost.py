"""What a score costs: training time against the deciding metric."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import error_bar, interval_of_mean, metric_axis, metric_format, round_all
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import label_text, make_layout, style_of
from bakeoff.report.tables import measure_of
from bakeoff.report.text import count, duration, show_text

MAX_NAMED = 10
_LOG_RATIO = 10.0


def draw_cost(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw each arm's mean score against its mean training time per trial; None for fewer than two arms.

    A trial's time is its share of its cohort's. Vertical bars are Student's t intervals of the means; there are none
    with folds. Up to MAX_NAMED arms have a symbol and legend entry of their own, more share one.
    """
    summary, measure = report.summary, measure_of(report.summary)
    shown = [
        (arm, score.mean, arm.seconds.mean)
        for arm in summary.arms_of(block)
        if (score := arm.score(measure)) is not None and arm.seconds is not None and arm.seconds.mean > 0
    ]
    if len(shown) < 2:
        return None
    is_named = len(shown) <= MAX_NAMED
    traces = []
    for position, (arm, mean, seconds) in enumerate(shown):
        style = style_of(position if is_named else 0)
        interval = None if summary.num_folds else interval_of_mean(list(arm.scores.values()), summary.confidence)
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": label_text(arm.arm),
            "x": round_all([seconds]),
            "y": round_all([mean]),
            "text": [f"{label_text(arm.arm)}, {duration(seconds)}"],
            "hovertemplate": f"%{{text}}: %{{y:{metric_format(measure.record)}}}<extra></extra>",
            "marker": {"color": style.color, "symbol": style.symbol, "size": 12},
            "showlegend": is_named,
        }
        if interval is not None:
            above, below = error_bar(mean, interval)
            bar = {"type": "data", "array": round_all([above]), "arrayminus": round_all([below]), "symmetric": False}
            trace["error_y"] = {**bar, "color": style.color, "thickness": 1.5}
        traces.append(trace)
    times = [seconds for _, _, seconds in shown]
    scale = (
        {"type": "log", "dtick": "D2", "tickformat": "~g"}
        if max(times) > _LOG_RATIO * min(times)
        else {"rangemode": "tozero"}
    )
    dearest = max(shown, key=lambda each: each[2])
    cheapest = min(shown, key=lambda each: each[2])
    return FigureSpec(
        title=f"Training time against {measure.label}",
        alt=(
            f"Scatter plot of the {measure.label} against the training time per trial of {count(len(shown), 'arm')} in "
            f"{show_text(block)}. Fastest: {show_text(cheapest[0].arm)}, {duration(cheapest[2])}, "
            f"{measure.value(cheapest[1])}; slowest: {show_text(dearest[0].arm)}, {duration(dearest[2])}, "
            f"{measure.value(dearest[1])}."
        ),
        data=traces,
        layout=make_layout(
            420,
            xaxis={"title": {"text": "training time per trial, seconds"}, **scale},
            yaxis=metric_axis(measure.record, measure.label),
        ),
    )
