"""Groups of arms against each other, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.parts import Bullets, Part, Section, Table, by_block
from bakeoff.report.tables import PAGES, Column, Medium, format_all, numbers, phrase, texts, unit_of_differences
from bakeoff.report.text import p_value
from bakeoff.stats.groups import GroupLead, dump_lead, judge_groups, write_lead
from bakeoff.stats.measure import percent
from bakeoff.stats.results import Summary


def _gather(sources: Sources) -> dict[str, Any]:
    if not sources.summary.verdicts or not sources.study.groups:
        return {}
    return {"groups": judge_groups(sources.summary, sources.study.groups)}


def _list_leads(report: ReportInput, block: str) -> list[GroupLead]:
    leads: Sequence[GroupLead] = report.facts.get("groups", ())
    return [lead for lead in leads if lead.block == block]


def tell_groups(report: ReportInput) -> tuple[str, ...]:
    """Return a sentence on every two groups, block by block, for the answer; none without groups."""
    summary, several = report.summary, len(report.summary.blocks) > 1
    return tuple(
        f"{f'{block}: ' if several else ''}{write_lead(lead, summary.measure, summary.confidence)}"
        for block in summary.blocks
        for lead in _list_leads(report, block)
    )


def write_groups(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield how the groups stand in a block; nothing without groups."""
    leads = _list_leads(report, block)
    if not leads:
        return
    summary = report.summary
    lines = tuple(write_lead(lead, summary.measure, summary.confidence) for lead in leads)
    family = (
        "An average counts every arm of its group the same. Pairs of groups are a family of their own in a block; "
        '"every arm leads every arm" is said only if each pair of arms is settled by itself.'
    )
    yield Bullets(lines=(*lines, family))
    yield Table(
        caption="Averages of groups of arms",
        label="groups",
        paper=f"{block}: averages of groups of arms. {family}",
        columns=tabulate_groups(summary, leads),
        media=PAGES | Medium.LATEX,
    )


def tabulate_groups(summary: Summary, leads: Sequence[GroupLead]) -> list[Column]:
    """Tabulate the averages of groups, a row per pair that could be compared, the better mean on the left."""
    measure = summary.measure
    sign = 1 if measure.record.higher_is_better else -1
    given = [lead.verdict for lead in leads if lead.verdict is not None]
    verdicts = [v if sign * (v.difference or 0.0) >= 0 else v.seen_from(v.b) for v in given]
    differences = format_all([v.difference for v in verdicts], measure.signed)
    intervals = format_all([v.interval for v in verdicts], measure.interval)
    return [
        texts("group", (v.a for v in verdicts)),
        texts("verdict", map(phrase, verdicts), is_verdict=True),
        texts("other group", (v.b for v in verdicts)),
        numbers("difference", differences, "difference", unit_of_differences(measure)),
        numbers("interval", intervals, percent(summary.confidence), "interval"),
        numbers("p", (p_value(v.p_adjusted) for v in verdicts), "p", "adjusted"),
    ]


def _dump(report: ReportInput) -> dict[str, Any]:
    """Nothing without groups, so that other studies' documents stay as they are."""
    leads: Sequence[GroupLead] = report.facts.get("groups", ())
    return {"groups": [dump_lead(lead) for lead in leads]} if leads else {}


SECTION = Section(name="groups", title="Groups of arms", gather=_gather, write=by_block(write_groups), dump=_dump)
