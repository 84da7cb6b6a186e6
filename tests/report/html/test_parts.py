from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.parts import (
    Details,
    Figure,
    InBlock,
    Paragraph,
    Part,
    Section,
    Table,
    compose,
    split_names,
)
from bakeoff.report.tables import Medium, texts


def test_the_longest_name_that_fits_is_set_apart() -> None:
    names = ("carried over", "carried over, frozen")
    pieces = split_names("On mnist, carried over, frozen beats carried over.", names)
    assert [text for text, is_name in pieces if is_name] == ["carried over, frozen", "carried over"]
    assert "".join(text for text, _ in pieces) == "On mnist, carried over, frozen beats carried over."


def test_names_are_found_whole_and_short_ones_not_at_all() -> None:
    assert split_names("adamw is no adam", ("adam",)) == (("adamw is no ", False), ("adam", True))
    assert split_names("a b", ("a", "b")) == (("a b", False),)
    assert split_names("C++ (1)", ("C++ (1)",)) == (("C++ (1)", True),)


def test_a_medium_gets_its_own_parts_and_nothing_empty(make_report: Callable[..., ReportInput]) -> None:
    spec = FigureSpec(title="t", alt="a", data=[], layout={})
    drawn = Figure(draw=lambda report, block: spec if block == "b" else None)
    quiet = Paragraph(text="on a terminal", media=Medium.TERMINAL)

    def write(report: ReportInput) -> Iterator[Part]:
        yield InBlock(block="a", parts=(drawn, Details(summary="empty", parts=(drawn,))))
        yield InBlock(block="b", parts=(drawn, quiet))

    section = Section(name="x", title="X", write=write)
    report = make_report()
    (page,) = compose([section], report, Medium.HTML)
    assert page.parts == (InBlock(block="b", parts=(replace(drawn, spec=spec),)),)
    (screen,) = compose([section], report, Medium.TERMINAL)
    assert screen.parts == (InBlock(block="b", parts=(quiet,)),)
    assert compose([section], report, Medium.LATEX) == ()


def test_verdicts_in_a_table_carry_signs() -> None:
    columns = [texts("a", ("better", "b")), texts("verdict", ("better than", "-"), "the", "verdict", is_verdict=True)]
    rows = Table(caption="caption", columns=columns).rows
    assert [[cell.sign for cell in row] for row in rows] == [["", "▲"], ["", ""]]
