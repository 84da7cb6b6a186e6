"""What several figures need: axes in a metric's unit, intervals of means, places on a categorical axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bakeoff.analysis.metrics import MetricRecord
from bakeoff.report.figures.theme import NEUTRAL, label_text


def metric_axis(record: MetricRecord, title: str) -> dict[str, Any]:
    """Return an axis of a metric: shares read as percentages."""
    return {"title": {"text": title}, "tickformat": ".2~%" if record.is_share else ".4~g"}


def metric_format(record: MetricRecord) -> str:
    """Return the d3 format of a metric's value, such as %{x:.2%} without its braces."""
    return ".2%" if record.is_share else ".4f"


def name_axis(names: Sequence[str], **parts: Any) -> dict[str, Any]:
    """Return an axis whose whole numbers are names: names alike, or like numbers, keep places of their own."""
    return {"tickvals": list(range(len(names))), "ticktext": [label_text(name) for name in names], **parts}


def difference_axes(title: str, rows: Sequence[str]) -> dict[str, Any]:
    """Return the axes of differences that lie in named rows, the first on top, with a line at no difference."""
    return {
        "xaxis": {
            "title": {"text": title},
            "tickformat": ".3~g",
            "zeroline": True,
            "zerolinecolor": NEUTRAL,
            "zerolinewidth": 1.5,
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": list(rows),
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
        },
    }


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


def error_bar(mean: float, interval: tuple[float, float] | None) -> tuple[float, float]:
    """Return how far an interval reaches above and below its mean; 0 where there is none."""
    return (0.0, 0.0) if interval is None else (interval[1] - mean, mean - interval[0])
