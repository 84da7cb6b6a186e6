"""Columns of tables, and helpers to make them: measures, orders, means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import TypeVar

from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import CLASSES_ABSENT
from bakeoff.stats.results import ArmSummary, MeanSd, Summary, Verdict, rank_arms

T = TypeVar("T")

MOST_ROWS = 100
"""Maximum rows of a table of classes; `--format csv --table classes` has all."""


class Medium(Flag):
    """The outputs that show a part of a report or a column of a table."""

    TERMINAL = auto()
    MARKDOWN = auto()
    HTML = auto()
    LATEX = auto()


PAGES = Medium.MARKDOWN | Medium.HTML
EVERYWHERE = PAGES | Medium.TERMINAL | Medium.LATEX
NOWHERE = Medium(0)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        key: its stable name.
        header: lines of its header.
        cells: one text per row.
        short: the cells without spreads, for when space is tight.
        is_number: right-aligned.
        is_verdict: cells start with a verdict, which may be shown as a sign and a colour.
        notes: a quieter second line of each cell.
        bold: rows in bold in print.
        marks: row -> sign after its value in print.
        media: the outputs that show it.
    """

    key: str
    header: tuple[str, ...]
    cells: tuple[str, ...]
    short: tuple[str, ...] | None = None
    is_number: bool = True
    is_verdict: bool = False
    notes: tuple[str, ...] | None = None
    bold: tuple[int, ...] = ()
    marks: Mapping[int, str] = field(default_factory=dict)
    media: Medium = EVERYWHERE


def texts(key: str, cells: Iterable[str], *header: str, is_verdict: bool = False) -> Column:
    """Return a column of texts; the header defaults to the key."""
    return Column(key=key, header=header or (key,), cells=tuple(cells), is_number=False, is_verdict=is_verdict)


def numbers(key: str, cells: Iterable[str], *header: str) -> Column:
    """Return a column of formatted numbers; the header defaults to the key."""
    return Column(key=key, header=header or (key,), cells=tuple(cells))


def format_all(values: Iterable[T | None], format_value: Callable[[T], str] = str) -> Iterator[str]:
    """Format values, None as a dash."""
    return ("-" if value is None else format_value(value) for value in values)


def leave_out(columns: Iterable[Column], media: Medium, keep: Callable[[Column], bool]) -> list[Column]:
    """Return columns with all but those to keep hidden in some media."""
    return [column if keep(column) else replace(column, media=column.media & ~media) for column in columns]


def decider_of(summary: Summary) -> str:
    """Return the key of the deciding metric's column."""
    return f"{summary.split} {summary.metric}"


def order_arms(summary: Summary, block: str) -> list[ArmSummary]:
    """Return the arms of a block, best mean first, arms without a score last."""
    arms = summary.arms_of(block)
    ranked = rank_arms(arms, summary.measure)
    return ranked + [arm for arm in arms if not arm.scores]


def verdicts_against(summary: Summary, block: str, reference: str) -> dict[str, Verdict]:
    """Return the verdict on each arm of a block relative to one of them, by arm."""
    found = [verdict for verdict in summary.verdicts_of(block) if reference in (verdict.a, verdict.b)]
    seen = (verdict.seen_from(verdict.b if verdict.a == reference else verdict.a) for verdict in found)
    return {verdict.a: verdict for verdict in seen}


def order_verdicts(summary: Summary, block: str) -> list[Verdict]:
    """Return the verdicts of a block, the better mean on the left, in the order of the score table."""
    order = {arm.arm: position for position, arm in enumerate(order_arms(summary, block))}
    seen = [v.seen_from(min(v.a, v.b, key=order.__getitem__)) for v in summary.verdicts_of(block)]
    return sorted(seen, key=lambda v: (order[v.a], order[v.b]))


def phrase(verdict: Verdict) -> str:
    """Return the verdict as it reads between two names: "better than", "equivalent to", ..."""
    link = {"better": " than", "worse": " than", "equivalent": " to", "inconclusive": " against"}
    return verdict.verdict + link[verdict.verdict]


def unit_of_differences(measure: Measure) -> str:
    """Return the unit in the header of a column of differences."""
    return "points" if measure.record.is_share else measure.record.label


def format_difference(measure: Measure, difference: float) -> str:
    """Format a difference with its sign and unit, such as "+0.12 points"."""
    return f"{measure.signed(difference)}{measure.unit_of_difference}"


def format_mean(measure: Measure, score: MeanSd, *, unit: bool = True) -> str:
    """Format a mean and its standard deviation, such as "97.92% ± 0.31" or, without the unit, "97.92 ± 0.31"."""
    mean = measure.value(score.mean) if unit else measure.number(score.mean)
    return mean if score.sd is None else f"{mean} ± {measure.number(score.sd)}"


def tabulate_measure(measure: Measure, arms: Sequence[ArmSummary]) -> Column:
    """Tabulate mean ± sd of one measure, a row per arm."""
    unit = " %" if measure.record.is_share else ""
    label = measure.record.label + unit + _mark_absent(measure, arms)
    header = (label,) if measure.record.is_column else (measure.split, label)
    values = [arm.score(measure) for arm in arms]
    return tabulate_means(f"{measure.split} {measure.record.name}", header, values, measure.number)


def tabulate_means(
    key: str, header: tuple[str, ...], values: Sequence[MeanSd | None], format_value: Callable[[float], str]
) -> Column:
    """Tabulate mean ± sd; None is a dash."""
    short = tuple(format_all([None if value is None else value.mean for value in values], format_value))
    spreads = ["" if value is None or value.sd is None else f" ± {format_value(value.sd)}" for value in values]
    cells = tuple(mean + spread for mean, spread in zip(short, spreads, strict=True))
    return Column(key=key, header=header, cells=cells, short=short)


def break_name(name: str) -> tuple[str, ...]:
    """Break a long name after its separators, for a narrow column."""
    lines = [""]
    for character in name:
        lines[-1] += character
        if character in "_-,; " and len(lines[-1]) > 3:
            lines.append("")
    return tuple(line.strip() for line in lines if line.strip())


def _mark_absent(measure: Measure, arms: Sequence[ArmSummary]) -> str:
    """Return a mark for a macro average that leaves out classes without images; a note in the report names them."""
    absent = any(CLASSES_ABSENT in arm.on(measure.split) for arm in arms)
    return " (classes present)" if absent and measure.record.name.startswith("macro_") else ""


def pick_worst(rows: Sequence[T], scores: Sequence[float | None]) -> list[T]:
    """Return all rows or, if there are more than MOST_ROWS, those with the lowest scores, lowest first."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    ranked = sorted((score, position) for position, score in enumerate(scores) if score is not None)
    return [rows[position] for _, position in ranked[:MOST_ROWS]]


def describe_rows(num_classes: int, num_shown: int) -> str:
    """Return which classes a table shows, such as "all 26 classes"."""
    if num_shown == num_classes:
        return f"all {num_classes} classes"
    return f"the {num_shown} hardest of {num_classes:,} classes, lowest F1 first; all: --format csv --table classes"
