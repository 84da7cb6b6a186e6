"""What others published, beside what was measured: figures of arms and classes, and curves of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bakeoff.analysis.classes import class_report
from bakeoff.analysis.measure import Measure, Split
from bakeoff.analysis.metrics import METRICS, MetricRecord, find_metric
from bakeoff.analysis.results import MeanSd, Summary, TrialResult
from bakeoff.report.tables import Column
from bakeoff.report.text import show_text
from bakeoff.study.published import CLASS_METRICS, Curve, Published

if TYPE_CHECKING:
    from bakeoff.report.document import ReportInput

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


def compare_published(report: ReportInput) -> list[dict[str, Any]]:
    """Return every published figure with what was measured.

    A figure without a block is compared in every block. `measured` is a mean and sd, or None where nothing fits.
    """
    rows = []
    for figure in report.published:
        split = figure.split or report.summary.split
        for block in report.summary.blocks if figure.block is None else (figure.block,):
            measured = _measured(report, block, figure, split)
            rows.append(
                {
                    "block": block,
                    "arm": figure.arm,
                    "metric": figure.metric,
                    "split": split,
                    "class": figure.class_name,
                    "published": figure.value,
                    "measured": None if measured is None else {"mean": measured.mean, "sd": measured.sd},
                    "note": figure.note or None,
                }
            )
    return rows


def _measured(report: ReportInput, block: str, figure: PublishedFigure, split: Split) -> MeanSd | None:
    if figure.class_name is not None:
        return report.class_scores.get((block, figure.arm, split, figure.class_name, figure.metric))
    return _find_score(report.summary, block, figure.arm, figure.metric, split)


def _find_score(summary: Summary, block: str, arm: str, metric: str, split: Split) -> MeanSd | None:
    for candidate in summary.arms:
        if (candidate.block, candidate.arm) == (block, arm):
            return candidate.on(split).get(metric)
    return None


def spell_published(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Spell one row of `compare_published`: measure, published value, measured mean ± sd, difference."""
    record = _find_record(row["metric"])
    if record is None:
        return f"{row['split']} {row['metric']}", f"{row['published']:g}", "-", "-"
    measure = Measure(record, row["split"])
    label = measure.label if row["class"] is None else f"{measure.label} of {show_text(row['class'])}"
    measured = row["measured"]
    if measured is None or measured["mean"] is None:
        return label, measure.value(row["published"]), "not measured", "-"
    spread = "" if measured["sd"] is None else f" ± {measure.number(measured['sd'])}"
    difference = measure.signed(measured["mean"] - row["published"])
    return label, measure.value(row["published"]), measure.value(measured["mean"]) + spread, difference


def _find_record(metric: str) -> MetricRecord | None:
    """Return the record of a metric; a class's own reads as that of the macro average it goes into."""
    name = f"macro_{metric}" if metric in CLASS_METRICS else metric
    record = next((record for record in METRICS if record.name == name), None)
    if record is None or name == metric:
        return record
    label = record.label.removeprefix("macro ")
    return MetricRecord(**{**vars(record), "name": metric, "label": label})


def tabulate_published(report: ReportInput) -> list[Column]:
    """Tabulate every published figure beside the measured one; a column of notes where there are any."""
    rows = compare_published(report)
    cells = [(row["block"], row["arm"], *spell_published(row), row["note"] or "") for row in rows]
    headers = ["block", "arm", "measure", "published", "measured", "difference", "note"]
    if not any(row["note"] for row in rows):
        headers.pop()
    return [
        Column(key=header, header=(header,), cells=tuple(row[n] for row in cells), is_number=header in _NUMBERS)
        for n, header in enumerate(headers)
    ]


_NUMBERS = ("generation", "published", "measured", "difference")


def name_curve(curve: Curve) -> str:
    """Name a published curve: what it is of, on which images, and what has to be known."""
    what = "best of a generation" if curve.of == "best" else "mean of a generation"
    note = f", {curve.note}" if curve.note else ""
    return f"{what} ({curve.split} {find_metric(curve.metric).label}{note})"


def choose_curves(curves: Sequence[Curve], block: str, objective: str) -> list[Curve]:
    """Return the published curves of a block that are of what its search is judged by."""
    return [curve for curve in curves if curve.block in (None, block) and curve.metric == objective]


def tabulate_curves(report: ReportInput) -> list[Column]:
    """Tabulate the points of published curves beside what the same generation came to on the validation split."""
    rows: list[tuple[str, ...]] = []
    for search in report.searches:
        own = next((kind for kind in search.kinds if kind.kind == "candidate"), None)
        groups = {group.number: group for group in own.groups} if own is not None else {}
        for curve in choose_curves(report.published_curves, search.block, search.objectives[0]):
            for generation, value in curve.points:
                group = groups.get(generation)
                found = None if group is None else getattr(group, curve.of)
                published, measured = (
                    Measure(find_metric(curve.metric), split) for split in (curve.split, "validation")
                )
                spelled = "not reached" if found is None else measured.value(found)
                rows.append((search.block, name_curve(curve), str(generation), published.value(value), spelled))
    headers = ("block", "published curve", "generation", "published", "measured")
    return [
        Column(key=header, header=(header,), cells=tuple(row[n] for row in rows), is_number=header in _NUMBERS)
        for n, header in enumerate(headers)
        if rows
    ]
