"""Training time, or the network's size, against the deciding metric."""

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
    """An arm's mean score and cost."""

    arm: ArmSummary
    mean: float
    cost: float


@dataclass(frozen=True)
class _Cost:
    """A kind of cost: its name, axis title, words for the least and most, tick format, and format of values."""

    name: str
    axis: str
    extremes: tuple[str, str]
    ticks: str
    format_value: Callable[[float], str]


_TIME = _Cost("training time", "training time per trial, seconds", ("Fastest", "slowest"), "~g", duration)
_SIZE = _Cost("trained parameters", "trained parameters", ("Smallest", "largest"), "~s", "{:,.0f} parameters".format)


def draw_cost(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw each arm's mean score against its mean training time per trial; None for fewer than two arms.

    Vertical bars are Student's t intervals of the means; with folds there are none. Up to MAX_NAMED arms have their own
    symbol and legend entry.
    """
    seconds = {arm.arm: arm.seconds.mean for arm in report.summary.arms_of(block) if arm.seconds is not None}
    shown = _list_priced(report.summary, block, seconds)
    return _draw(report.summary, block, shown, _TIME) if len(shown) >= 2 else None


def draw_size(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw each arm's mean score against its trained parameters, like `draw_cost`; None unless two sizes differ.

    An ensemble has the parameters of all its models.
    """
    sizes = {cost.arm: cost.num_parameters or 0.0 for cost in report.costs if cost.block == block}
    shown = _list_priced(report.summary, block, sizes)
    return _draw(report.summary, block, shown, _SIZE) if len({each.cost for each in shown}) >= 2 else None


def _draw(summary: Summary, block: str, shown: Sequence[_Priced], kind: _Cost) -> FigureSpec:
    measure = summary.measure
    costs = [each.cost for each in shown]
    is_named = len(shown) <= MAX_NAMED
    is_wide = max(costs) > LOG_RATIO * min(costs)
    scale = {"type": "log", "dtick": "D2"} if is_wide else {"rangemode": "tozero"}
    return FigureSpec(
        title=f"{kind.name.capitalize()} against {measure.label}",
        alt=_describe(summary, block, shown, kind),
        data=[
            _draw_arm(summary, each, style_of(position if is_named else 0), kind) | {"showlegend": is_named}
            for position, each in enumerate(shown)
        ],
        layout=make_layout(
            420,
            xaxis={"title": {"text": kind.axis}, "tickformat": kind.ticks, **scale},
            yaxis=metric_axis(measure.record, measure.label),
        ),
    )


def _list_priced(summary: Summary, block: str, costs: Mapping[str, float]) -> list[_Priced]:
    measure = summary.measure
    return [
        _Priced(arm, score.mean, costs[arm.arm])
        for arm in summary.arms_of(block)
        if (score := arm.score(measure)) is not None and costs.get(arm.arm, 0.0) > 0
    ]


def _draw_arm(summary: Summary, each: _Priced, style: Style, kind: _Cost) -> dict[str, Any]:
    record = summary.measure.record
    scores = list(each.arm.scores.values())
    interval = None if summary.num_folds else interval_of_mean(scores, summary.confidence)
    trace: dict[str, Any] = scatter(
        "markers",
        round_all([each.cost], 8),
        round_all([each.mean]),
        name=label_text(each.arm.arm),
        text=[f"{label_text(each.arm.arm)}, {kind.format_value(each.cost)}"],
        hover=f"%{{text}}: %{{y:{metric_format(record)}}}",
        marker={"color": style.color, "symbol": style.symbol, "size": 12},
    )
    if interval is not None:
        trace["error_y"] = whiskers([each.mean], [interval], style.color, thickness=1.5)
    return trace


def _describe(summary: Summary, block: str, shown: Sequence[_Priced], kind: _Cost) -> str:
    measure = summary.measure
    least, most = (choose(shown, key=lambda each: each.cost) for choose in (min, max))
    first, last = (
        f"{word}: {show_text(each.arm.arm)}, {kind.format_value(each.cost)}, {measure.value(each.mean)}"
        for word, each in zip(kind.extremes, (least, most), strict=True)
    )
    return (
        f"Scatter plot of the {measure.label} against the {kind.name} of {count(len(shown), 'arm')} in "
        f"{show_text(block)}. {first}; {last}."
    )
