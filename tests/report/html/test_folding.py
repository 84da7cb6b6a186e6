from __future__ import annotations

from bakeoff.report.html.folding import MOST_BLOCKS_OPEN, fold_blocks
from bakeoff.report.html.parts import Details, Heading, Paragraph, Section

BLOCKS = tuple(f"block {number}" for number in range(MOST_BLOCKS_OPEN + 1))


def make(blocks: tuple[str, ...]) -> Section:
    parts = [part for block in blocks for part in (Heading(text=block), Paragraph(text=f"of {block}"))]
    return Section(anchor="a", title="A", parts=(Paragraph(text="first"), Heading(text="other"), *parts))


def test_the_first_block_is_open_and_the_others_are_folded() -> None:
    first, other, *folded = fold_blocks(make(BLOCKS), BLOCKS).parts
    assert (first, other) == (Paragraph(text="first"), Heading(text="other"))
    assert folded == [
        Details(summary=block, parts=(Paragraph(text=f"of {block}"),), is_heading=True, is_open=number == 0)
        for number, block in enumerate(BLOCKS)
    ]


def test_few_blocks_and_sections_without_blocks_stay_as_they_are() -> None:
    few = BLOCKS[:MOST_BLOCKS_OPEN]
    assert fold_blocks(make(few), few) == make(few)
    assert fold_blocks(make(()), BLOCKS) == make(())
