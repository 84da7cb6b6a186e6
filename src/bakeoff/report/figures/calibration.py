"""Calibration of a block's best arm: accuracy by confidence (reliability curve)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.evidence import BlockEvidence
from bakeoff.report.figures.shared import draw_points, round_all, scatter
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.theme import NEUTRAL, PALETTE, label_text, make_layout
from bakeoff.report.text import count, show_text
from bakeoff.stats.calibration import ReliabilityBin

FEW_PREDICTIONS = 10
_LEAST_SIZE = 6.0
_MOST_SIZE = 18.0


def draw_calibration(report: ReportInput, block: str) -> FigureSpec | None:
    """Draw accuracy against confidence, by bin, for one block's best arm; None if no predictions are stored.

    The area of a point grows with the number of predictions in its bin, over all trials. Bins of fewer than
    FEW_PREDICTIONS are mostly noise: they are hollow, and the line skips them.
    """
    evidence = report.evidence_of(block)
    bins = [each for each in evidence.reliability if each.num_images] if evidence is not None else []
    if evidence is None or not bins:
        return None
    most = max(each.num_images for each in bins)
    sure = [each for each in bins if each.num_images >= FEW_PREDICTIONS]
    few = [each for each in bins if each.num_images < FEW_PREDICTIONS]
    traces = [
        scatter(
            "lines", [0, 1], [0, 1], name="perfect calibration", line={"color": NEUTRAL, "width": 1.5, "dash": "dash"}
        ),
        scatter(
            "lines",
            round_all([each.confidence for each in sure]),
            round_all([each.accuracy for each in sure]),
            line={"color": PALETTE[0], "width": 2},
        ),
        *_draw_bins(sure, most, label_text(evidence.arm), "circle"),
        *_draw_bins(few, most, f"fewer than {FEW_PREDICTIONS} predictions", "circle-open"),
    ]
    axis = {"range": [-0.03, 1.03], "tickformat": ".0%"}
    return FigureSpec(
        title=f"Calibration of {show_text(evidence.arm)}, {evidence.split} split",
        alt=_describe(evidence),
        data=traces,
        layout=make_layout(
            420,
            xaxis={"title": {"text": "probability of the predicted class"}, **axis},
            yaxis={"title": {"text": "fraction correct"}, **axis},
        ),
    )


def _describe(evidence: BlockEvidence) -> str:
    error = evidence.averages.get("expected_calibration_error")
    formatted = "" if error is None else f" Expected calibration error {error:.2%}, mean over trials."
    return (
        f"Line chart of accuracy against the probability of the predicted class for {show_text(evidence.arm)} in "
        f"{show_text(evidence.block)}, {evidence.split} split, {count(evidence.num_trials, 'trial')} together; points "
        f"below the diagonal are overconfident.{formatted}"
    )


def _draw_bins(bins: Sequence[ReliabilityBin], most: int, name: str, symbol: str) -> list[dict[str, Any]]:
    return draw_points(
        name,
        [(each.confidence, each.accuracy, count(each.num_images, "prediction")) for each in bins],
        {
            "color": PALETTE[0],
            "symbol": symbol,
            "size": [round(max(_LEAST_SIZE, _MOST_SIZE * math.sqrt(each.num_images / most)), 1) for each in bins],
            "opacity": 1,
            "line": {"width": 1.5, "color": PALETTE[0]},
        },
        hover="confidence %{x:.1%}, accuracy %{y:.1%}<br>%{text}",
        cliponaxis=False,
    )
