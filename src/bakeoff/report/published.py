"""Compares published figures and curves with measured ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from bakeoff.report.averages import average
from bakeoff.stats.classes import class_report
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import MeanSd, TrialResult
from bakeoff.study.published import CLASS_METRICS, Curve, Figure

Load = Callable[[str, str], Mapping[str, npt.NDArray[Any]] | None]


ClassScores = Mapping[tuple[str, str, Split, str, str], MeanSd]
"""(block, arm, split, class, metric) -> mean and sd over trials, for the classes that have published figures."""


def measure_classes(
    figures: Sequence[Figure],
    results: Iterable[TrialResult],
    class_names: Mapping[str, Sequence[str]],
    load: Load,
) -> ClassScores:
    """Compute the scores of the classes that have published figures, as far as predictions are stored."""
    wanted = {(figure.arm, figure.split) for figure in figures if figure.class_name is not None}
    found: dict[tuple[str, str, Split, str, str], list[float]] = {}
    for result in results:
        for arm, split in wanted:
            predictions = load(result.trial_id, split) if arm == result.arm and result.state == "done" else None
            if predictions is None:
                continue
            scores = class_report(predictions["probabilities"], predictions["labels"], class_names[result.block])
            for row in scores.classes:
                for metric in CLASS_METRICS:
                    value = getattr(row, metric)
                    key = (result.block, arm, split, row.name, metric)
                    if value is not None:
                        found.setdefault(key, []).append(value)
    return {key: average(values) for key, values in found.items()}


def name_curve(curve: Curve) -> str:
    """Return the name of a published curve: what it shows, on which split, and its note."""
    what = "best of a generation" if curve.of == "best" else "mean of a generation"
    note = f", {curve.note}" if curve.note else ""
    return f"{what} ({curve.split} {find_metric(curve.metric).label}{note})"


def choose_curves(curves: Sequence[Curve], block: str, objective: str) -> list[Curve]:
    """Return the published curves of a block for the objective of its search."""
    return [curve for curve in curves if curve.block in (None, block) and curve.metric == objective]
