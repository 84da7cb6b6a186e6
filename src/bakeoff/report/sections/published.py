"""Published figures and curves beside measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Paragraph, Part, Section, Table
from bakeoff.report.published import choose_curves, measure_classes, name_curve
from bakeoff.report.tables import PAGES, Column, Medium, format_mean, numbers, texts
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import MetricRecord, find_metric
from bakeoff.stats.results import MeanSd
from bakeoff.study.published import CLASS_METRICS, Figure


def _gather(sources: Sources) -> dict[str, Any]:
    published, voted = sources.study.published, sources.voted
    if published is None:
        return {}
    return {
        "published_source": published.source,
        "published": published.figures,
        "published_curves": published.curves,
        "class_scores": measure_classes(published.figures, voted.results, sources.class_names, voted.load),
    }


def write_published(report: ReportInput) -> Iterator[Part]:
    """Yield the published figures and curves, if there are any."""
    rows, curves = list(_compare(report)), _tabulate_curves(report)
    if not report.published and not curves:
        return
    source = f"Source: {report.published_source.rstrip('. ')}." if report.published_source else ""
    if source:
        yield Paragraph(text=f"Source: {report.published_source}")
    if rows:
        is_share = report.summary.measure.record.is_share and len({row.figure.metric for row in rows}) == 1
        yield Table(
            caption=f"Measured: mean ± standard deviation over {report.summary.runs}",
            label="published",
            paper=f"Published against measured, mean ± standard deviation. {source}".strip(),
            columns=_tabulate_figures(rows, ("difference", "points") if is_share else ("difference",)),
            media=PAGES | Medium.LATEX,
        )
    if curves:
        yield Table(
            caption="By generation; measured: the same generation, on the validation split",
            label="published-curves",
            paper=f"Published by generation, against the validation split here. {source}".strip(),
            columns=curves,
            media=PAGES | Medium.LATEX,
        )


@dataclass(frozen=True)
class _Compared:
    """A published figure and what was measured in one block; `measured` is None without a score to compare."""

    figure: Figure
    block: str
    measured: MeanSd | None

    def format(self) -> tuple[str, str, str, str]:
        """Return the measure, the published value, the measured mean ± sd and the difference."""
        figure = self.figure
        measure = Measure(_find_record(figure.metric), figure.split)
        label = measure.label if figure.class_name is None else f"{measure.label} of {figure.class_name}"
        if self.measured is None:
            return label, measure.value(figure.value), "not measured", "-"
        difference = measure.signed(self.measured.mean - figure.value)
        return label, measure.value(figure.value), format_mean(measure, self.measured), difference


def _compare(report: ReportInput) -> Iterator[_Compared]:
    """Yield every published figure with what was measured; one without a block is compared in every block."""
    for figure in report.published:
        for block in report.summary.blocks if figure.block is None else (figure.block,):
            yield _Compared(figure, block, _find_score(report, block, figure))


def _find_score(report: ReportInput, block: str, figure: Figure) -> MeanSd | None:
    if figure.class_name is not None:
        return report.class_scores.get((block, figure.arm, figure.split, figure.class_name, figure.metric))
    found = (arm for arm in report.summary.arms if (arm.block, arm.arm) == (block, figure.arm))
    return next((arm.on(figure.split).get(figure.metric) for arm in found), None)


def _tabulate_figures(rows: Sequence[_Compared], header: tuple[str, ...]) -> list[Column]:
    """Tabulate published figures beside measured ones, with a column of notes if there are any."""
    label, published, measured, difference = zip(*(row.format() for row in rows), strict=True)
    notes = [row.figure.note for row in rows]
    return [
        texts("block", (row.block for row in rows)),
        texts("arm", (row.figure.arm for row in rows)),
        texts("measure", label),
        numbers("published", published),
        numbers("measured", measured),
        numbers("difference", difference, *header),
        *([texts("note", notes)] if any(notes) else []),
    ]


def _find_record(metric: str) -> MetricRecord:
    """Return the record of a metric; a class's precision, recall and F1 take that of the macro average."""
    if metric not in CLASS_METRICS:
        return find_metric(metric)
    record = find_metric(f"macro_{metric}")
    return replace(record, name=metric, label=record.label.removeprefix("macro "))


def _tabulate_curves(report: ReportInput) -> list[Column]:
    """Tabulate the points of published curves beside the search's values at the same generation."""
    rows: list[tuple[str, ...]] = []
    for search in report.searches:
        own = next((kind for kind in search.kinds if kind.kind == "candidate"), None)
        groups = {group.number: group for group in own.groups} if own is not None else {}
        for curve in choose_curves(report.published_curves, search.block, search.objectives[0]):
            record = find_metric(curve.metric)
            for generation, value in curve.points:
                group = groups.get(generation)
                found = None if group is None else getattr(group, curve.of)
                formatted = "not reached" if found is None else Measure(record, "validation").value(found)
                published = Measure(record, curve.split).value(value)
                rows.append((search.block, name_curve(curve), str(generation), published, formatted))
    if not rows:
        return []
    block, curves, generations, published_values, measured = zip(*rows, strict=True)
    return [
        texts("block", block),
        texts("published curve", curves),
        numbers("generation", generations),
        numbers("published", published_values),
        numbers("measured", measured),
    ]


def _dump(report: ReportInput) -> dict[str, Any]:
    if not report.published and not report.published_curves:
        return {"published": None}
    figures = [
        {
            "block": row.block,
            "arm": row.figure.arm,
            "metric": row.figure.metric,
            "split": row.figure.split,
            "class": row.figure.class_name,
            "published": row.figure.value,
            "measured": None if row.measured is None else asdict(row.measured),
            "note": row.figure.note or None,
        }
        for row in _compare(report)
    ]
    curves = [curve.model_dump(mode="json") for curve in report.published_curves]
    return {"published": {"source": report.published_source, "figures": figures, "curves": curves}}


SECTION = Section(
    name="published", title="Published against measured", gather=_gather, write=write_published, dump=_dump
)
