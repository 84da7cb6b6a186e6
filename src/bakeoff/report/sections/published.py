"""What others published, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Paragraph, Part, Section, Table
from bakeoff.report.published import PublishedFigure, choose_curves, list_figures, measure_classes, name_curve
from bakeoff.report.tables import PAGES, Column, Medium, numbers, texts
from bakeoff.stats.measure import Measure, Split
from bakeoff.stats.metrics import METRICS, MetricRecord, find_metric
from bakeoff.stats.results import MeanSd
from bakeoff.study.published import CLASS_METRICS


def _gather(sources: Sources) -> dict[str, Any]:
    published, voted = sources.study.published, sources.voted
    if published is None:
        return {}
    figures = list_figures(published)
    return {
        "published_source": published.source,
        "published": figures,
        "published_curves": published.curves,
        "class_scores": measure_classes(figures, voted.results, sources.class_names, voted.load),
    }


def write_published(report: ReportInput) -> Iterator[Part]:
    """Yield the published figures and curves; nothing where none were given."""
    rows, curves = compare_published(report), _tabulate_curves(report)
    if not report.published and not curves:
        return
    source = f"Source: {report.published_source.rstrip('. ')}." if report.published_source else ""
    if source:
        yield Paragraph(text=f"Source: {report.published_source}")
    if rows:
        is_share = report.summary.measure.record.is_share and len({row["metric"] for row in rows}) == 1
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


def compare_published(report: ReportInput) -> list[dict[str, Any]]:
    """Return every published figure with what was measured.

    A figure without a block is compared in every block. `measured` is a mean and sd, or None where nothing fits.
    """
    rows = []
    for figure in report.published:
        split = figure.split or report.summary.split
        for block in report.summary.blocks if figure.block is None else (figure.block,):
            measured = _find_score(report, block, figure, split)
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


def _find_score(report: ReportInput, block: str, figure: PublishedFigure, split: Split) -> MeanSd | None:
    if figure.class_name is not None:
        return report.class_scores.get((block, figure.arm, split, figure.class_name, figure.metric))
    found = (arm for arm in report.summary.arms if (arm.block, arm.arm) == (block, figure.arm))
    return next((arm.on(split).get(figure.metric) for arm in found), None)


def _tabulate_figures(rows: list[dict[str, Any]], head: tuple[str, ...]) -> list[Column]:
    """Tabulate every published figure beside the measured one; a column of notes where there are any."""
    label, published, measured, difference = zip(*map(_spell, rows), strict=True)
    notes = [row["note"] or "" for row in rows]
    return [
        texts("block", (row["block"] for row in rows)),
        texts("arm", (row["arm"] for row in rows)),
        texts("measure", label),
        numbers("published", published),
        numbers("measured", measured),
        numbers("difference", difference, *head),
        *([texts("note", notes)] if any(notes) else []),
    ]


def _spell(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Format one row of `compare_published`: measure, published value, measured mean ± sd, difference."""
    record = _find_record(row["metric"])
    if record is None:
        return f"{row['split']} {row['metric']}", f"{row['published']:g}", "-", "-"
    measure = Measure(record, row["split"])
    label = measure.label if row["class"] is None else f"{measure.label} of {row['class']}"
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
    return replace(record, name=metric, label=record.label.removeprefix("macro "))


def _tabulate_curves(report: ReportInput) -> list[Column]:
    """Tabulate the points of published curves beside what the same generation came to; empty without any."""
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
    curves = [curve.model_dump(mode="json") for curve in report.published_curves]
    figures = compare_published(report)
    return {"published": {"source": report.published_source, "figures": figures, "curves": curves}}


SECTION = Section(
    name="published", title="Published against measured", gather=_gather, write=write_published, dump=_dump
)
