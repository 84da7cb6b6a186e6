"""What others published, beside what was measured: figures of arms and classes, and curves of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.stats.classes import class_report
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import MeanSd, TrialResult
from bakeoff.study.published import CLASS_METRICS, Curve, Published

Load = Callable[[str, str], Mapping[str, npt.NDArray[Any]] | None]


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One published value, to be set beside what was measured.

    Attributes:
        metric: a metric's name; precision, recall and f1 are those of one class.
        value: in the metric's unit (shares: 0..1).
        block: None when it holds for every block.
        split: None for the split the verdicts rest on.
        class_name: the class that it is of; None for a figure of all classes.
        note: what has to be known to compare it.
    """

    arm: str
    metric: str
    value: float
    block: str | None = None
    split: Split | None = None
    class_name: str | None = None
    note: str = ""


ClassScores = Mapping[tuple[str, str, Split, str, str], MeanSd]
"""(block, arm, split, class, metric) -> mean and sd over trials, of the classes that figures are published of."""


def list_figures(published: Published | None) -> tuple[PublishedFigure, ...]:
    """Return a study's published figures as reports take them."""
    figures = () if published is None else published.figures
    return tuple(PublishedFigure(**figure.model_dump()) for figure in figures)


def measure_classes(
    figures: Sequence[PublishedFigure],
    results: Iterable[TrialResult],
    class_names: Mapping[str, Sequence[str]],
    load: Load,
) -> ClassScores:
    """Measure the classes that figures are published of, from stored predictions; what is not on disk is left out.

    Args:
        figures: as published.
        results: of the study, votes included.
        class_names: by block.
        load: reads a trial's predictions on a split.
    """
    wanted = {(figure.arm, figure.split or "test") for figure in figures if figure.class_name is not None}
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
                    found.setdefault(key, []).extend([] if value is None else [value])
    return {key: _average(values) for key, values in found.items() if values}


def _average(values: Sequence[float]) -> MeanSd:
    return MeanSd(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def name_curve(curve: Curve) -> str:
    """Name a published curve: what it is of, on which images, and what has to be known."""
    what = "best of a generation" if curve.of == "best" else "mean of a generation"
    note = f", {curve.note}" if curve.note else ""
    return f"{what} ({curve.split} {find_metric(curve.metric).label}{note})"


def choose_curves(curves: Sequence[Curve], block: str, objective: str) -> list[Curve]:
    """Return the published curves of a block that are of what its search is judged by."""
    return [curve for curve in curves if curve.block in (None, block) and curve.metric == objective]
