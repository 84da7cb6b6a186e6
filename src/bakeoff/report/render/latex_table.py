"""One table as LaTeX with booktabs: sized to a page's width, and in parts where it is longer than a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.report.render.latex_escape import escape_latex
from bakeoff.report.tables import Column

MAX_ROWS = 40
"""Of one part of a table, so that it fits on a page."""

_TEXT_POINTS = 341.0
_DIGIT_POINTS = {"small": 4.6, "footnotesize": 4.15, "scriptsize": 3.9}
_LETTER_SHARE = 0.88
"""Points a digit takes in each size, in Computer Modern on average, and the share of that a character of text does."""
_COLUMN_GAP_POINTS = 8.0
_BROKEN_POINTS = 64.0
_LAYOUTS = (
    *(("small", None), ("footnotesize", None), ("footnotesize", 24)),
    *(("scriptsize", None), ("scriptsize", 24), ("scriptsize", 18)),
)
"""Sizes, and how long a column of text is before it is broken over lines; the first that fits on a page is taken."""
_DASH = "--"


@dataclass(frozen=True, kw_only=True)
class LatexColumn:
    """One column, set.

    Attributes:
        header, cells: LaTeX.
        num_characters: of its longest cell or line of its head, before it was set.
    """

    header: tuple[str, ...]
    cells: tuple[str, ...]
    is_number: bool
    num_characters: int


@dataclass(frozen=True, kw_only=True)
class LatexTable:
    """One table of a paper; `caption` is LaTeX, `label` letters, digits and hyphens."""

    caption: str
    label: str
    columns: Sequence[LatexColumn]


def set_column(column: Column) -> LatexColumn:
    """Set a column of plain text as LaTeX: user text as text, signs and spreads as mathematics."""
    cells = []
    for row, cell in enumerate(column.cells):
        text = _set_number(cell, row in column.bold) if column.is_number else _set_text(cell)
        mark = escape_latex(column.marks.get(row, ""))
        cells.append(rf"{text}\rlap{{{mark}}}" if mark else text)
    return LatexColumn(
        header=tuple(map(escape_latex, column.header)),
        cells=tuple(cells),
        is_number=column.is_number,
        num_characters=max((len(text) for text in (*column.header, *column.cells)), default=0),
    )


def write_table(table: LatexTable) -> str:
    """Return one or more `table` environments; parts after the first repeat head and caption and say which they are."""
    num_rows = len(table.columns[0].cells)
    starts = range(0, max(num_rows, 1), MAX_ROWS)
    parts = []
    for number, start in enumerate(starts, 1):
        caption = table.caption if len(starts) == 1 else f"{table.caption} Part {number} of {len(starts)}."
        label = table.label if number == 1 else f"{table.label}-{number}"
        parts.append(_write_part(table.columns, slice(start, start + MAX_ROWS), caption, label))
    return "\n\n".join(parts)


def _write_part(columns: Sequence[LatexColumn], rows: slice, caption: str, label: str) -> str:
    size, are_broken = _lay_out(columns)
    cells = [
        tuple(map(_break_text, column.cells[rows])) if is_broken else column.cells[rows]
        for column, is_broken in zip(columns, are_broken, strict=True)
    ]
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \{size}",
        r"  \setlength{\tabcolsep}{4pt}",
        rf"  \begin{{tabular}}{{@{{}}{''.join(map(_specify, columns, are_broken))}@{{}}}}",
        r"    \toprule",
        *map(_join, _align_heads(columns)),
        r"    \midrule",
        *map(_join, zip(*cells, strict=True)),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _align_heads(columns: Sequence[LatexColumn]) -> list[tuple[str, ...]]:
    """Return the rows of the head, short heads at the bottom."""
    height = max(len(column.header) for column in columns)
    padded = [("",) * (height - len(column.header)) + column.header for column in columns]
    return list(zip(*padded, strict=True))


def _join(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\tabularnewline"


def _specify(column: LatexColumn, is_broken: bool) -> str:
    if is_broken:
        return f"p{{{_BROKEN_POINTS:g}pt}}"
    return "r" if column.is_number else "l"


def _lay_out(columns: Sequence[LatexColumn]) -> tuple[str, list[bool]]:
    """Return the size at which the columns fit on a page of the article class, and which of them to break for it."""
    for size, most in _LAYOUTS:
        are_broken = [most is not None and not each.is_number and each.num_characters > most for each in columns]
        widths = [_estimate_width(column, size) for column in columns]
        taken = sum(_BROKEN_POINTS if broken else width for width, broken in zip(widths, are_broken, strict=True))
        if taken + _COLUMN_GAP_POINTS * (len(columns) - 1) <= _TEXT_POINTS:
            break
    return size, are_broken


def _estimate_width(column: LatexColumn, size: str) -> float:
    share = 1.0 if column.is_number else _LETTER_SHARE
    return column.num_characters * _DIGIT_POINTS[size] * share


def _break_text(cell: str) -> str:
    """Let a cell break over lines, names without spaces after what parts their words."""
    breakable = re.sub(r"(\\_|[-/.,:;=])(?=\w)", r"\1\\hspace{0pt}", cell)
    return rf"\raggedright {breakable}"


def _set_text(text: str) -> str:
    return _DASH if text == "-" else escape_latex(text)


def _set_number(text: str, is_bold: bool) -> str:
    if text.strip() == "-":
        return _DASH
    mean, separator, spread = text.partition(" ± ")
    number = _set_signs(mean)
    if is_bold:
        number = rf"\textbf{{{number}}}"
    return number + (rf" $\pm$ {_set_signs(spread)}" if separator else "")


def _set_signs(text: str) -> str:
    """Set a minus and a plus before a number, and a "less than", as mathematics."""
    escaped = escape_latex(text).replace(r"\textless{}", "$<$")
    return re.sub(r"(?<![\w.])([-+])(?=\d)", r"$\1$", escaped)
