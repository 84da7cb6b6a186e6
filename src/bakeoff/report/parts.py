"""The parts a report is made of: sections, and the typed parts in them, which the renderers in `render/` write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bakeoff.report.export.frame import Frame
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.tables import EVERYWHERE, NOWHERE, PAGES, Column, Medium
from bakeoff.stats.results import Summary

if TYPE_CHECKING:
    from bakeoff.report.document import ReportInput, Sources

SIGNS = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}
"""A sign for each verdict, readable without colour."""

Role = Literal["plain", "lead", "quiet", "notice", "alarm"]
"""The purpose of a paragraph: lead is the answer, quiet explains, notice and alarm need attention."""

MOST_BLOCKS_IN_FULL = 3
"""With more blocks, a terminal shows an overview only, and a page folds all but the first."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Base of all parts. `media` are the outputs that show it, by default the two pages; LaTeX shows only tables."""

    kind: ClassVar[str]
    media: Medium = PAGES


@dataclass(frozen=True, kw_only=True)
class Paragraph(Part):
    """Sentences in a row; `names` in them are highlighted."""

    kind: ClassVar[str] = "paragraph"
    text: str
    role: Role = "plain"
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[str, bool], ...]:
        """The text in pieces, each with whether it is a name."""
        return split_names(self.text, self.names)


@dataclass(frozen=True, kw_only=True)
class Bullets(Part):
    """A list of sentences; `names` in them are highlighted."""

    kind: ClassVar[str] = "bullets"
    lines: tuple[str, ...]
    role: Role = "plain"
    names: tuple[str, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[tuple[str, bool], ...], ...]:
        """The pieces of each line."""
        return tuple(split_names(line, self.names) for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Heading(Part):
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, the verdict it starts with if any, and a quieter second line."""

    text: str
    verdict: str = ""
    note: str = ""

    @property
    def sign(self) -> str:
        """The verdict's sign, or empty text."""
        return SIGNS.get(self.verdict, "")


@dataclass(frozen=True, kw_only=True)
class Table(Part):
    """A table whose first column names its rows.

    Attributes:
        caption: not shown in a terminal.
        label: its LaTeX label, prefixed with the study and block.
        paper: its caption in LaTeX, if different.
        sacrifices: what to shorten or drop first in a narrow terminal; see `render.terminal.fit_columns`.
        is_split: whether a narrow terminal splits it into several tables.
        reference: the row the others are compared with, in a highlighted table; None in an ordinary one.
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
    """A figure of one block; left out if there is nothing to draw.

    Attributes:
        draw: returns the figure of a block, or None; called only for pages.
        block: set automatically inside an `InBlock`.
        spec: what `draw` returned.
    """

    kind: ClassVar[str] = "figure"
    media: Medium = Medium.HTML
    draw: Callable[[ReportInput, str], FigureSpec | None]
    block: str = ""
    spec: FigureSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Code(Part):
    """Preformatted text with a label."""

    kind: ClassVar[str] = "code"
    label: str
    text: str

    @property
    def lines(self) -> list[str]:
        """The text line by line."""
        return self.text.strip("\n").split("\n")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: uint8 pixels [H, W, 1 or 3], alternative text, short lines below it, and its file, if known."""

    pixels_HWC: npt.NDArray[np.uint8] = field(compare=False, repr=False)
    alt: str
    notes: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True, kw_only=True)
class PictureGroup:
    """Pictures that go together: of one class that were predicted as another; `note` says how often that happened.

    Groups of other kinds join two names by other words.
    """

    most_named: ClassVar[int] = 3

    true: str
    predicted: str
    note: str
    pictures: tuple[Picture, ...] = ()
    joined: str = "predicted as"


@dataclass(frozen=True, kw_only=True)
class Gallery(Part):
    """Groups of pictures; without pictures, its lines are shown."""

    kind: ClassVar[str] = "gallery"
    groups: tuple[PictureGroup, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The groups in words."""
        return tuple(
            f"{group.true} {group.joined} {group.predicted}: {group.note}{self._name_files(group)}"
            for group in self.groups
        )

    def _name_files(self, group: PictureGroup) -> str:
        names = [picture.file for picture in group.pictures if picture.file][: group.most_named]
        return f" (worst: {', '.join(names)})" if names else ""


@dataclass(frozen=True, kw_only=True)
class Details(Part):
    """Parts that a page shows folded."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class InBlock(Part):
    """The parts of a section that are about one block."""

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
        name: letters and hyphens.
        title: its heading.
        gather: returns its facts by name; the report stores them in its field of that name, or else in `facts`.
        write: yields its parts; a section without parts is left out.
        dump: returns what it adds to the JSON document, as plain values.
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
    """A section with the parts that one medium shows."""

    name: str
    title: str
    parts: tuple[Part, ...]


def by_block(write: Callable[[ReportInput, str], Iterable[Part]]) -> Callable[[ReportInput], Iterator[Part]]:
    """Turn a function that writes one block into one that writes all of them."""

    def write_all(report: ReportInput) -> Iterator[Part]:
        for block in report.summary.blocks:
            yield InBlock(block=block, parts=tuple(write(report, block)))

    return write_all


def terminal_if_few(summary: Summary) -> Medium:
    """Return the terminal if the study has few enough blocks to show each in full there, else no medium."""
    return Medium.TERMINAL if len(summary.blocks) <= MOST_BLOCKS_IN_FULL else NOWHERE


def compose(sections: Iterable[Section], report: ReportInput, medium: Medium) -> tuple[Written, ...]:
    """Return the sections that have parts for a medium."""
    written = (
        Written(name=section.name, title=section.title, parts=tuple(_select(section.write(report), report, medium)))
        for section in sections
    )
    return tuple(section for section in written if section.parts)


def _select(parts: Iterable[Part], report: ReportInput, medium: Medium, block: str = "") -> Iterator[Part]:
    """Yield the parts that a medium shows, without empty groups and figures."""
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
    """Split a text into pieces, each with whether it is one of the names; longer names take precedence.

    Names of one or two characters are ignored, because they would also match ordinary text.
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
