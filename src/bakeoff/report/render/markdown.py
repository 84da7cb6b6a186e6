"""Writes the report as Markdown, verdict.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import (
    Bullets,
    Code,
    Details,
    Gallery,
    Heading,
    InBlock,
    Paragraph,
    Part,
    Section,
    Table,
    Written,
    compose,
)
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Column, Medium
from bakeoff.report.text import escape_line, escape_markdown, fence


def write_markdown(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> str:
    """Write the report as Markdown (GitHub's flavour): the question, then the sections. User text stays text."""
    answer, *others = compose(sections, report, Medium.MARKDOWN)
    parts = [f"# {escape_line(report.question or report.name)}", *_write_parts(answer.parts)]
    for section in others:
        parts += _write_section(section)
    return "\n\n".join(parts) + "\n"


def _write_section(section: Written) -> Iterator[str]:
    """Yield a section with its heading, or a heading for each block."""
    is_open = False
    for part in section.parts:
        if isinstance(part, InBlock):
            yield f"## {escape_line(f'{section.title}: {part.block}' if part.block else section.title)}"
            is_open = True
        elif not is_open:
            yield f"## {escape_line(section.title)}"
            is_open = True
        yield from _write_parts([part])


def _write_parts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case Paragraph():
                yield f"**{escape_line(part.text)}**" if part.role == "lead" else escape_line(part.text)
            case Bullets() | Gallery():
                yield "\n".join(f"- {escape_line(line)}" for line in part.lines)
            case Heading():
                yield f"### {escape_line(part.text)}"
            case Table():
                yield from [f"{escape_line(part.caption)}:"] if part.caption else []
                yield write_table(part.columns)
            case Code():
                yield f"{escape_line(part.label)}:"
                yield fence(part.text)
            case Details():
                # Folded parts are shown in full here, and a table or code has its own caption.
                yield from [] if isinstance(part.parts[0], Table | Code) else [f"{escape_line(part.summary)}:"]
                yield from _write_parts(part.parts)
            case InBlock():
                yield from _write_parts(part.parts)


def write_table(columns: Sequence[Column]) -> str:
    """Write a table in GitHub's flavour, headers in one line."""
    head = _write_row(" ".join(filter(None, column.header)) for column in columns)
    rule = "|" + "|".join(" ---: " if column.is_number else " --- " for column in columns) + "|"
    rows = [_write_row(cells) for cells in zip(*map(_list_cells, columns), strict=True)]
    return "\n".join([head, rule, *rows])


def _list_cells(column: Column) -> Iterable[str]:
    if column.notes is None:
        return column.cells
    return (f"{cell} {note}".strip() for cell, note in zip(column.cells, column.notes, strict=True))


def _write_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape_markdown(cell) or " " for cell in cells) + " |"
