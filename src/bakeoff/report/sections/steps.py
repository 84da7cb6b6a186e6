"""An ablation chain step by step: what each version changes, its scores, and what the change adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.steps import draw_steps
from bakeoff.report.parts import Bullets, Figure, Paragraph, Part, Section, Table, by_block, terminal_if_few
from bakeoff.report.sections.basis import describe_statistics
from bakeoff.report.tables import (
    PAGES,
    Column,
    Medium,
    decider_of,
    format_all,
    format_difference,
    leave_out,
    numbers,
    tabulate_measure,
    texts,
    unit_of_differences,
)
from bakeoff.report.text import count, p_value
from bakeoff.stats.measure import SPLITS, Measure, Split, join_names, percent
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import Summary
from bakeoff.stats.steps import ChainStep, compare_steps
from bakeoff.study.chain import list_steps

_OUTCOMES = {
    "better": ("helps", "help"),
    "worse": ("harms", "harm"),
    "equivalent": ("changes too little to matter", "change too little to matter"),
}
_SINCE = ("verdict", "since start")


def _gather(sources: Sources) -> dict[str, Any]:
    if not sources.summary.verdicts:
        return {}
    study = sources.study
    return {"steps": compare_steps(sources.summary, list_steps(study.arms, study.ensembles, study.decide.steps))}


def write_steps(report: ReportInput, block: str) -> Iterator[Part]:
    """Yield a block's chain, if the study has one."""
    summary = report.summary
    lines = describe_steps(summary, report.steps, block)
    if not lines:
        return
    decider = decider_of(summary)
    links = [step.link for step in report.steps if step.block == block]
    in_line = all(link.base in (None, before.arm) for before, link in pairwise(links))
    wanted = {"version", "change", decider, "adds", "interval", "p", "verdict"} | (set() if in_line else {"from"})
    columns = leave_out(tabulate_steps(summary, report.steps, block), Medium.LATEX, lambda each: each.key in wanted)
    # On a page, the scores of all measures are in the comparison.
    measured = tuple(f"{split} " for split in SPLITS)
    columns = leave_out(columns, Medium.HTML, lambda each: each.key == decider or not each.key.startswith(measured))
    what = f"{block}: step by step, what each change adds to the version it is based on."
    terminal = terminal_if_few(summary)
    yield Bullets(lines=tuple(lines))
    yield Figure(draw=draw_steps)
    yield Table(
        caption="Every version and what its change adds",
        label="steps",
        paper=" ".join(filter(None, (what, describe_statistics(report), lines[-1]))),
        columns=columns,
        sacrifices=_list_sacrifices(columns, decider),
        media=PAGES | Medium.LATEX | terminal,
    )
    yield Paragraph(text=lines[0], media=terminal)


def _list_sacrifices(columns: Sequence[Column], decider: str) -> list[tuple[str, str]]:
    return [
        *(("drop", column.key) for column in columns[1:] if column.key.startswith("train ")),
        *(("drop", key) for key in ("change", "p", "interval", "since start verdict", "since start")),
        *(("drop", c.key) for c in reversed(columns[1:]) if c.key not in ("adds", "verdict", decider)),
    ]


def tabulate_steps(summary: Summary, steps: Sequence[ChainStep], block: str) -> list[Column]:
    """Tabulate the chain in one block, a row per step."""
    mine = [step for step in steps if step.block == block]
    arms = {arm.arm: arm for arm in summary.arms_of(block)}
    rows = [arms[step.link.arm] for step in mine]
    measures = [m for m in _list_measures(summary) if any(arm.score(m) is not None for arm in rows)]
    measure = summary.measure
    adds, since = ([getattr(step, name) for step in mine] for name in ("adds", "since_start"))
    differences, since_differences = (
        format_all((v and v.difference for v in verdicts), measure.signed) for verdicts in (adds, since)
    )
    return [
        texts("version", (step.link.arm for step in mine)),
        texts("change", (step.link.change or "(start)" for step in mine)),
        *(tabulate_measure(each, rows) for each in measures),
        texts("from", (step.link.base or "-" for step in mine)),
        numbers("adds", differences, "adds", unit_of_differences(measure)),
        numbers(
            "interval",
            format_all((v and v.interval for v in adds), measure.interval),
            percent(summary.confidence),
            "interval",
        ),
        numbers("p", format_all((v and v.p_adjusted for v in adds), p_value), "p", "adjusted"),
        texts("verdict", format_all(v and v.verdict for v in adds), is_verdict=True),
        numbers("since start", since_differences, "since", "start"),
        texts("since start verdict", format_all(v and v.verdict for v in since), *_SINCE, is_verdict=True),
    ]


def describe_steps(summary: Summary, steps: Sequence[ChainStep], block: str) -> list[str]:
    """Say which steps of a block help, harm, or matter too little, and how they are judged; empty without steps."""
    judged = [step for step in steps if step.block == block and step.adds is not None]
    if not judged:
        return []
    parts = []
    for word, (singular, plural) in _OUTCOMES.items():
        found = [step for step in judged if step.adds is not None and step.adds.verdict == word]
        if found:
            named = join_names(
                [f"{step.link.arm} on {step.link.base} ({_format_size(step, summary.measure)})" for step in found]
            )
            parts.append(f"{len(found)} {singular if len(found) == 1 else plural}: {named}")
    unsettled = sum(step.adds is not None and step.adds.verdict == "inconclusive" for step in judged)
    if unsettled:
        parts.append(f"{unsettled} {'is' if unsettled == 1 else 'are'} not settled")
    where = f"On {block}, of" if len(summary.blocks) > 1 else "Of"
    first = f"{where} {count(len(judged), 'step')} from arm to arm {'; '.join(parts)}."
    pairs = {(v.a, v.b) for step in judged for v in (step.adds, step.since_start) if v is not None}
    family = (
        f"Steps and comparisons with a start are a family of their own, {count(len(pairs), 'pair')}: their p values "
        "are adjusted for these pairs, not for all pairs of arms."
    )
    return [first, family]


def _dump_step(step: ChainStep) -> dict[str, Any]:
    """Return a step as plain values; a verdict is on `arm` relative to the other."""
    adds, since_start = (None if verdict is None else verdict.dump() for verdict in (step.adds, step.since_start))
    return {"block": step.block, **vars(step.link), "adds": adds, "since_start": since_start}


def _list_measures(summary: Summary) -> list[Measure]:
    names = dict.fromkeys((summary.metric, "accuracy", "macro_f1"))
    splits: tuple[Split, ...] = (summary.split, "train")
    return [Measure(find_metric(name), split) for name in names for split in splits]


def _format_size(step: ChainStep, measure: Measure) -> str:
    difference = None if step.adds is None else step.adds.difference
    return "-" if difference is None else format_difference(measure, difference)


SECTION = Section(
    name="steps",
    title="Step by step",
    gather=_gather,
    write=by_block(write_steps),
    dump=lambda report: {"steps": [_dump_step(step) for step in report.steps]},
)
