"""What a score costs: training time, or the network's size, against the deciding metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import (
    LOG_RATIO,
    interval_of_mean,
    metric_axis,
    metric_format,
    round_all,
    scatter,
    whiskers,
)
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import Style, label_text, make_layout, style_of
from bakeoff.report.text import count, duration, show_text
from bakeoff.stats.results import ArmSummary, Summary

MAX_NAMED = 10


@dataclass(frozen=True)
class _Priced:
    """One arm that has both: its mean score, and what it costs."""

    arm: ArmSummary
    mean: float
    cost: float


def draw_cost(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw each arm's mean score against its mean training time per trial; None for fewer than two arms.

    A trial's time is its share of its cohort's, and of computing a frozen body's features once. Vertical bars are
    Student's t intervals of the means; there are none with folds. Up to MAX_NAMED arms have a symbol and legend entry
    of their own, more share one.
    """
    seconds = {arm.arm: arm.seconds.mean for arm in report.summary.arms_of(block) if arm.seconds is not None}
    shown = _list_priced(report.summary, block, seconds)
    if len(shown) < 2:
        return None
    label = report.summary.measure.label
    return FigureSpec(
        title=f"Training time against {label}",
        alt=_describe(report, block, shown, "training time per trial", ("Fastest", "slowest"), duration),
        data=_draw_arms(report.summary, shown, duration),
        layout=_lay_out(report.summary, shown, "training time per trial, seconds", "~g"),
    )


def draw_size(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw each arm's mean score against its trained parameters; None where fewer than two sizes differ.

    An ensemble has those of all its models. Drawn as `draw_cost` draws times.
    """
    sizes = {cost.arm: cost.num_parameters or 0.0 for cost in report.costs if cost.block == block}
    shown = _list_priced(report.summary, block, sizes)
    if len({each.cost for each in shown}) < 2:
        return None
    label = report.summary.measure.label
    return FigureSpec(
        title=f"Trained parameters against {label}",
        alt=_describe(
            report, block, shown, "number of trained parameters", ("Smallest", "largest"), _format_parameters
        ),
        data=_draw_arms(report.summary, shown, _format_parameters),
        layout=_lay_out(report.summary, shown, "trained parameters", "~s"),
    )


def _format_parameters(number: float) -> str:
    return f"{number:,.0f} parameters"


def _list_priced(summary: Summary, block: str, costs: Mapping[str, float]) -> list[_Priced]:
    measure = summary.measure
    return [
        _Priced(arm, score.mean, costs[arm.arm])
        for arm in summary.arms_of(block)
        if (score := arm.score(measure)) is not None and costs.get(arm.arm, 0.0) > 0
    ]


def _draw_arms(
    summary: Summary, shown: Sequence[_Priced], format_value: Callable[[float], str]
) -> list[dict[str, Any]]:
    is_named = len(shown) <= MAX_NAMED
    return [
        _draw_arm(summary, each, style_of(position if is_named else 0), format_value) | {"showlegend": is_named}
        for position, each in enumerate(shown)
    ]


def _draw_arm(summary: Summary, each: _Priced, style: Style, format_value: Callable[[float], str]) -> dict[str, Any]:
    record = summary.measure.record
    scores = list(each.arm.scores.values())
    interval = None if summary.num_folds else interval_of_mean(scores, summary.confidence)
    trace: dict[str, Any] = scatter(
        "markers",
        round_all([each.cost], 8),
        round_all([each.mean]),
        name=label_text(each.arm.arm),
        text=[f"{label_text(each.arm.arm)}, {format_value(each.cost)}"],
        hover=f"%{{text}}: %{{y:{metric_format(record)}}}",
        marker={"color": style.color, "symbol": style.symbol, "size": 12},
    )
    if interval is not None:
        trace["error_y"] = whiskers([each.mean], [interval], style.color, thickness=1.5)
    return trace


def _lay_out(summary: Summary, shown: Sequence[_Priced], title: str, ticks: str) -> dict[str, Any]:
    measure = summary.measure
    costs = [each.cost for each in shown]
    is_wide = max(costs) > LOG_RATIO * min(costs)
    scale = {"type": "log", "dtick": "D2"} if is_wide else {"rangemode": "tozero"}
    return make_layout(
        420,
        xaxis={"title": {"text": title}, "tickformat": ticks, **scale},
        yaxis=metric_axis(measure.record, measure.label),
    )


def _describe(
    report: ReportInput,
    block: str,
    shown: Sequence[_Priced],
    what: str,
    ends: tuple[str, str],
    format_value: Callable[[float], str],
) -> str:
    measure = report.summary.measure
    least, most = (choose(shown, key=lambda each: each.cost) for choose in (min, max))
    first, last = (
        f"{end}: {show_text(each.arm.arm)}, {format_value(each.cost)}, {measure.value(each.mean)}"
        for end, each in zip(ends, (least, most), strict=True)
    )
    return (
        f"Scatter plot of the {measure.label} against the {what} of {count(len(shown), 'arm')} in "
        f"{show_text(block)}. {first}; {last}."
    )
