"""What a report is made of: sections, and the typed parts that stand in them. Renderers walk them; see `render/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bakeoff.report.export.frame import Frame
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.tables import EVERYWHERE, PAGES, Column, Medium

if TYPE_CHECKING:
    from bakeoff.report.document import ReportInput, Sources

SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}
"""Verdicts as signs: read without colour."""

Role = Literal["plain", "lead", "quiet", "notice", "alarm"]
"""What a paragraph is for: lead is the answer, quiet explains, notice and alarm are to be seen."""


MOST_BLOCKS_IN_FULL = 3
"""Blocks told one under the other; of more, a terminal shows an overview and a page folds all but the first."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What all parts have: `media` are those that show it, by default the two pages; LaTeX shows tables alone."""

    kind: ClassVar[str]
    media: Medium = PAGES


@dataclass(frozen=True, kw_only=True)
class Paragraph(Part):
    """Sentences in a row; `names` in them are set apart."""

    kind: ClassVar[str] = "paragraph"
    text: str
    role: Role = "plain"
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[str, bool], ...]:
        """The text in pieces, each with whether it is one of the names."""
        return split_names(self.text, self.names)


@dataclass(frozen=True, kw_only=True)
class Bullets(Part):
    """Sentences one under the other; `names` in them are set apart."""

    kind: ClassVar[str] = "bullets"
    lines: tuple[str, ...]
    role: Role = "plain"
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[tuple[str, bool], ...], ...]:
        """The lines in pieces, each with whether it is one of the names."""
        return tuple(split_names(line, self.names) for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Heading(Part):
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, the word of a verdict that it begins with, and a second, quieter line."""

    text: str
    verdict: str = ""
    note: str = ""

    @property
    def sign(self) -> str:
        """The verdict's sign; empty without one."""
        return SIGNS.get(self.verdict, "")


@dataclass(frozen=True, kw_only=True)
class Table(Part):
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows; a terminal leaves it out.
        label: in LaTeX, joined to the names of study and block; `paper`: its caption there, if it is another.
        sacrifices: what goes first where a terminal is too narrow; see `render.terminal.fit_columns`.
        is_split: whether a terminal that is too narrow cuts it into several tables.
        reference: the row that others are compared with, in a table that stands out; None in an ordinary one.
    """

    kind: ClassVar[str] = "table"
    caption: str = ""
    columns: Sequence[Column]
    label: str = ""
    paper: str = ""
    sacrifices: Sequence[tuple[str, str]] = ()
    is_split: bool = False
    reference: int | None = None

    @property
    def rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells, row by row."""
        return tuple(zip(*map(_make_cells, self.columns), strict=True))


@dataclass(frozen=True, kw_only=True)
class Figure(Part):
    """A figure of a block; the part is absent where there is nothing to draw.

    Attributes:
        draw: returns the figure of one block, or None. It is called for a page alone; `spec` is what it drew.
        block: its block; inside an `InBlock` it is that one.
    """

    kind: ClassVar[str] = "figure"
    media: Medium = Medium.HTML
    draw: Callable[[ReportInput, str], FigureSpec | None]
    block: str = ""
    spec: FigureSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Code(Part):
    """Text set as it is, line by line; `label` says what it is."""

    kind: ClassVar[str] = "code"
    label: str
    text: str

    @property
    def lines(self) -> list[str]:
        """The text line by line."""
        return self.text.strip("\n").split("\n")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: uint8 pixels [H, W, 1 or 3], what it shows in words, and short lines under it."""

    pixels_HWC: npt.NDArray[np.uint8] = field(compare=False, repr=False)
    alt: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PictureGroup:
    """Pictures of one class that were taken for another; `note` says how often that happened."""

    true: str
    predicted: str
    note: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Gallery(Part):
    """Groups of pictures; groups without pictures are told in words."""

    kind: ClassVar[str] = "gallery"
    groups: tuple[PictureGroup, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The groups in words."""
        return tuple(f"{group.true} taken for {group.predicted}: {group.note}" for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class Details(Part):
    """Parts that a page folds away until they are asked for."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class InBlock(Part):
    """What a section tells of one block of the study."""

    kind: ClassVar[str] = "block"
    media: Medium = EVERYWHERE
    block: str
    parts: tuple[Part, ...]


def _nothing(source: Sources | ReportInput) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report, in every output.

    Attributes:
        name: of letters and hyphens; `title`: its heading.
        gather: returns its facts, name -> value; the report holds them in its field of that name, else in `facts`.
        write: yields its parts; a section without any is absent.
        dump: returns what it adds to the JSON document: key -> plain values.
        tables: its tidy tables for CSV and pandas, by name.
    """

    name: str
    title: str
    write: Callable[[ReportInput], Iterable[Part]]
    gather: Callable[[Sources], Mapping[str, Any]] = _nothing
    dump: Callable[[ReportInput], Mapping[str, Any]] = _nothing
    tables: Mapping[str, Callable[[ReportInput], Frame]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A section as one medium shows it."""

    name: str
    title: str
    parts: tuple[Part, ...]


def by_block(write: Callable[[ReportInput, str], Iterable[Part]]) -> Callable[[ReportInput], Iterator[Part]]:
    """Return what yields the parts of every block, one after the other, from what yields those of one."""

    def write_all(report: ReportInput) -> Iterator[Part]:
        for block in report.summary.blocks:
            yield InBlock(block=block, parts=tuple(write(report, block)))

    return write_all


def compose(sections: Iterable[Section], report: ReportInput, medium: Medium) -> tuple[Written, ...]:
    """Return the sections that have something to say in a medium."""
    written = (
        Written(name=section.name, title=section.title, parts=tuple(_select(section.write(report), report, medium)))
        for section in sections
    )
    return tuple(section for section in written if section.parts)


def _select(parts: Iterable[Part], report: ReportInput, medium: Medium, block: str = "") -> Iterator[Part]:
    """Yield the parts that a medium shows; groups of which nothing is left, and empty figures, are left out."""
    for part in parts:
        if not part.media & medium:
            continue
        if isinstance(part, Table):
            yield replace(part, columns=[column for column in part.columns if column.media & medium])
        elif isinstance(part, Details | InBlock):
            inner = tuple(_select(part.parts, report, medium, part.block if isinstance(part, InBlock) else block))
            if inner:
                yield replace(part, parts=inner)
        elif isinstance(part, Figure):
            if (spec := part.draw(report, part.block or block)) is not None:
                yield replace(part, spec=spec)
        else:
            yield part


def split_names(text: str, names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """Return a text in pieces, each with whether it is one of the names; the longest name that fits counts.

    Names of one or two characters are left alone: they would be found where nobody meant them.
    """
    known = sorted((name for name in names if len(name) > 2), key=len, reverse=True)
    if not known:
        return ((text, False),)
    pieces = re.split(rf"(?<!\w)({'|'.join(map(re.escape, known))})(?!\w)", text)
    return tuple((piece, number % 2 == 1) for number, piece in enumerate(pieces) if piece)


def _make_cells(column: Column) -> Iterator[Cell]:
    notes = column.notes or ("",) * len(column.cells)
    for text, note in zip(column.cells, notes, strict=True):
        word = text.partition(" ")[0] if column.is_verdict else ""
        yield Cell(text.strip(), word if word in SIGNS else "", note)
