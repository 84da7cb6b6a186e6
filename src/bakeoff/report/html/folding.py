"""Folds what a study of many blocks says of each: the first stays open, the others unfold on demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bakeoff.report.html.parts import Details, Heading, Part, Section

MOST_BLOCKS_OPEN = 3
"""Blocks that a page shows one under the other; of more, it shows the first."""


def fold_blocks(section: Section, blocks: Sequence[str]) -> Section:
    """Return a section with all blocks but the first folded, where the study has more than MOST_BLOCKS_OPEN.

    A block's part of a section begins at its heading and ends at the next block's.
    """
    if len(blocks) <= MOST_BLOCKS_OPEN:
        return section
    return replace(section, parts=tuple(_fold(section.parts, blocks)))


def _fold(parts: Iterable[Part], blocks: Sequence[str]) -> Iterable[Part]:
    known, name, gathered = frozenset(blocks), "", list[Part]()
    is_open = True
    for part in parts:
        if isinstance(part, Heading) and part.text in known:
            if name:
                yield _fold_one(name, gathered, is_open)
                is_open = False
            name, gathered = part.text, []
        elif name:
            gathered.append(part)
        else:
            yield part
    if name:
        yield _fold_one(name, gathered, is_open)


def _fold_one(name: str, parts: Sequence[Part], is_open: bool) -> Details:
    return Details(summary=name, parts=tuple(parts), is_heading=True, is_open=is_open)
