"""The tables of a study for a paper: every table of the report that has a label, with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bakeoff import __version__
from bakeoff.report.document import ReportInput
from bakeoff.report.parts import InBlock, Part, Section, Table, compose
from bakeoff.report.render.latex_escape import escape_latex
from bakeoff.report.render.latex_table import LatexTable, set_column, write_table
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Medium


def write_latex(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> str:
    r"""Write the tables of a study as LaTeX, to be read in with \input; needs the booktabs package and nothing else.

    In the order of the report. Pure ASCII; user text stays text, whatever it holds.
    """
    head = [
        f"% Tables of the study {escape_latex(report.name)}, made by bakeoff {__version__}.",
        r"% They need \usepackage{booktabs} in the preamble, and nothing else.",
    ]
    written = compose(sections, report, Medium.LATEX)
    tables = list(_list_tables((part for section in written for part in section.parts), report.name, ""))
    return "\n\n".join(["\n".join(head), *map(write_table, _part_labels(tables))]) + "\n"


def _list_tables(parts: Iterable[Part], study: str, block: str) -> Iterator[LatexTable]:
    for part in parts:
        if isinstance(part, InBlock):
            yield from _list_tables(part.parts, study, part.block)
        elif isinstance(part, Table):
            yield LatexTable(
                caption=escape_latex(part.paper or part.caption),
                label=make_label(study, block, part.label),
                columns=list(map(set_column, part.columns)),
            )


def _part_labels(tables: Sequence[LatexTable]) -> Iterator[LatexTable]:
    """Number labels that would be the same: names of blocks may differ in characters that no label holds."""
    seen: dict[str, int] = {}
    for table in tables:
        seen[table.label] = seen.get(table.label, 0) + 1
        again = seen[table.label]
        label = table.label if again == 1 else f"{table.label}-again-{again}"
        yield LatexTable(caption=table.caption, label=label, columns=table.columns)


def make_label(study: str, block: str, table: str) -> str:
    """Return a label of ASCII letters, digits and hyphens."""
    words = (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() for text in (study, block, table))
    return "-".join(filter(None, words))
