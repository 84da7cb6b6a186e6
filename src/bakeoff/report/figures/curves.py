"""Learning curves, training above validation: every arm's mean, and its replicates as faint lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bakeoff.report.curves import ArmCurve
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.shared import LOG_RATIO, metric_axis, metric_format, round_all
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, Style, label_text, make_layout, style_of
from bakeoff.report.tables import order_arms
from bakeoff.report.text import count, show_text
from bakeoff.stats.metrics import MetricRecord, find_metric

MAX_ARMS = 10
MAX_LINES, MIN_TRIALS = 50, 3
"""Maximum number of faint lines in a panel; they are divided among the arms, but each has at least MIN_TRIALS."""
MAX_SINGLE_TICKS = 8


def draw_curves(report: ReportInput, block: str, metric: str = "loss") -> FigureSpec | None:
    """Draw one metric's learning curves in one block; None if no epoch of it is recorded.

    Of more than MAX_ARMS, those with the best scores are shown. Both panels have the same scale, so that training and
    validation can be compared; it is logarithmic for a metric that is not a share and spans more than a decade.
    """
    record = find_metric(metric)
    curves = [curve for curve in report.curves if (curve.block, curve.metric) == (block, metric)]
    ranked = [arm.arm for arm in order_arms(report.summary, block)]
    found = [arm for arm in ranked if any(curve.arm == arm for curve in curves)]
    if not found:
        return None
    best = set(found[:MAX_ARMS])
    shown = [arm for arm in report.summary.arm_labels if arm in best]
    styles = {arm: style_of(position) for position, arm in enumerate(shown)}
    drawn = [curve for arm in shown for curve in curves if curve.arm == arm]
    is_split = {curve.split for curve in drawn} == {"train", "validation"}
    most = max(MIN_TRIALS, MAX_LINES // len(shown))
    traces = [trace for curve in drawn for trace in _draw_curve(curve, styles[curve.arm], record, is_split, most)]
    return FigureSpec(
        title=f"Learning curves: {record.label}",
        alt=_describe(drawn, shown, len(found), record, block),
        data=traces,
        layout=_lay_out(drawn, record, is_split),
    )


def _draw_curve(
    curve: ArmCurve, style: Style, record: MetricRecord, is_split: bool, most_trials: int
) -> list[dict[str, Any]]:
    lower = curve.split == "validation" and is_split
    common: dict[str, Any] = {
        "type": "scatter",
        "legendgroup": curve.arm,
        "x": list(curve.epochs),
        "xaxis": "x2" if lower else "x",
        "yaxis": "y2" if lower else "y",
    }
    shown = curve.trials[:most_trials] if max(curve.num_training) > 1 else ()
    # One trace with gaps for all trials, because browsers draw it much faster than a trace for each.
    faint = {
        **common,
        "x": [epoch for _ in shown for epoch in (*curve.epochs, None)],
        "y": [value for trial in shown for value in (*round_all(trial), None)],
        "mode": "lines",
        "line": {"color": style.color, "width": 1},
        "opacity": 0.35,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    name = label_text(curve.arm)
    mean = {
        **common,
        "mode": "lines+markers",
        "name": name,
        "y": round_all(curve.mean),
        "text": [f"{name}, {curve.split}, mean of {count(number, 'trial')}" for number in curve.num_training],
        "hovertemplate": f"%{{text}}<br>epoch %{{x}}: %{{y:{metric_format(record)}}}<extra></extra>",
        "line": {"color": style.color, "width": 2.5, "dash": style.dash},
        "marker": {"symbol": style.symbol, "size": 7, "color": style.color, "maxdisplayed": 8},
        "showlegend": lower or not is_split,
    }
    return [faint, mean] if shown else [mean]


def _lay_out(drawn: Sequence[ArmCurve], record: MetricRecord, is_split: bool) -> dict[str, Any]:
    values = [value for curve in drawn for value in curve.mean if value is not None]
    is_log = not record.is_share and bool(values) and min(values) > 0 and max(values) > LOG_RATIO * min(values)
    scale = {"type": "log", "dtick": "D2"} if is_log else {}
    axis: dict[str, Any] = {"title": {"text": "epoch"}, "tickformat": "d"}
    if max(curve.epochs[-1] for curve in drawn) <= MAX_SINGLE_TICKS:
        axis["dtick"] = 1  # prevents ticks between epochs
    if not is_split:
        only = drawn[0].split
        return make_layout(360, xaxis=axis, yaxis={**metric_axis(record, f"{only} {record.label}"), **scale})
    rule = {"type": "line", "xref": "paper", "yref": "paper", "line": {"color": NEUTRAL, "width": 1}}
    return make_layout(
        620,
        xaxis={"anchor": "y", "matches": "x2", "showticklabels": False},
        xaxis2={**axis, "anchor": "y2"},
        yaxis={**metric_axis(record, f"training {record.label}"), **scale, "domain": [0.53, 1]},
        yaxis2={**metric_axis(record, f"validation {record.label}"), **scale, "domain": [0, 0.47], "matches": "y"},
        shapes=[{**rule, "x0": 0, "x1": 1, "y0": 0.5, "y1": 0.5}],
    )


def _describe(drawn: Sequence[ArmCurve], shown: Sequence[str], num_arms: int, record: MetricRecord, block: str) -> str:
    ends = []
    for curve in drawn:
        reached = [(epoch, value) for epoch, value in zip(curve.epochs, curve.mean, strict=True) if value is not None]
        if curve.split == "validation" and reached:
            value = f"{reached[-1][1]:{'.2%' if record.is_share else '.4f'}}"
            ends.append(f"{show_text(curve.arm)} {value} at epoch {reached[-1][0]}")
    which = count(len(shown), "arm") if len(shown) == num_arms else f"the best {len(shown)} of {num_arms:,} arms"
    means = f" Mean validation {record.label} at the end: {'; '.join(ends[:6])}." if ends else ""
    return (
        f"Line chart of training and validation {record.label} by epoch for {which} in {show_text(block)}; a mean ends "
        f"where fewer than half of the arm's trials still train.{means}"
    )
