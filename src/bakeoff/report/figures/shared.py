"""Axes, traces and formats that several figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bakeoff.report.figures.theme import NEUTRAL, label_text
from bakeoff.report.text import count
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import MetricRecord, find_metric
from bakeoff.stats.results import Verdict
from bakeoff.study.search_settings import COSTS

LOG_RATIO = 10.0
"""If the largest value exceeds the smallest by this factor, an axis is logarithmic."""


def scatter(mode: str, x: Sequence[Any], y: Sequence[Any], *, hover: str = "", **fields: Any) -> dict[str, Any]:
    """Return a trace of points, lines or both; without a name, it has no legend entry.

    Args:
        mode: plotly's mode: markers, lines, ...
        x: positions; None leaves a gap.
        y: likewise.
        hover: the tooltip, which can use %{x}, %{y} and %{text}; empty for none.
        fields: other fields of the trace.
    """
    tooltip = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    legend = {} if "name" in fields else {"showlegend": False}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, **tooltip, **legend, **fields}


def draw_points(
    name: str,
    points: Sequence[tuple[float | None, float | None, str]],
    marker: Mapping[str, Any],
    *,
    hover: str = "%{text}",
    **fields: Any,
) -> list[dict[str, Any]]:
    """Return a trace of (x, y, text) points, if there are any; see `scatter`."""
    if not points:
        return []
    x, y, text = zip(*points, strict=True)
    return [
        scatter("markers", round_all(x), round_all(y), name=name, text=list(text), hover=hover, marker=marker, **fields)
    ]


def list_some(texts: Sequence[str], noun: str, *, most: int = 8, total: int | None = None) -> str:
    """List the first few texts and count the rest (of `total`), such as "a 97%; b 95%; and 3 more arms"."""
    rest = (len(texts) if total is None else total) - most
    return "; ".join(texts[:most]) + (f"; and {count(rest, f'more {noun}')}" if rest > 0 else "")


def metric_axis(record: MetricRecord, title: str) -> dict[str, Any]:
    """Return an axis of a metric; shares are percentages."""
    return {"title": {"text": title}, "tickformat": ".2~%" if record.is_share else ".4~g"}


def metric_format(record: MetricRecord) -> str:
    """Return the d3 format of a metric's values, such as ".2%"."""
    return ".2%" if record.is_share else ".4f"


def name_objective(objective: str) -> str:
    """Return the name of a search's objective on an axis."""
    return objective if objective in COSTS else f"validation {find_metric(objective).label}"


def objective_axis(objective: str, title: str) -> dict[str, Any]:
    """Return an axis of a search's objective: a cost or a metric."""
    return {"title": {"text": title}} if objective in COSTS else metric_axis(find_metric(objective), title)


def objective_format(objective: str) -> str:
    """Return the d3 format of an objective's values."""
    return ",.4~g" if objective in COSTS else metric_format(find_metric(objective))


def name_axis(names: Sequence[str], **parts: Any) -> dict[str, Any]:
    """Return an axis with a name at each whole number, so that equal or number-like names stay separate."""
    return {"tickvals": list(range(len(names))), "ticktext": [label_text(name) for name in names], **parts}


def interval_of_mean(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return Student's t interval for the mean of independent values; None for fewer than two."""
    from scipy.special import stdtrit  # imported late, because SciPy is slow to import

    if len(values) < 2:
        return None
    half = stdtrit(len(values) - 1, (1 + confidence) / 2) * np.std(values, ddof=1) / np.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)


def spread(num_values: int, width: float) -> list[float]:
    """Return offsets from -width/2 to width/2 that separate values, in a fixed order without a trend."""
    offsets = np.linspace(-width / 2, width / 2, num_values) if num_values > 1 else np.zeros(num_values)
    # Steps of a size that is coprime to the number of values visit every offset once.
    step = next(k for k in range(max(1, round(0.382 * num_values)), num_values + 2) if np.gcd(k, num_values) == 1)
    return [float(offsets[number * step % num_values]) for number in range(num_values)]


def shade_margin(margin: float | None, scale: float) -> list[dict[str, Any]]:
    """Return the band of differences too small to matter, on the x axis; empty without a margin."""
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
    """Round values to significant digits, so that the page stays small; None if not finite."""
    known = [value if value is not None and np.isfinite(value) else None for value in values]
    return [value if value is None or isinstance(value, int) else float(f"{value:.{digits}g}") for value in known]


def whiskers(
    means: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
    color: str,
    *,
    scale: float = 1.0,
    thickness: float = 2,
    **fields: Any,
) -> dict[str, Any]:
    """Return error bars from each mean to the ends of its interval, if it has one."""
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


def draw_verdicts(
    name: str, rows: Sequence[tuple[int, Verdict, str]], measure: Measure, marker: Mapping[str, Any], **bars: Any
) -> list[dict[str, Any]]:
    """Return a trace with the mean differences and intervals of verdicts that share a marker, if there are any.

    Args:
        name: legend entry.
        rows: (row, verdict, tooltip).
        measure: the deciding measure; triangles are mirrored if lower is better.
        marker: plotly's marker.
        bars: fields of the error bars.
    """
    mirrored = {"triangle-right": "triangle-left", "triangle-left": "triangle-right"}
    symbol = marker["symbol"] if measure.record.higher_is_better else mirrored.get(marker["symbol"], marker["symbol"])
    scale = 100.0 if measure.record.is_share else 1.0
    differences = [verdict.difference or 0.0 for _, verdict, _ in rows]
    intervals = [verdict.interval for _, verdict, _ in rows]
    return draw_points(
        name,
        [(scale * difference, row, text) for difference, (row, _, text) in zip(differences, rows, strict=True)],
        {"size": 13, **marker, "symbol": symbol},
        error_x=whiskers(differences, intervals, marker["color"], scale=scale, **bars),
    )


def difference_axis(title: str) -> dict[str, Any]:
    """Return an axis of differences, with a line at zero."""
    zero = {"zeroline": True, "zerolinecolor": NEUTRAL, "zerolinewidth": 1.5}
    return {"title": {"text": title}, "tickformat": ".3~g", **zero}


def row_axis(labels: Sequence[str]) -> dict[str, Any]:
    """Return an axis of rows, the first on top, with labels that plotly shows verbatim."""
    rows = {"tickvals": list(range(len(labels))), "ticktext": list(labels), "range": [len(labels) - 0.5, -0.5]}
    return {**rows, "showgrid": False}
