"""The tables of a study for a paper: scores, pairs, steps, ensembles, published values, each with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from bakeoff import __version__
from bakeoff.analysis.results import ArmSummary, Summary
from bakeoff.report.all_scores import tabulate_all_scores
from bakeoff.report.basis import describe_progress, describe_statistics
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import tabulate_ensembles
from bakeoff.report.latex.escape import escape_latex
from bakeoff.report.latex.overview import tabulate_blocks
from bakeoff.report.latex.standing import explain_marks, find_bold, find_marks
from bakeoff.report.latex.table import LatexTable, set_column, write_table
from bakeoff.report.published import compare_published, tabulate_curves, tabulate_published
from bakeoff.report.steps import describe_steps, tabulate_steps
from bakeoff.report.tables import Column, measure_of, order_arms, order_verdicts, tabulate_pairs, tabulate_scores

MAX_PAIRS = 80
"""Of a block; of more only those with its best arm or the baseline are listed."""

_MAX_MEASURES = 4


def write_latex(report: ReportInput) -> str:
    r"""Write the tables of a study as LaTeX, to be read in with \input; needs the booktabs package and nothing else.

    In order: all blocks side by side, scores and pairs of every block, every metric of every block, steps of ablation
    chains, ensembles, published values; those with nothing to say are left out. Pure ASCII; user text stays text,
    whatever it holds.
    """
    tables = list(_list_tables(report))
    head = [
        f"% Tables of the study {escape_latex(report.name)}, made by bakeoff {__version__}.",
        r"% They need \usepackage{booktabs} in the preamble, and nothing else.",
    ]
    return "\n\n".join(["\n".join(head), *map(write_table, _part_labels(tables))]) + "\n"


def _list_tables(report: ReportInput) -> Iterator[LatexTable]:
    summary = report.summary
    yield from tabulate_blocks(report, make_label(report.name, "", "blocks"))
    for block in summary.blocks:
        yield _tabulate_block(report, block)
        yield from _tabulate_pairs(report, block)
    for block in summary.blocks:
        yield from _tabulate_all(report, block)
    for block in summary.blocks:
        yield from _tabulate_steps(report, block)
    for block in summary.blocks:
        yield from _tabulate_ensembles(report, block)
    yield from _tabulate_published(report)


def _part_labels(tables: Sequence[LatexTable]) -> Iterator[LatexTable]:
    """Number labels that would be the same: names of blocks may differ in characters that no label holds."""
    seen: dict[str, int] = {}
    for table in tables:
        seen[table.label] = seen.get(table.label, 0) + 1
        again = seen[table.label]
        label = table.label if again == 1 else f"{table.label}-again-{again}"
        yield LatexTable(caption=table.caption, label=label, columns=table.columns)


def _tabulate_block(report: ReportInput, block: str) -> LatexTable:
    summary = report.summary
    arms = order_arms(summary, block)
    (answer,) = [answer for answer in summary.answers if answer.block == block]
    bold, marks = find_bold(summary, block), find_marks(answer)
    rows = {arm.arm: row for row, arm in enumerate(arms)}
    columns = []
    for column in _choose_columns(tabulate_scores(summary, block)):
        is_deciding = column.key == f"{summary.split} {summary.metric}"
        bold_rows = [rows[bold]] if is_deciding and bold is not None else []
        mark_rows = {rows[arm]: mark for arm, mark in marks.items()} if is_deciding else {}
        columns.append(set_column(column, bold_rows, mark_rows))
    caption = _join(
        escape_latex(f"{block}: {_count_runs(summary, arms)}."),
        escape_latex(describe_statistics(report)),
        explain_marks(summary, (answer,), bold is not None),
        escape_latex(report.reduced),
        f"Unfinished: {escape_latex(describe_progress(report))}." if report.state == "unfinished" else "",
    )
    return LatexTable(caption=caption, label=make_label(report.name, block, "scores"), columns=columns)


def _choose_columns(columns: Sequence[Column]) -> list[Column]:
    """Leave out what makes a table wider than a page: scores on training images, epochs, more than four measures."""
    others = ("arm", "epochs", "seconds", "done")
    measures = [c.key for c in columns if c.key not in others and not c.key.startswith("train ")][:_MAX_MEASURES]
    if columns[1].key not in measures and columns[1].key not in others:  # the deciding one always stays
        measures = [columns[1].key, *measures[: _MAX_MEASURES - 1]]
    return [column for column in columns if column.key in ("arm", *measures, "seconds", "done")]


def _count_runs(summary: Summary, arms: Sequence[ArmSummary]) -> str:
    numbers = sorted({arm.replicates for arm in arms if arm.scores})
    if not numbers:
        return "no trial is done"
    spread = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    runs = "replicates" if summary.num_folds is None else f"trials, {summary.num_folds} folds a replicate"
    return f"mean ± standard deviation over n = {spread} {runs}"


def _tabulate_pairs(report: ReportInput, block: str) -> Iterator[LatexTable]:
    summary = report.summary
    verdicts = order_verdicts(summary, block)
    only = ""
    if len(verdicts) > MAX_PAIRS:
        (answer,) = [answer for answer in summary.answers if answer.block == block]
        reference = answer.baseline or answer.best
        verdicts = [verdict for verdict in verdicts if reference in (verdict.a, verdict.b)]
        only = f"Of all pairs only those with {reference} are listed."
    if not verdicts:
        return
    columns = [column for column in tabulate_pairs(summary, verdicts) if column.key != "needed"]
    caption = _join(
        escape_latex(f"{block}: verdicts on pairs, the better mean on the left."),
        escape_latex(describe_statistics(report)),
        "Differences are the arm on the left minus the other; an interval looks at its pair alone.",
        escape_latex(only),
    )
    label = make_label(report.name, block, "pairs")
    yield LatexTable(caption=caption, label=label, columns=list(map(set_column, columns)))


def _tabulate_steps(report: ReportInput, block: str) -> Iterator[LatexTable]:
    lines = describe_steps(report.summary, report.steps, block)
    if not lines:
        return
    links = [step.link for step in report.steps if step.block == block]
    in_line = all(link.base in (None, before.arm) for before, link in pairwise(links))
    deciding = f"{report.summary.split} {report.summary.metric}"
    wanted = {"version", "change", deciding, "adds", "interval", "p", "verdict"} | (set() if in_line else {"from"})
    columns = [c for c in tabulate_steps(report.summary, report.steps, block) if c.key in wanted]
    caption = _join(
        escape_latex(f"{block}: step by step, what each change adds to the version it was made on."),
        escape_latex(describe_statistics(report)),
        escape_latex(lines[-1]),
    )
    label = make_label(report.name, block, "steps")
    yield LatexTable(caption=caption, label=label, columns=list(map(set_column, columns)))


def _tabulate_ensembles(report: ReportInput, block: str) -> Iterator[LatexTable]:
    mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
    if not mine:
        return
    splits = {ensemble.split for ensemble in mine}
    columns = [column for column in tabulate_ensembles(mine) if column.key != "split" or len(splits) > 1]
    where = f" on the {mine[0].split} split" if len(splits) == 1 else ""
    caption = _join(
        escape_latex(f"{block}: ensembles before and after the vote{where}."),
        "Before: the best member alone or, of one arm's models, their mean; after: mean $\\pm$ standard deviation "
        "over the votes. Changes stand without a verdict.",
    )
    label = make_label(report.name, block, "ensembles")
    yield LatexTable(caption=caption, label=label, columns=list(map(set_column, columns)))


def _tabulate_published(report: ReportInput) -> Iterator[LatexTable]:
    columns, curves = tabulate_published(report), tabulate_curves(report)
    rows = compare_published(report)
    source = f"Source: {report.published_source.rstrip('. ')}." if report.published_source else ""
    if rows:
        is_share = measure_of(report.summary).record.is_share and len({row["metric"] for row in rows}) == 1
        head = ("difference", "points") if is_share else ("difference",)
        columns = [replace(column, header=head) if column.key == "difference" else column for column in columns]
        caption = _join("Published against measured, mean $\\pm$ standard deviation.", escape_latex(source))
        label = make_label(report.name, "", "published")
        yield LatexTable(caption=caption, label=label, columns=list(map(set_column, columns)))
    if curves:
        caption = _join("Published by generation, against the validation split here.", escape_latex(source))
        label = make_label(report.name, "", "published-curves")
        yield LatexTable(caption=caption, label=label, columns=list(map(set_column, curves)))


def _tabulate_all(report: ReportInput, block: str) -> Iterator[LatexTable]:
    """Yield every metric, one table for training images and one for those the verdicts rest on: both are too wide."""
    summary = report.summary
    arms = order_arms(summary, block)
    for split in dict.fromkeys(("train", summary.split)):
        columns = tabulate_all_scores(summary, block, (split,))
        if len(columns) > 1:
            caption = escape_latex(f"{block}: every metric on {split} images, {_count_runs(summary, arms)}.")
            label = make_label(report.name, block, f"all-{split}")
            yield LatexTable(caption=caption, label=label, columns=list(map(set_column, columns)))


def make_label(study: str, block: str, table: str) -> str:
    """Return a label of ASCII letters, digits and hyphens."""
    words = (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() for text in (study, block, table))
    return "-".join(filter(None, words))


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
