"""The verdict in a terminal, or as plain text where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bakeoff.analysis.measure import join_names
from bakeoff.report.basis import describe_basis
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import tabulate_classes, tabulate_ensembles
from bakeoff.report.search import describe_search, tabulate_groups
from bakeoff.report.steps import describe_steps, tabulate_steps
from bakeoff.report.tables import (
    Column,
    list_marks,
    measure_of,
    order_verdicts,
    tabulate_overview,
    tabulate_pairs,
    tabulate_scores,
)
from bakeoff.report.text import count, show_text

MOST_BLOCKS_IN_FULL = 3
_MOST_PAIRS_IN_FULL = 6
_MOST_SENTENCES = 3
_NAME_SHARE, _FOLDED_SHARE = 3, 6
_GAP = 2
_MAX_REASONS = 5
_MOST_CLASSES = 12
_MOST_CLASS_TABLES = 2


def print_verdict(console: Console, report: ReportInput) -> None:
    """Print a study's scores, verdicts, answer and what it rests on, fitted to the console's width.

    Up to three blocks are shown in full, more as one table of blocks x arms. Without a terminal the output has no
    colour and no drawn lines. Nothing is said by colour alone.
    """
    summary = report.summary
    _print_line(console, report.question or report.name, "bold")
    for search in report.searches:
        console.print()
        sacrifices = [("drop", "best so far"), ("drop", "new"), ("drop", "mean")]
        _print_table(console, fit_columns(tabulate_groups(search), console.width, sacrifices))
        for line in describe_search(search):
            _print_line(console, f"{search.block}: {line}" if len(report.searches) > 1 else line, "")
    if len(summary.blocks) > MOST_BLOCKS_IN_FULL:
        _print_overview(console, report)
    else:
        for block in summary.blocks:
            _print_block(console, report, block)
    _print_answers(console, report)
    _print_evidence(console, report)
    _print_failures(console, report)
    _print_end(console, report)


def fit_columns(columns: Sequence[Column], width: int, sacrifices: Sequence[tuple[str, str]]) -> list[Column]:
    """Shorten and drop columns until the table fits.

    Args:
        columns: left to right. The first one is never dropped. Names fold at a third of the width, or at a sixth
            once that has been sacrificed.
        width: in terminal cells.
        sacrifices: what goes first: ("shorten" or "drop", a column's key or the metric in it), or ("fold", "").
    """
    fitted, share = list(columns), _NAME_SHARE
    for action, name in sacrifices:
        if _width(fitted, width, share) <= width:
            break
        if action == "fold":
            share = _FOLDED_SHARE
        elif action == "drop":
            fitted = [c for c in fitted if c is fitted[0] or not _is_named(c, name)]
        else:
            fitted = [_shortened(c) if _is_named(c, name) else c for c in fitted]
    return fitted


def _print_block(console: Console, report: ReportInput, block: str) -> None:
    summary = report.summary
    console.print()
    if block:
        _print_line(console, block, "bold cyan")
    decider = f"{summary.split} {summary.metric}"
    scores = tabulate_scores(summary, block)
    minor = [c.key for c in scores[1:] if c.key != decider]
    sacrifices = [("shorten", key) for key in ("seconds", "epochs", "loss", "macro_f1") if key != summary.metric]
    sacrifices += [("drop", "seconds"), ("shorten", "train accuracy"), ("drop", "epochs")]
    sacrifices += [("drop", key) for key in reversed(minor)]
    sacrifices += [("shorten", decider)]
    _print_table(console, fit_columns(scores, console.width, sacrifices))
    _print_pairs(console, report, block)
    _print_steps(console, report, block)
    _print_ensembles(console, report, block)


def _print_pairs(console: Console, report: ReportInput, block: str) -> None:
    verdicts = order_verdicts(report.summary, block)
    if not any(verdict.replicates for verdict in verdicts):
        return
    shown = verdicts
    best = next(answer.best for answer in report.summary.answers if answer.block == block)
    if len(verdicts) > _MOST_PAIRS_IN_FULL and best is not None:
        shown = [verdict.seen_from(best) for verdict in verdicts if best in (verdict.a, verdict.b)]
    console.print()
    sacrifices = [("drop", "p"), ("drop", "needed"), ("fold", ""), ("drop", "interval"), ("drop", "difference")]
    _print_table(console, fit_columns(tabulate_pairs(report.summary, shown), console.width, sacrifices))
    if len(shown) < len(verdicts):
        words = Counter("better or worse" if v.verdict in ("better", "worse") else v.verdict for v in verdicts)
        tally = ", ".join(f"{number} {word}" for word, number in words.items())
        _print_line(console, f"All {count(len(verdicts), 'pair')}: {tally}.", "dim")


def _print_steps(console: Console, report: ReportInput, block: str) -> None:
    lines = describe_steps(report.summary, report.steps, block)
    if not lines:
        return
    columns = tabulate_steps(report.summary, report.steps, block)
    decider = f"{report.summary.split} {report.summary.metric}"
    kept = ("adds", "verdict", decider)
    sacrifices = [("drop", column.key) for column in columns[1:] if column.key.startswith("train ")]
    sacrifices += [("drop", key) for key in ("change", "p", "interval", "since start verdict", "since start")]
    sacrifices += [("drop", column.key) for column in reversed(columns[1:]) if column.key not in kept]
    console.print()
    _print_table(console, fit_columns(columns, console.width, sacrifices))
    _print_line(console, lines[0], "")


def _print_ensembles(console: Console, report: ReportInput, block: str) -> None:
    mine = [ensemble for ensemble in report.ensembles if ensemble.block == block]
    if not mine:
        return
    console.print()
    # What tells the rows apart goes last: a vote over replicates has one for every arm.
    sacrifices = [("drop", "votes"), ("drop", "split"), ("fold", ""), ("drop", "by"), ("drop", "of")]
    _print_table(console, fit_columns(tabulate_ensembles(mine), console.width, sacrifices))
    single = [ensemble for ensemble in mine if ensemble.over != "arms"]
    for ensemble in mine:
        if ensemble not in single or len(single) <= _MOST_SENTENCES:
            _print_line(console, ensemble.sentence, "")
    if len(single) > _MOST_SENTENCES:
        names = join_names(list(dict.fromkeys(ensemble.label for ensemble in single)))
        _print_line(console, f"{names}: one value each, without an interval or a verdict: no vote is left to pair.", "")
    for ensemble in mine[:_MOST_CLASS_TABLES] if len(mine[0].classes) <= _MOST_CLASSES else ():
        console.print()
        _print_line(console, f"Class by class, {ensemble.before} before, {ensemble.label} after:", "dim")
        _print_table(console, tabulate_classes(ensemble, scores=("f1",)))


def _print_overview(console: Console, report: ReportInput) -> None:
    columns = tabulate_overview(report.summary)
    blocks, arms = columns[0], columns[1:]
    while arms:
        fitting = [i for i in range(1, len(arms) + 1) if _width([blocks, *arms[:i]], console.width) <= console.width]
        num_fitting = max(fitting, default=1)
        console.print()
        _print_table(console, [blocks, *arms[:num_fitting]])
        arms = arms[num_fitting:]
    label = measure_of(report.summary).label
    unit = ", %" if measure_of(report.summary).record.is_share else ""
    console.print()
    legend = "   ".join(list_marks(report.summary))
    _print_line(console, f"Mean {label}{unit}.  {legend}", "dim")


def _print_answers(console: Console, report: ReportInput) -> None:
    summary = report.summary
    sentences = [summary.overall] if len(summary.blocks) > MOST_BLOCKS_IN_FULL else []
    if not sentences:
        sentences = [answer.sentence for answer in summary.answers] + [summary.overall]
    console.print()
    for sentence in filter(None, sentences):
        _print_line(console, sentence, "bold green")
    if report.reduced:
        _print_line(console, report.reduced, "bold yellow")


def _print_evidence(console: Console, report: ReportInput) -> None:
    """Print what blocks show together, and the sampling error of the best pair; with many blocks verdict.md has it."""
    sentences = [report.across.sentence] if report.across is not None else []
    many = len(report.summary.blocks) > 1
    if len(report.summary.blocks) <= MOST_BLOCKS_IN_FULL:
        sentences += [
            f"{f'{evidence.block}: ' if many else ''}{evidence.arm} against {evidence.rival}: {evidence.error.sentence}"
            for evidence in report.evidence
            if evidence.error is not None
        ]
    for sentence in sentences:
        _print_line(console, sentence, "")


def _print_failures(console: Console, report: ReportInput) -> None:
    if not report.failures:
        return
    console.print()
    _print_line(console, f"{count(len(report.failures), 'trial')} failed:", "bold red")
    reasons = Counter(failure.reason for failure in report.failures)
    for reason, number in reasons.most_common(_MAX_REASONS):
        first = next(failure for failure in report.failures if failure.reason == reason)
        where = ", ".join(part for part in (first.block, first.arm, first.run) if part)
        more = f" and {number - 1} more" if number > 1 else ""
        _print_line(console, f"  {reason} ({where}{more})", "")
    if len(reasons) > _MAX_REASONS:
        _print_line(console, f"  and {count(len(reasons) - _MAX_REASONS, 'other reason')}", "")


def _print_end(console: Console, report: ReportInput) -> None:
    console.print()
    for sentence in describe_basis(report):
        _print_line(console, sentence, "dim")
    if report.report_path:
        # Never folded: a path must stay in one piece to be copied.
        console.print(Text(f"Report: {show_text(report.report_path)}"), soft_wrap=True)
    if report.html_path:
        console.print(Text(f"Page: {show_text(report.html_path)}"), soft_wrap=True)


def _print_table(console: Console, columns: Sequence[Column]) -> None:
    # A box brings its own space between columns; without one the padding makes it: _GAP either way.
    lines, left = (box.SIMPLE_HEAD, 0) if console.is_terminal else (None, 1)
    table = Table(box=lines, show_edge=False, pad_edge=False, padding=(0, 1, 0, left), header_style="dim")
    height = max(len(column.header) for column in columns)
    for position, column in enumerate(columns):
        header = "\n".join([""] * (height - len(column.header)) + list(column.header))
        table.add_column(
            Text(_encodable(console, header)),
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number,
            overflow="ellipsis" if column.is_number else "fold",
            style="bold" if position == 0 else "",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(_encodable(console, cell)) for cell in row))
    console.print(table)


def _print_line(console: Console, text: str, style: str) -> None:
    console.print(Text(_encodable(console, show_text(text)), style=style), highlight=False)


def _encodable(console: Console, text: str) -> str:
    encoding = console.encoding or "utf-8"
    text = text.replace(" ± ", " +- ") if not encoding.lower().startswith("utf") else text
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _is_named(column: Column, name: str) -> bool:
    return column.key == name or column.key.endswith(f" {name}")


def _width(columns: Sequence[Column], width: int, share: int = _NAME_SHARE) -> int:
    return sum(_GAP + _column_width(column, width, share) for column in columns) - _GAP


def _column_width(column: Column, width: int, share: int) -> int:
    """Return the width a column needs; names fold at one part in `share` of the whole, numbers never do."""
    natural = max(map(cell_len, (*column.header, *column.cells)))
    return natural if column.is_number else min(natural, max(width // share, 8))


def _shortened(column: Column) -> Column:
    return Column(key=column.key, header=column.header, cells=column.short or column.cells, is_number=column.is_number)
