"""What a page is made of: sections, and the parts that stand in them. Plain data; the templates spell it out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.html.gallery import Gallery
from bakeoff.report.tables import Column

SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}
"""Verdicts as signs: read without colour."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Sentences in a row; `is_quiet` where they explain rather than tell; `names` in them are set apart."""

    kind: ClassVar[str] = "paragraph"
    text: str
    is_quiet: bool = False
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[str, bool], ...]:
        """The text in pieces, each with whether it is one of the names."""
        return split_names(self.text, self.names)


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """Sentences one under the other; `names` in them are set apart."""

    kind: ClassVar[str] = "bullets"
    lines: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[tuple[str, bool], ...], ...]:
        """The lines in pieces, each with whether it is one of the names."""
        return tuple(split_names(line, self.names) for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        verdict: the word that colours it, one of SIGNS; empty for none.
        note: a second, quieter line.
    """

    text: str
    verdict: str = ""
    note: str = ""

    @property
    def sign(self) -> str:
        """The verdict's sign; empty without one."""
        return SIGNS.get(self.verdict, "")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows.
        headers: one per column; `is_number`: those set flush right.
        rows: cells, as many as there are headers.
    """

    kind: ClassVar[str] = "table"
    caption: str
    headers: tuple[str, ...]
    is_number: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One arm's line in the answer.

    Attributes:
        score: spelled.
        verdict: on the arm against the reference, one of SIGNS; empty where there is none.
        words: the verdict in words, or what the arm is instead of one.
        difference: from the reference, with its interval; empty without one.
    """

    arm: str
    score: str
    verdict: str
    words: str
    difference: str = ""

    @property
    def sign(self) -> str:
        """The verdict's sign; empty without one."""
        return SIGNS.get(self.verdict, "")


@dataclass(frozen=True, kw_only=True)
class Standings:
    """The arms of a block, best first, each beside the arm they are compared with.

    Attributes:
        measure, difference: headers of the columns of scores and differences.
        against: the arm the others are compared with.
    """

    kind: ClassVar[str] = "standings"
    caption: str
    measure: str
    difference: str
    against: str
    rows: tuple[Standing, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure to be drawn."""

    kind: ClassVar[str] = "figure"
    spec: FigureSpec


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text set as it is, line by line; `label` says what it is."""

    kind: ClassVar[str] = "code"
    label: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Details:
    """Parts that stay folded until they are asked for; `is_heading` where the summary is one for them."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: tuple[Part, ...]
    is_heading: bool = False
    is_open: bool = False


Part = Paragraph | Bullets | Heading | Table | Standings | Figure | Code | Details | Gallery


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page: its anchor, its heading, what stands in it."""

    anchor: str
    title: str
    parts: tuple[Part, ...] = field(default=())


def split_names(text: str, names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """Return a text in pieces, each with whether it is one of the names; the longest name that fits counts.

    Names of one or two characters are left alone: they would be found where nobody meant them.
    """
    known = sorted((name for name in names if len(name) > 2), key=len, reverse=True)
    if not known:
        return ((text, False),)
    pieces = re.split(rf"(?<!\w)({'|'.join(map(re.escape, known))})(?!\w)", text)
    return tuple((piece, number % 2 == 1) for number, piece in enumerate(pieces) if piece)


def make_section(anchor: str, title: str, parts: Iterable[Part | None]) -> Section | None:
    """Return a section of the parts there are, or None where there is none."""
    found = tuple(part for part in parts if part is not None)
    return Section(anchor=anchor, title=title, parts=found) if found else None


def make_table(caption: str, columns: Sequence[Column]) -> Table:
    """Return columns of text as a table; a column of verdicts carries their signs."""
    cells = [[_make_cell(column, text) for text in column.cells] for column in columns]
    return Table(
        caption=caption,
        headers=tuple(" ".join(line for line in column.header if line) for column in columns),
        is_number=tuple(column.is_number for column in columns),
        rows=tuple(zip(*cells, strict=True)),
    )


def _make_cell(column: Column, text: str) -> Cell:
    word = text.partition(" ")[0] if column.key.endswith("verdict") else ""
    return Cell(text=text.strip(), verdict=word if word in SIGNS else "")


def name_block(report: ReportInput, block: str) -> list[Part]:
    """Return a heading for what is told of a block; none in a study of one."""
    return [Heading(text=block)] if len(report.summary.blocks) > 1 else []


def list_figures(sections: Iterable[Section]) -> list[FigureSpec]:
    """Return every figure of a page, in order."""
    found: list[FigureSpec] = []

    def visit(parts: Iterable[Part]) -> None:
        for part in parts:
            if isinstance(part, Figure):
                found.append(part.spec)
            elif isinstance(part, Details):
                visit(part.parts)

    for section in sections:
        visit(section.parts)
    return found
