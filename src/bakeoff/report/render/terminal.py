"""Prints the verdict in a terminal, or as plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Bullets, Details, InBlock, Paragraph, Part, Role, Section, Table, compose
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Column, Medium, break_name
from bakeoff.report.text import show_text

_LAST = ("answer", "failures", "basis", "next")
"""These sections end the output, next to the prompt."""

_FIRST = ("understood", "search")
"""These begin it: what was read, and a search, which ran first."""

_STYLES: dict[Role, str] = {
    "plain": "",
    "quiet": "dim",
    "lead": "bold green",
    "notice": "bold yellow",
    "alarm": "bold red",
}
_NAME_FRACTION, _FOLDED_FRACTION = 3, 6
"""Names fold at a third of the width, or at a sixth to save space."""
_GAP = 2


def print_verdict(console: Console, report: ReportInput, sections: Sequence[Section] = SECTIONS) -> None:
    """Print a study's scores, verdicts, answer and basis, fitted to the console's width.

    Up to three blocks are shown in full, more as one table of blocks x arms. Outside a terminal the output has neither
    colour nor lines; colour is never the only carrier of information.
    """
    _print_line(console, report.question or report.name, "bold")
    for heading, parts in arrange(report, sections):
        has_text = bool(heading) or not isinstance(parts[0], Table)
        if has_text:
            console.print()
        if heading:
            _print_line(console, heading, "bold cyan")
        _print_parts(console, parts, after_blank=has_text)
    for name, path in (("Report", report.report_path), ("Page", report.html_path)):
        if path:
            # Not wrapped, so that the path can be copied in one piece.
            console.print(Text(f"{name}: {show_text(path)}"), soft_wrap=True)


def arrange(report: ReportInput, sections: Sequence[Section]) -> Iterator[tuple[str, list[Part]]]:
    """Yield what a terminal shows, in order: a heading (may be empty) and parts; those of a block are grouped."""
    written = {each.name: each.parts for each in compose(sections, report, Medium.TERMINAL)}
    for name in _FIRST:
        if name in written:
            yield "", list(written.pop(name))
    last = [written.pop(name) for name in _LAST if name in written]
    for block in report.summary.blocks:
        own = [part for parts in written.values() for part in parts if isinstance(part, InBlock)]
        mine = [inner for part in own if part.block == block for inner in part.parts]
        if mine:
            yield block, mine
    for parts in (*written.values(), *last):
        others = [part for part in parts if not isinstance(part, InBlock)]
        if others:
            yield "", others


def print_table(console: Console, table: Table) -> None:
    """Print a table on its own, fitted to the width of the terminal."""
    _print_parts(console, [table], after_blank=True)


def _print_parts(console: Console, parts: Iterable[Part], *, after_blank: bool = False) -> None:
    """Print parts, with an empty line before every table unless there is one already."""
    for part in parts:
        if isinstance(part, Table | Details) and not after_blank:
            console.print()
        after_blank = False
        match part:
            case Paragraph():
                _print_line(console, part.text, _STYLES[part.role])
            case Bullets():
                for line in part.lines:
                    _print_line(console, line, _STYLES[part.role])
            case Table(is_split=True):
                _print_split(console, part.columns)
            case Table():
                columns = [_show_column(column) for column in part.columns]
                _print_table(console, fit_columns(columns, console.width, part.sacrifices))
            case Details():
                _print_line(console, f"{part.summary}:", "dim")
                _print_parts(console, part.parts, after_blank=True)


def _show_column(column: Column) -> Column:
    return replace(column, cells=tuple(map(show_text, column.cells)), header=tuple(map(show_text, column.header)))


def fit_columns(columns: Sequence[Column], width: int, sacrifices: Sequence[tuple[str, str]]) -> list[Column]:
    """Shorten and drop columns until the table fits.

    Args:
        columns: left to right; the first is never dropped.
        width: in terminal cells.
        sacrifices: what goes first: ("shorten" or "drop", a column's key or the metric in it), or ("fold", ""), which
            folds names at a smaller width.
    """
    fitted, fraction = list(columns), _NAME_FRACTION
    for action, name in sacrifices:
        if _width(fitted, width, fraction) <= width:
            break
        if action == "fold":
            fraction = _FOLDED_FRACTION
        elif action == "drop":
            fitted = [c for c in fitted if c is fitted[0] or not _is_named(c, name)]
        else:
            fitted = [replace(c, cells=c.short or c.cells) if _is_named(c, name) else c for c in fitted]
    return fitted


def _print_split(console: Console, columns: Sequence[Column]) -> None:
    """Print a table in as many pieces as the width requires, each with the first column."""
    shown = map(_show_column, columns)
    first, *others = (replace(column, header=break_name(" ".join(column.header))) for column in shown)
    while others:
        widths = [_width([first, *others[:number]], console.width) for number in range(1, len(others) + 1)]
        num_fitting = max(1, sum(width <= console.width for width in widths))
        _print_table(console, [first, *others[:num_fitting]])
        console.print()
        others = others[num_fitting:]


def _print_table(console: Console, columns: Sequence[Column]) -> None:
    # A box adds its own space between columns; without one, padding does: _GAP in both cases.
    lines, left = (box.SIMPLE_HEAD, 0) if console.is_terminal else (None, 1)
    table = Grid(box=lines, show_edge=False, pad_edge=False, padding=(0, 1, 0, left), header_style="dim")
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


def _width(columns: Sequence[Column], width: int, fraction: int = _NAME_FRACTION) -> int:
    """Return the width that columns need; names fold at the terminal's width divided by `fraction`, numbers never."""
    widest = [max(map(cell_len, (*column.header, *column.cells))) for column in columns]
    most = max(width // fraction, 8)
    needed = [own if column.is_number else min(own, most) for column, own in zip(columns, widest, strict=True)]
    return sum(needed) + _GAP * (len(columns) - 1)
