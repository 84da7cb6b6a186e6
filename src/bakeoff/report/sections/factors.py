"""Which choices matter: main effects and interactions of crossed axes, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.export.frame import Frame, FrameColumn, Kind, Value, unit_of
from bakeoff.report.figures.factors import draw_choices, find_factors
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, Bullets, Figure, Paragraph, Part, Section, Table, by_block
from bakeoff.report.tables import (
    EVERYWHERE,
    NOWHERE,
    PAGES,
    Column,
    Medium,
    format_all,
    numbers,
    phrase,
    texts,
    unit_of_differences,
)
from bakeoff.report.text import p_value
from bakeoff.stats.factor_effects import FactorEffects, FactorRange, Interaction, MainEffect, dump_effects
from bakeoff.stats.factor_wording import (
    list_aliases,
    name_pair,
    write_assumptions,
    write_choices,
    write_gaps,
    write_interactions,
)
from bakeoff.stats.factors import judge_factors
from bakeoff.stats.measure import Measure, percent
from bakeoff.stats.results import Summary, Verdict
from bakeoff.study.factors import list_factors

_MAX_LEVELS = 6


def _gather(sources: Sources) -> dict[str, Any]:
    if not sources.summary.verdicts:
        return {}
    design = list_factors(sources.study.arms, sources.study.design)
    return {} if design is None else {"factors": judge_factors(sources.summary, design)}


def asks_of_choices(report: ReportInput) -> bool:
    """Return whether the arms are a part of all combinations: picked to tell choices apart, not each for its own."""
    found = [find_factors(report, block) for block in report.summary.blocks]
    return any(each is not None and each.design.kind != "full" for each in found)


def tell_choices(report: ReportInput) -> tuple[str, ...]:
    """Return a sentence on the choices of every block, for the answer; none without crossed axes."""
    measure, told = report.summary.measure, []
    for block in report.summary.blocks:
        found = find_factors(report, block)
        sentence = "" if found is None else write_choices(found, measure)
        if sentence:
            where = f" on {block}" if len(report.summary.blocks) > 1 else ""
            order = "" if found is None or found.screen is not None else ", the largest first"
            told.append(f"Choice by choice{where}{order}: {sentence}")
    return tuple(told)


def write_factors(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield a block's choices, main effects and interactions; nothing without crossed axes."""
    found = find_factors(report, block)
    if found is None:
        return
    summary = report.summary
    lines = describe_factors(summary, found)
    yield Bullets(lines=lines)
    if gaps := write_gaps(found):
        yield Paragraph(text=gaps, media=Medium.TERMINAL)
    if not found.effects:
        return
    yield Figure(draw=draw_choices)
    yield _table_choices(summary, found)
    yield Table(
        caption="Main effects: each level averaged over the levels of the other choices",
        label="effects",
        paper=" ".join([f"{block}: main effects.", *lines]),
        columns=tabulate_effects(summary, found.effects),
        media=PAGES | Medium.LATEX,
    )
    if found.interactions:
        yield Table(
            caption="Interactions: the largest difference of differences of every two choices",
            label="interactions",
            paper=f"{block}: the largest interaction of every two choices, a difference of differences of two levels "
            "of each.",
            columns=tabulate_interactions(summary, found.largest_interactions),
            media=PAGES | Medium.LATEX,
        )
        interactions = write_interactions(found, summary.measure)
        yield Paragraph(text=interactions, media=_terminal(summary))


def _terminal(summary: Summary) -> Medium:
    return Medium.TERMINAL if len(summary.blocks) <= MOST_BLOCKS_IN_FULL else NOWHERE


def describe_factors(summary: Summary, found: FactorEffects) -> tuple[str, ...]:
    """Say what a block shows of its choices, what is missing, aliased and assumed, a sentence or two each."""
    measure = summary.measure
    title = found.design.title
    fraction = (
        f"{len(found.design.cells)} of {found.design.num_cells:,} combinations were run ({title})." if title else ""
    )
    lines = (write_choices(found, measure), write_interactions(found, measure), write_gaps(found), fraction)
    assumed = write_assumptions(found, summary) if found.effects else ""
    return tuple(filter(None, [*lines, *list_aliases(found), assumed]))


def _table_choices(summary: Summary, found: FactorEffects) -> Table:
    """Tabulate the choices by how much they matter: range, interval, level means."""
    measure, ranges = summary.measure, found.ranges
    unit = unit_of_differences(measure)
    sign = 1 if measure.record.higher_is_better else -1
    ordered = [sorted(each.means, key=lambda level, each=each: -sign * each.means[level]) for each in ranges]  # type: ignore[misc]
    columns = [
        texts("choice", (each.factor for each in ranges)),
        numbers("best to worst", (measure.number(each.range) for each in ranges), "best to worst", unit),
        numbers(
            "interval",
            format_all([each.interval for each in ranges], measure.interval),
            percent(summary.confidence),
            "interval",
        ),
        texts("shown", ("yes" if each.is_shown else "no" for each in ranges), "levels", "shown to differ"),
        texts(
            "level means, best first",
            (_list_means(each, names, measure) for each, names in zip(ranges, ordered, strict=True)),
        ),
    ]
    return Table(
        caption="Which choices matter: the range of their level means",
        label="choices",
        paper=f"{found.block}: which choices matter, by the range of their level means.",
        columns=columns,
        sacrifices=[("drop", "level means, best first"), ("drop", "interval")],
        media=EVERYWHERE if len(summary.blocks) <= MOST_BLOCKS_IN_FULL else PAGES | Medium.LATEX,
    )


