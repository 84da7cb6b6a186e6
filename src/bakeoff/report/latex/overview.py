"""All blocks side by side: a row per arm, a column per block, and the mean rank over blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bakeoff.analysis.results import BlockAnswer
from bakeoff.report.basis import describe_progress, describe_statistics
from bakeoff.report.document import ReportInput
from bakeoff.report.latex.escape import escape_latex
from bakeoff.report.latex.standing import explain_marks, find_bold, find_marks
from bakeoff.report.latex.table import LatexColumn, LatexTable, set_column
from bakeoff.report.tables import Column, break_name, measure_of, runs_of, tabulate_measure
from bakeoff.report.text import show_text

BLOCKS_A_TABLE = 4


def tabulate_blocks(report: ReportInput, label: str) -> Iterator[LatexTable]:
    """Yield the overview, four blocks a table; nothing for a single block."""
    answers = report.summary.answers
    if len(answers) < 2:
        return
    starts = range(0, len(answers), BLOCKS_A_TABLE)
    for number, start in enumerate(starts, 1):
        part = answers[start : start + BLOCKS_A_TABLE]
        is_last = number == len(starts)
        of = "" if len(starts) == 1 else f" Blocks {start + 1} to {start + len(part)} of {len(answers)}."
        yield LatexTable(
            caption=_write_caption(report, part, of, is_last),
            label=label if number == 1 else f"{label}-{number}",
            columns=_set_columns(report, part, is_last),
        )


def _write_caption(report: ReportInput, answers: Sequence[BlockAnswer], of: str, with_rank: bool) -> str:
    summary = report.summary
    measure = measure_of(summary)
    unit = " in percent" if measure.record.is_share else ""
    has_bold = any(find_bold(summary, answer.block) is not None for answer in answers)
    sentences = [
        escape_latex(f"All blocks: {measure.label}{unit}, mean ± standard deviation over {runs_of(summary)}.{of}"),
        escape_latex(describe_statistics(report)),
        explain_marks(summary, tuple(answers), has_bold),
        escape_latex(report.across.sentence) if with_rank and report.across is not None else "",
        escape_latex(report.reduced),
        f"Unfinished: {escape_latex(describe_progress(report))}." if report.state == "unfinished" else "",
    ]
    return " ".join(filter(None, sentences))


def _set_columns(report: ReportInput, answers: Sequence[BlockAnswer], with_rank: bool) -> list[LatexColumn]:
    names = report.summary.arm_labels
    columns = [
        set_column(Column(key="arm", header=("arm",), cells=tuple(map(show_text, names)), is_number=False)),
        *(_set_block(report, answer) for answer in answers),
    ]
    if with_rank and report.across is not None:
        ranks = report.across.mean_ranks
        cells = tuple(f"{ranks[name]:.2f}" if name in ranks else "-" for name in names)
        columns.append(set_column(Column(key="rank", header=("mean", "rank"), cells=cells)))
    return columns


def _set_block(report: ReportInput, answer: BlockAnswer) -> LatexColumn:
    summary = report.summary
    rows = {name: row for row, name in enumerate(summary.arm_labels)}
    arms = {arm.arm: arm for arm in summary.arms_of(answer.block)}
    measured = tabulate_measure(measure_of(summary), [arms[name] for name in summary.arm_labels])
    column = Column(key=answer.block, header=break_name(show_text(answer.block)), cells=measured.cells)
    bold = find_bold(summary, answer.block)
    marks = {rows[arm]: mark for arm, mark in find_marks(answer).items()}
    return set_column(column, [] if bold is None else [rows[bold]], marks)
