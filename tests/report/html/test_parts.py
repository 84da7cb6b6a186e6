from __future__ import annotations

from bakeoff.report.html.parts import Paragraph, make_section, make_table, split_names
from bakeoff.report.tables import Column


def test_the_longest_name_that_fits_is_set_apart() -> None:
    names = ("carried over", "carried over, frozen")
    pieces = split_names("On mnist, carried over, frozen beats carried over.", names)
    assert [text for text, is_name in pieces if is_name] == ["carried over, frozen", "carried over"]
    assert "".join(text for text, _ in pieces) == "On mnist, carried over, frozen beats carried over."


def test_names_are_found_whole_and_short_ones_not_at_all() -> None:
    assert split_names("adamw is no adam", ("adam",)) == (("adamw is no ", False), ("adam", True))
    assert split_names("a b", ("a", "b")) == (("a b", False),)
    assert split_names("C++ (1)", ("C++ (1)",)) == (("C++ (1)", True),)


def test_a_section_without_parts_is_none() -> None:
    assert make_section("x", "X", [None]) is None
    section = make_section("x", "X", [None, Paragraph(text="a")])
    assert section is not None
    assert section.parts == (Paragraph(text="a"),)


def test_verdicts_in_a_table_carry_signs() -> None:
    columns = [
        Column(key="a", header=("arm",), cells=("better", "b"), is_number=False),
        Column(key="verdict", header=("the", "verdict"), cells=("better than", "-"), is_number=False),
    ]
    table = make_table("caption", columns)
    assert table.headers == ("arm", "the verdict")
    assert [[cell.sign for cell in row] for row in table.rows] == [["", "▲"], ["", ""]]