def _list_means(choice: FactorRange, names: Sequence[str], measure: Measure) -> str:
    """List a choice's levels with their means; of many, the first ones and the last."""
    told = [f"{name} ({measure.value(choice.means[name])})" for name in names]
    return ", ".join(told if len(told) <= _MAX_LEVELS else [*told[: _MAX_LEVELS - 1], "...", told[-1]])


def tabulate_effects(summary: Summary, effects: Sequence[MainEffect]) -> list[Column]:
    """Tabulate main effects, a row per pair of levels, the better mean on the left."""
    turned = [(effect, _turn(effect.verdict, summary)) for effect in effects]
    return [
        texts("choice", (effect.factor for effect, _ in turned)),
        texts("level", (verdict.a for _, verdict in turned)),
        texts("verdict", (phrase(verdict) for _, verdict in turned), is_verdict=True),
        texts("other level", (verdict.b for _, verdict in turned)),
        *_tabulate_sizes(summary, [verdict for _, verdict in turned]),
        texts("same sign", (_tell_cells(effect) for effect, _ in turned), "same sign", "in all cells"),
    ]


def _tell_cells(effect: MainEffect) -> str:
    if not effect.cells:
        return "-"
    return "yes" if min(effect.cells) > 0 or max(effect.cells) < 0 else "no"


def _turn(verdict: Verdict, summary: Summary) -> Verdict:
    sign = 1 if summary.measure.record.higher_is_better else -1
    return verdict if sign * (verdict.difference or 0.0) >= 0 else verdict.seen_from(verdict.b)


def _tabulate_sizes(summary: Summary, verdicts: Sequence[Verdict]) -> list[Column]:
    measure = summary.measure
    unit = unit_of_differences(measure)
    return [
        numbers(
            "difference",
            format_all([v.difference for v in verdicts], measure.signed),
            "difference",
            unit,
        ),
        numbers(
            "interval",
            format_all([v.interval for v in verdicts], measure.interval),
            percent(summary.confidence),
            "interval",
        ),
        numbers("p", (p_value(v.p_adjusted) for v in verdicts), "p", "adjusted"),
    ]


def tabulate_interactions(summary: Summary, interactions: Sequence[Interaction]) -> list[Column]:
    """Tabulate interactions, a row each: of which choices and levels, how large, how sure."""
    words = {"better": "yes", "worse": "yes", "equivalent": "too small to matter", "inconclusive": "no"}
    return [
        texts("choices", map(name_pair, interactions)),
        texts("levels", (" and ".join(" against ".join(pair) for pair in each.levels) for each in interactions)),
        *_tabulate_sizes(summary, [each.verdict for each in interactions]),
        texts("shown", (words[each.verdict.verdict] for each in interactions)),
    ]


def _tabulate_all(report: ReportInput) -> Frame:
    """Tabulate every main effect and every interaction, a row each: `kind` is main or interaction."""
    unit = unit_of(report.summary.metric)
    kinds: dict[str, Kind] = dict.fromkeys(
        ("block", "kind", "factor", "level", "verdict", "other_level", "metric", "split"), "text"
    )
    kinds["replicates"] = "integer"
    sized = ("difference", "interval_low", "interval_high")
    kinds |= {f"{name}_{unit}".rstrip("_"): "number" for name in sized}
    kinds |= dict.fromkeys(("confidence", "p", "p_adjusted", "p_equivalence_adjusted"), "number")
    kinds |= {"scope": "text", "same_sign": "text"}
    rows = [row for found in report.facts.get("factors", ()) for row in _list_rows(found, report.summary.confidence)]
    return Frame(tuple(FrameColumn(name, kind) for name, kind in kinds.items()), rows)


def _list_rows(found: FactorEffects, confidence: float) -> Iterator[tuple[Value, ...]]:
    for effect in found.effects:
        yield _make_row("main", effect.factor, effect.verdict, confidence, _tell_cells(effect).replace("-", "") or None)
    for each in found.interactions:
        yield _make_row("interaction", name_pair(each), each.verdict, confidence, None)


def _make_row(kind: str, factor: str, verdict: Verdict, confidence: float, same_sign: str | None) -> tuple[Value, ...]:
    low, high = verdict.interval or (None, None)
    return (
        *(verdict.block, kind, factor, verdict.a, verdict.verdict, verdict.b, verdict.metric, verdict.split),
        *(verdict.replicates, verdict.difference, low, high, confidence),
        *(verdict.p, verdict.p_adjusted, verdict.p_equivalence_adjusted, verdict.scope, same_sign),
    )


def _dump(report: ReportInput) -> dict[str, Any]:
    """Nothing without crossed axes, so that other studies' documents stay as they are."""
    found: Sequence[FactorEffects] = report.facts.get("factors", ())
    return {"factors": [dump_effects(each) for each in found]} if found else {}


SECTION = Section(
    name="factors",
    title="Which choices matter",
    gather=_gather,
    write=by_block(write_factors),
    dump=_dump,
    tables={"effects": _tabulate_all},
)
