from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import MOST_BLOCKS_IN_FULL, InBlock, Paragraph, Part, Section
from bakeoff.report.render.html import write_html

BLOCKS = tuple(f"block {number}" for number in range(MOST_BLOCKS_IN_FULL + 1))


def write(report: ReportInput) -> Iterator[Part]:
    yield Paragraph(text="first")
    for block in report.summary.blocks:
        yield InBlock(block=block, parts=(Paragraph(text=f"of {block}"),))


def body(report: ReportInput) -> str:
    page = write_html(report, [Section(name="a", title="A", write=write)])
    return re.sub(r"\s+", "", page.partition("<main>")[2].partition("</main>")[0])


def test_the_first_block_is_open_and_the_others_are_folded(make_report: Callable[..., ReportInput]) -> None:
    folded = [
        f"<details{'open' if number == 0 else ''}><summary><h3>{block}</h3></summary><p>of{block}</p></details>"
        for number, block in enumerate(name.replace(" ", "") for name in BLOCKS)
    ]
    assert f"<p>first</p>{''.join(folded)}</section>" in body(make_report(blocks=BLOCKS))


def test_few_blocks_stand_open_and_a_single_one_has_no_heading(make_report: Callable[..., ReportInput]) -> None:
    few = body(make_report(blocks=BLOCKS[:MOST_BLOCKS_IN_FULL]))
    assert "details" not in few
    assert "<h3>block0</h3><p>ofblock0</p><h3>block1</h3>" in few
    assert "<p>first</p><p>ofblock0</p></section>" in body(make_report(blocks=BLOCKS[:1]))
