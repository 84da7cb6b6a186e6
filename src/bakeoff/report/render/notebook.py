"""Shows a result in a notebook: what a terminal shows, as HTML without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Bullets, Details, Paragraph, Part, Section, Table
from bakeoff.report.render.terminal import arrange
from bakeoff.report.sections import SECTIONS
from bakeoff.report.text import show_text


def write_cell(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> str:
    """Return a result as HTML for a notebook cell: question, scores, answers, and the path of the report."""
    written = [f"<p><b>{escape_html(report.question or report.name)}</b></p>"]
    for heading, parts in arrange(report, sections):
        written += [write_lines([heading]), *_write_parts(parts)]
    path = f"Report: {report.html_path or report.report_path}" if report.report_path else ""
    return "".join([*written, write_lines([path])])


def _write_parts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case Paragraph():
                yield write_lines([part.text])
            case Bullets():
                yield write_lines(part.lines)
            case Table():
                yield _write_table(part)
            case Details():
                yield write_lines([f"{part.summary}:"])
                yield from _write_parts(part.parts)


def _write_table(table: Table) -> str:
    heads = (f"<th>{'<br>'.join(map(escape_html, column.header))}</th>" for column in table.columns)
    rows = ("".join(f"<td>{escape_html(cell.text)}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>"


def write_lines(lines: Iterable[str]) -> str:
    """Return a paragraph of HTML for each line, without empty ones."""
    return "".join(f"<p>{escape_html(line)}</p>" for line in lines if line)


def escape_html(text: str) -> str:
    """Return user text as HTML that shows it verbatim."""
    return escape(show_text(text))
