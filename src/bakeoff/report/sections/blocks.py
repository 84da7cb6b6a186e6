"""All blocks side by side, and what they show together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bakeoff.report.document import ReportInput, Sources
from bakeoff.report.figures.ranks import draw_ranks
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, Code, Details, Figure, Paragraph, Part, Section, Table
from bakeoff.report.sections.basis import describe_incompleteness, describe_statistics
from bakeoff.report.sections.marks import explain_marks, find_bold, find_marks
from bakeoff.report.tables import (
    NOWHERE,
    PAGES,
    Column,
    Medium,
    break_name,
    format_all,
    numbers,
    tabulate_measure,
    texts,
)
from bakeoff.report.text import p_value, show_text
from bakeoff.stats.across import AcrossBlocks, summarise_blocks
from bakeoff.stats.measure import Measure
from bakeoff.stats.results import BlockAnswer, MeanSd, Summary

MOST_BLOCKS_PER_TABLE = 4
"""In LaTeX."""


def _gather(sources: Sources) -> dict[str, Any]:
    if not sources.summary.verdicts:
        return {}
    # Subsets of a data set count as the same data set.
    names = {
        block.label: next(str(named) for named in (source.name, source.folder, source.manifest) if named is not None)
        for block in sources.plan.blocks
        for source in [block.data.source]
    }
    return {"across": summarise_blocks(sources.summary, names)}


def write_blocks(report: ReportInput) -> Iterator[Part]:
    """Yield the overview of scores and the ranks over blocks; nothing for a single block."""
    summary = report.summary
    if len(summary.blocks) < 2:
        return
    measure = summary.measure
    title = f"mean {measure.label}{', %' if measure.record.is_share else ''}"
    marks = "; ".join(_list_marks(summary))
    is_long = len(summary.blocks) > MOST_BLOCKS_IN_FULL
    yield Table(
        caption=f"All blocks: {title}",
        columns=tabulate_overview(summary),
        is_split=True,
        media=PAGES | (Medium.TERMINAL if is_long else NOWHERE),
    )
    yield Paragraph(text=marks, role="quiet")
    if is_long:
        text = f"{title[:1].upper()}{title[1:]}.  {'   '.join(_list_marks(summary))}"
        yield Paragraph(text=text, role="quiet", media=Medium.TERMINAL)
    yield from _compare_across(report)
    yield from _list_paper_tables(report)


def _list_marks(summary: Summary) -> tuple[str, ...]:
    """Return the meaning of each mark in the overview."""
    if summary.baseline is None:
        return ("* best", "= equivalent to it", "~ not shown to be worse", "no mark: worse", "- no trial done")
    marks = ("* best", "+ better than the baseline", "= equivalent to it", "~ not shown to differ from it")
    return (*marks, "no mark: worse", "- no trial done")


def tabulate_overview(summary: Summary) -> list[Column]:
    """Tabulate all blocks: a row per block, a column per arm with its mean score and a mark; see `_list_marks`."""
    measure = summary.measure
    scores = {(arm.block, arm.arm): arm.score(measure) for arm in summary.arms}
    return [
        texts("block", summary.blocks),
        *(
            numbers(f"arm {arm}", (_mark(scores[each.block, arm], each, arm, measure) for each in summary.answers), arm)
            for arm in summary.arm_labels
        ),
    ]


def _mark(score: MeanSd | None, answer: BlockAnswer, arm: str, measure: Measure) -> str:
    if score is None:
        return "- "
    if arm == answer.best:
        mark = "*"
    elif arm in answer.better:
        mark = "+"
    elif arm in answer.equivalent:
        mark = "="
    else:
        mark = "~" if arm in answer.not_worse else " "
    return measure.number(score.mean) + mark


def _compare_across(report: ReportInput) -> Iterator[Part]:
    across = report.across
    if across is None:
        return
    yield Paragraph(text=across.sentence)
    yield Figure(draw=draw_ranks)
    yield from _draw_ranks(across)
    ranks = numbers("rank", (f"{across.mean_ranks[arm]:.2f}" for arm in across.arms), "mean rank")
    yield Table(caption="Mean rank over blocks, 1 is best", columns=[texts("arm", across.arms), ranks])
    pairs = Table(caption="Verdict on every pair over all blocks", columns=_tabulate_rank_pairs(across))
    yield Details(summary="Every pair across blocks", parts=(pairs,))


def _tabulate_rank_pairs(across: AcrossBlocks) -> list[Column]:
    pairs = across.pairs
    return [
        texts("arm", (pair.a for pair in pairs)),
        texts("verdict", (pair.verdict for pair in pairs), is_verdict=True),
        texts("other arm", (pair.b for pair in pairs)),
        *(numbers(word, (str(getattr(pair, word)) for pair in pairs)) for word in ("wins", "ties", "losses")),
        numbers("p adjusted", (p_value(pair.p_adjusted) for pair in pairs)),
    ]


def _draw_ranks(across: AcrossBlocks) -> Iterator[Part]:
    """Yield the critical-difference diagram as text: arms by mean rank, and bars that join indistinguishable arms."""
    difference = across.critical_difference
    if difference is None:
        return
    power = ", underpowered: too few blocks" if across.underpowered else ""
    title = f"Mean ranks, 1 is best; critical difference {difference.value:.2f} (Nemenyi{power})"
    width = max(len(show_text(arm)) for arm in across.arms)
    lines = []
    for arm in across.arms:
        bars = "".join(" |" if arm in group else "  " for group in difference.groups)
        lines.append(f"{across.mean_ranks[arm]:5.2f}  {show_text(arm):<{width}} {bars}".rstrip())
    yield Code(label=title, text="\n".join(lines), media=Medium.MARKDOWN)
    yield Paragraph(text="Arms joined by a bar cannot be told apart by their ranks.", media=Medium.MARKDOWN)


def _list_paper_tables(report: ReportInput) -> Iterator[Part]:
    """Yield tables for LaTeX: a row per arm and a column per block; the last one also has the mean rank."""
    answers = report.summary.answers
    starts = range(0, len(answers), MOST_BLOCKS_PER_TABLE)
    for number, start in enumerate(starts, 1):
        part = answers[start : start + MOST_BLOCKS_PER_TABLE]
        across = report.across if number == len(starts) else None
        of = "" if len(starts) == 1 else f" Blocks {start + 1} to {start + len(part)} of {len(answers)}."
        yield Table(
            media=Medium.LATEX,
            caption=_write_caption(report, part, of, across),
            label="blocks" if number == 1 else f"blocks-{number}",
            columns=_tabulate_paper(report.summary, part, across),
        )


def _write_caption(report: ReportInput, answers: Sequence[BlockAnswer], of: str, across: AcrossBlocks | None) -> str:
    summary = report.summary
    measure = summary.measure
    unit = " in percent" if measure.record.is_share else ""
    sentences = [
        f"All blocks: {measure.label}{unit}, mean ± standard deviation over {summary.runs}.{of}",
        describe_statistics(report),
        explain_marks(summary, answers),
        across.sentence if across is not None else "",
        report.reduced,
        describe_incompleteness(report),
    ]
    return " ".join(filter(None, sentences))


def _tabulate_paper(summary: Summary, answers: Sequence[BlockAnswer], across: AcrossBlocks | None) -> list[Column]:
    names = summary.arm_labels
    columns = [texts("arm", names), *(_tabulate_block(summary, answer) for answer in answers)]
    if across is not None:
        cells = format_all((across.mean_ranks.get(name) for name in names), "{:.2f}".format)
        columns.append(numbers("rank", cells, "mean", "rank"))
    return columns


def _tabulate_block(summary: Summary, answer: BlockAnswer) -> Column:
    rows = {name: row for row, name in enumerate(summary.arm_labels)}
    arms = {arm.arm: arm for arm in summary.arms_of(answer.block)}
    measured = tabulate_measure(summary.measure, [arms[name] for name in summary.arm_labels])
    bold = find_bold(summary, answer.block)
    return Column(
        key=answer.block,
        header=break_name(answer.block),
        cells=measured.cells,
        bold=() if bold is None else (rows[bold],),
        marks={rows[arm]: mark for arm, mark in find_marks(answer).items()},
    )


SECTION = Section(
    name="blocks",
    title="All blocks",
    gather=_gather,
    write=write_blocks,
    dump=lambda report: {"across_blocks": None if report.across is None else asdict(report.across)},
)
