"""What several figures need: axes in a metric's unit, intervals of means, places on a categorical axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bakeoff.report.figures.theme import NEUTRAL, label_text
from bakeoff.stats.metrics import MetricRecord

LOG_RATIO = 10.0
"""Above this ratio of the largest to the smallest value, an axis is logarithmic."""


def scatter(mode: str, x: Sequence[Any], y: Sequence[Any], *, hover: str = "", **fields: Any) -> dict[str, Any]:
    """Return a trace of points, lines or both; one without a name stays out of the legend.

    Args:
        mode: markers, lines, ... as plotly has it.
        x: where; None leaves a gap.
        y: likewise.
        hover: what it says where it is pointed at, with %{x}, %{y} and %{text} filled in; without it, nothing.
        fields: others of plotly's.
    """
    told = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    listed = {} if "name" in fields else {"showlegend": False}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, **told, **listed, **fields}


def metric_axis(record: MetricRecord, title: str) -> dict[str, Any]:
    """Return an axis of a metric: shares read as percentages."""
    return {"title": {"text": title}, "tickformat": ".2~%" if record.is_share else ".4~g"}


def metric_format(record: MetricRecord) -> str:
    """Return the d3 format of a metric's value, such as %{x:.2%} without its braces."""
    return ".2%" if record.is_share else ".4f"


def name_axis(names: Sequence[str], **parts: Any) -> dict[str, Any]:
    """Return an axis whose whole numbers are names: names alike, or like numbers, keep places of their own."""
    return {"tickvals": list(range(len(names))), "ticktext": [label_text(name) for name in names], **parts}


def interval_of_mean(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return Student's t interval of the mean of independent values, two-sided; None for fewer than two."""
    from scipy import stats  # takes long to import

    if len(values) < 2:
        return None
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)


def spread(num_values: int, width: float) -> list[float]:
    """Return offsets from -width/2 to width/2 that keep values apart, in a fixed order that shows no trend."""
    offsets = np.linspace(-width / 2, width / 2, num_values) if num_values > 1 else np.zeros(num_values)
    # Multiples of a number without common divisor visit every offset once.
    step = next(k for k in range(max(1, round(0.382 * num_values)), num_values + 2) if np.gcd(k, num_values) == 1)
    return [float(offsets[number * step % num_values]) for number in range(num_values)]


def shade_margin(margin: float | None, scale: float) -> list[dict[str, Any]]:
    """Return the band of differences too small to matter, on the x axis; nothing where the study names no margin."""
    if margin is None:
        return []
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": -scale * margin,
            "x1": scale * margin,
            "y0": 0,
            "y1": 1,
            "fillcolor": NEUTRAL,
            "opacity": 0.15,
            "line": {"width": 0},
            "layer": "below",
        }
    ]


def round_all(values: Sequence[float | None], digits: int = 5) -> list[float | None]:
    """Return values to so many significant digits: a screen shows no more, and the page stays small."""
    return [None if value is None or not np.isfinite(value) else float(f"{value:.{digits}g}") for value in values]


def whiskers(
    means: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    color: str,
    *,
    scale: float = 1.0,
    thickness: float = 2,
    **fields: Any,
) -> dict[str, Any]:
    """Return error bars from each mean to the ends of its interval; none where there is no interval."""
    ends = [(mean, mean) if ends is None else ends for mean, ends in zip(means, intervals, strict=True)]
    return {
        "type": "data",
        "array": round_all([scale * (high - mean) for mean, (_, high) in zip(means, ends, strict=True)]),
        "arrayminus": round_all([scale * (mean - low) for mean, (low, _) in zip(means, ends, strict=True)]),
        "symmetric": False,
        "color": color,
        "thickness": thickness,
        **fields,
    }


def difference_axis(title: str) -> dict[str, Any]:
    """Return an axis of differences, with a line at zero."""
    zero = {"zeroline": True, "zerolinecolor": NEUTRAL, "zerolinewidth": 1.5}
    return {"title": {"text": title}, "tickformat": ".3~g", **zero}


def row_axis(labels: Sequence[str]) -> dict[str, Any]:
    """Return an axis of rows, the first on top, each with a label that plotly shows as it is."""
    rows = {"tickvals": list(range(len(labels))), "ticktext": list(labels), "range": [len(labels) - 0.5, -0.5]}
    return {**rows, "showgrid": False}


def turn_triangle(symbol: str, *, higher_is_better: bool) -> str:
    """Return a symbol that points to where better is: of a metric of which less is better, triangles are turned."""
    other = {"triangle-right": "triangle-left", "triangle-left": "triangle-right"}
    return symbol if higher_is_better else other.get(symbol, symbol)
