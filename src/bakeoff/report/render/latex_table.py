"""Writes a table as LaTeX with booktabs: fitted to the page's width, and split if longer than a page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bakeoff.report.render.latex_escape import escape_latex
from bakeoff.report.tables import Column

MAX_ROWS = 40
"""Maximum rows per part of a table, so that it fits on a page."""

_TEXT_POINTS = 341.0
_DIGIT_POINTS = {"small": 4.6, "footnotesize": 4.15, "scriptsize": 3.9}
_LETTER_FACTOR = 0.88
"""Width of a digit in points by font size, on average in Computer Modern, and of a text character relative to it."""
_COLUMN_GAP_POINTS = 8.0
_BROKEN_POINTS = 64.0
_LAYOUTS = (
    *(("small", None), ("footnotesize", None), ("footnotesize", 24)),
    *(("scriptsize", None), ("scriptsize", 24), ("scriptsize", 18)),
)
"""Font size, and the length from which columns of text are broken over lines; the first layout that fits is used."""
_DASH = "--"


def write_table(caption: str, label: str, columns: Sequence[Column]) -> str:
    """Return one or more `table` environments; parts after the first repeat header and caption, and are numbered.

    `caption` is LaTeX; the columns are plain text.
    """
    cells = [_set_cells(column) for column in columns]
    starts = range(0, max(len(cells[0]), 1), MAX_ROWS)
    parts = []
    for number, start in enumerate(starts, 1):
        part = [column[start : start + MAX_ROWS] for column in cells]
        whole = len(starts) == 1
        title = caption if whole else f"{caption} Part {number} of {len(starts)}."
        parts.append(_write_part(columns, part, title, label if number == 1 else f"{label}-{number}"))
    return "\n\n".join(parts)


def _set_cells(column: Column) -> list[str]:
    """Return a column's cells as LaTeX: text, or numbers with bold values and marks."""
    cells = []
    for row, cell in enumerate(column.cells):
        text = _set_number(cell, row in column.bold) if column.is_number else escape_latex(cell)
        text = _DASH if cell.strip() == "-" else text
        mark = escape_latex(column.marks.get(row, ""))
        cells.append(rf"{text}\rlap{{{mark}}}" if mark else text)
    return cells


def _write_part(columns: Sequence[Column], cells: Sequence[Sequence[str]], caption: str, label: str) -> str:
    size, are_broken = _lay_out(columns)
    sides = ["r" if column.is_number else "l" for column in columns]
    widths = [f"p{{{_BROKEN_POINTS:g}pt}}" if broken else side for side, broken in zip(sides, are_broken, strict=True)]
    rows = zip(
        *(map(_break_text, own) if is_broken else own for own, is_broken in zip(cells, are_broken, strict=True)),
        strict=True,
    )
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        r"  \setlength{\belowcaptionskip}{6pt}",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \{size}",
        r"  \setlength{\tabcolsep}{4pt}",
        rf"  \begin{{tabular}}{{@{{}}{''.join(widths)}@{{}}}}",
        r"    \toprule",
        *map(_join, _align_headers(columns)),
        r"    \midrule",
        *map(_join, rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _align_headers(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Return the rows of the header, bottom-aligned."""
    height = max(len(column.header) for column in columns)
    padded = [("",) * (height - len(column.header)) + tuple(map(escape_latex, column.header)) for column in columns]
    return list(zip(*padded, strict=True))


def _join(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\tabularnewline"


def _lay_out(columns: Sequence[Column]) -> tuple[str, list[bool]]:
    """Return the largest font size at which the columns fit on a page of the article class, and which to break."""
    lengths = [max((len(text) for text in (*column.header, *column.cells)), default=0) for column in columns]
    for size, most in _LAYOUTS:
        are_broken = [
            most is not None and not column.is_number and length > most
            for column, length in zip(columns, lengths, strict=True)
        ]
        widths = [
            length * _DIGIT_POINTS[size] * (1.0 if column.is_number else _LETTER_FACTOR)
            for column, length in zip(columns, lengths, strict=True)
        ]
        taken = sum(_BROKEN_POINTS if broken else width for width, broken in zip(widths, are_broken, strict=True))
        if taken + _COLUMN_GAP_POINTS * (len(columns) - 1) <= _TEXT_POINTS:
            break
    return size, are_broken


def _break_text(cell: str) -> str:
    """Allow a cell to break over lines, also after separators inside names."""
    breakable = re.sub(r"(\\_|[-/.,:;=])(?=\w)", r"\1\\hspace{0pt}", cell)
    return rf"\raggedright {breakable}"


def _set_number(text: str, is_bold: bool) -> str:
    mean, separator, spread = text.partition(" ± ")
    number = _set_signs(mean)
    if is_bold:
        number = rf"\textbf{{{number}}}"
    return number + (rf" $\pm$ {_set_signs(spread)}" if separator else "")


def _set_signs(text: str) -> str:
    """Set "less than", and a minus or plus before a number, as mathematics."""
    escaped = escape_latex(text).replace(r"\textless{}", "$<$")
    return re.sub(r"(?<![\w.])([-+])(?=\d)", r"$\1$", escaped)
