from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from bakeoff.report.text import count, duration, duration_range, escape_line, escape_markdown, fence, p_value, show_text

NASTY = [
    "a|b",
    "[red]x[/red]",
    "<script>alert(1)</script>",
    "*bold* _it_ __x__ ~~gone~~",
    "`code` ![i](http://x/y.png) [l](javascript:x)",
    "# head",
    "- item",
    "+ item",
    "1. item",
    "12) item",
    "---",
    "===",
    "&lt;b&gt; &amp;",
    "back\\slash\\|",
    "he_normal_2",
    "$x$ @user #12 www.example.org https://example.org",
    "> quote",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("he_normal", "he_normal"),
        ("é 数 ±", "é 数 ±"),
        ("a\x1b[31mb\n\tc\x00", r"a\x1b[31mb\n\tc\x00"),
        ("a\u202eb\u2028c", r"a\u202eb\u2028c"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert show_text(text) == shown


@pytest.mark.parametrize("text", NASTY)
def test_markdown_shows_text_as_it_is(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(escape_line(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == text


@pytest.mark.parametrize("text", NASTY)
def test_table_cell_shows_text_as_it_is(text: str) -> None:
    table = f"| head | more |\n| --- | --- |\n| {escape_markdown(text)} | x |"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert "".join(child.content for child in cells[2].children or []) == text


def test_names_with_underscores_stay_readable() -> None:
    assert escape_markdown("he_normal 97.8% (-0.30 to 0.50)") == "he_normal 97.8% (-0.30 to 0.50)"


def test_fence_cannot_be_closed_from_inside() -> None:
    tokens = MarkdownIt().parse(fence("a\n````\n# b\n"))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content == "a\n````\n# b\n"


def test_figures() -> None:
    assert [duration(s) for s in (0.44, 9.96, 48.2, 119.9, 3000, 11520)] == [
        "0.4 s",
        "10 s",
        "48 s",
        "2 min",
        "50 min",
        "3.2 h",
    ]
    assert [duration_range(*each) for each in ((8 * 86400, 19 * 86400), (50, 240), (1.8, 18), (0.01, 2))] == [
        "8 to 19 days",
        "50 s to 4 min",
        "1.8 to 18 s",
        "10 ms to 2.0 s",
    ]
    assert [count(1, "trial"), count(1200, "trial"), count(0, "trial")] == ["1 trial", "1,200 trials", "0 trials"]
    assert [p_value(None), p_value(0.0004), p_value(0.0123)] == ["-", "<0.001", "0.012"]
