"""The tables of a study for a paper: all tables of the report that are shown in LaTeX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from bakeoff import __version__
from bakeoff.report.document import ReportInput
from bakeoff.report.parts import InBlock, Part, Section, Table, compose
from bakeoff.report.render.latex_escape import escape_latex
from bakeoff.report.render.latex_table import write_table
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Medium


def write_latex(report: ReportInput, sections: Sequence[Section] = SECTIONS) -> str:
    r"""Write the tables of a study as LaTeX for \input; needs only the booktabs package.

    The output is pure ASCII, and user text stays text.
    """
    head = [
        f"% Tables of the study {escape_latex(report.name)}, made by bakeoff {__version__}.",
        r"% They need \usepackage{booktabs} in the preamble, and nothing else.",
    ]
    written = compose(sections, report, Medium.LATEX)
    seen: Counter[str] = Counter()
    parts = ["\n".join(head)]
    for block, table in _list_tables(part for section in written for part in section.parts):
        label = make_label(report.name, block, table.label)
        seen[label] += 1
        if seen[label] > 1:  # block names may differ only in characters that labels cannot have
            label += f"-again-{seen[label]}"
        parts.append(write_table(escape_latex(table.paper or table.caption), label, table.columns))
    return "\n\n".join(parts) + "\n"


def _list_tables(parts: Iterable[Part], block: str = "") -> Iterator[tuple[str, Table]]:
    for part in parts:
        if isinstance(part, InBlock):
            yield from _list_tables(part.parts, part.block)
        elif isinstance(part, Table):
            yield block, part


def make_label(study: str, block: str, table: str) -> str:
    """Return a label of ASCII letters, digits and hyphens."""
    words = (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() for text in (study, block, table))
    return "-".join(filter(None, words))
