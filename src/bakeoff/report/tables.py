"""The columns that tables are made of, and what every section needs to make them: measures, orders, means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag, auto

from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import CLASSES_ABSENT
from bakeoff.stats.results import ArmSummary, MeanSd, Summary, Verdict, rank_arms


class Medium(Flag):
    """Where a part of a report, or a column of a table, is shown."""

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
        header: lines of its head, top to bottom.
        cells: one text per row.
        short: the same without spreads, where space is tight; None when there is nothing to leave out.
        is_number: set flush right.
        is_verdict: whether its cells begin with the word of a verdict, which may be shown as a sign and a colour.
        notes: a second, quieter line of each cell, where there is room for one.
        bold: rows whose value is set bold in print; `marks`: row -> sign behind its value in print.
        media: those whose tables have it.
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
    """Return a column of texts; its head is its key where none is given."""
    return Column(key=key, header=header or (key,), cells=tuple(cells), is_number=False, is_verdict=is_verdict)


def numbers(key: str, cells: Iterable[str], *header: str) -> Column:
    """Return a column of formatted numbers; its head is its key where none is given."""
    return Column(key=key, header=header or (key,), cells=tuple(cells))


def leave_out(columns: Iterable[Column], media: Medium, keep: Callable[[Column], bool]) -> list[Column]:
    """Return columns of which some media show only those to keep."""
    return [column if keep(column) else replace(column, media=column.media & ~media) for column in columns]


def decider_of(summary: Summary) -> str:
    """Return the key of the column of the deciding metric."""
    return f"{summary.split} {summary.metric}"


def order_arms(summary: Summary, block: str) -> list[ArmSummary]:
    """Return the arms of a block, best mean first, those without a score last."""
    arms = summary.arms_of(block)
    ranked = rank_arms(arms, summary.measure)
    return ranked + [arm for arm in arms if not arm.scores]


def order_verdicts(summary: Summary, block: str) -> list[Verdict]:
    """Return every verdict of a block, the better mean on the left, in the order of the score table."""
    order = {arm.arm: position for position, arm in enumerate(order_arms(summary, block))}
    seen = [v.seen_from(min(v.a, v.b, key=order.__getitem__)) for v in summary.verdicts_of(block)]
    return sorted(seen, key=lambda v: (order[v.a], order[v.b]))


def phrase(verdict: Verdict) -> str:
    """Return the verdict as it stands between two names: "better than", "equivalent to", ..."""
    link = {"better": " than", "worse": " than", "equivalent": " to", "inconclusive": " against"}
    return verdict.verdict + link[verdict.verdict]


def tabulate_measure(measure: Measure, arms: Sequence[ArmSummary]) -> Column:
    """Tabulate one measure, a row per arm: mean ± sd, a dash where it was not measured."""
    unit = " %" if measure.record.is_share else ""
    header = (measure.split, measure.record.label + unit + _mark_absent(measure, arms))
    values = [arm.score(measure) for arm in arms]
    return tabulate_means(f"{measure.split} {measure.record.name}", header, values, measure.number)


def tabulate_means(
    key: str, header: tuple[str, ...], values: Sequence[MeanSd | None], format_value: Callable[[float], str]
) -> Column:
    """Tabulate means ± sd, a dash where there is none."""
    short = tuple("-" if value is None else format_value(value.mean) for value in values)
    spreads = ["" if value is None or value.sd is None else f" ± {format_value(value.sd)}" for value in values]
    cells = tuple(mean + spread for mean, spread in zip(short, spreads, strict=True))
    return Column(key=key, header=header, cells=cells, short=short)


def break_name(name: str) -> tuple[str, ...]:
    """Break a long name after its separators, so that a narrow column can carry it."""
    lines = [""]
    for character in name:
        lines[-1] += character
        if character in "_-,; " and len(lines[-1]) > 3:
            lines.append("")
    return tuple(line.strip() for line in lines if line.strip())


def _mark_absent(measure: Measure, arms: Sequence[ArmSummary]) -> str:
    """Return a mark for a macro average that leaves out classes without images; a note of the report says which."""
    absent = any(CLASSES_ABSENT in arm.on(measure.split) for arm in arms)
    return " (classes present)" if absent and measure.record.name.startswith("macro_") else ""
