from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from bakeoff.report.document import ReportInput
from bakeoff.report.render.markdown import write_markdown
from bakeoff.study.published import Figure

MakeReport = Callable[..., ReportInput]


def headings(text: str) -> list[str]:
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def parse_rows(text: str) -> list[list[str]]:
    """Return every table row as Markdown reads it."""
    rows: list[list[str]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif before.type in ("td_open", "th_open"):
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


def test_answer_comes_first_and_everything_follows(make_report: MakeReport) -> None:
    text = write_markdown(make_report(failed=[("orthogonal", 1)]))
    lines = text.splitlines()
    assert lines[0] == "# Which weight initializer serves LeNet best?"
    assert lines[2].startswith("**On digits, orthogonal is better than random_normal and random_uniform")
    assert headings(text) == [
        "What it rests on",
        "Scores and verdicts: digits",
        "Published against measured",
        "Cost: digits",
        "Failures",
        "Appendix",
    ]
    assert "bakeoff run quickstart" in text
    assert "The test split was opened once" in text
    assert "question: Which?" in text


def test_all_pairs_and_their_matrix_are_there(make_report: MakeReport) -> None:
    rows = parse_rows(write_markdown(make_report()))
    assert ["orthogonal", "better than", "random_normal"] in [row[:3] for row in rows]
    words = [[cell.partition(" ")[0] for cell in row] for row in rows]
    assert ["random_normal", "worse", "-", "better"] in words
    pairs = [row for row in rows if len(row) == 14]
    assert len(pairs) == 1 + 3


def test_published_is_set_beside_measured(make_report: MakeReport) -> None:
    figures = (
        Figure(arm="orthogonal", metric="accuracy", value=0.97),
        Figure(arm="nobody", metric="accuracy", value=0.5),
        Figure(arm="orthogonal", metric="loss", value=1),
    )
    report = make_report(published=figures)
    mean = report.summary.arms[0].test["accuracy"].mean
    rows = parse_rows(write_markdown(report))
    measured = next(row for row in rows if row[:3] == ["digits", "orthogonal", "test accuracy"])
    assert measured[3] == "97.00%"
    assert measured[4].startswith(f"{100 * mean:.2f}% ± ")
    assert measured[5] == f"{100 * (mean - 0.97):+.2f}"
    assert ["digits", "nobody", "test accuracy", "50.00%", "not measured", "-"] in rows
    assert ["digits", "orthogonal", "test loss", "1.0000"] in [row[:4] for row in rows]


def test_many_blocks_get_an_overview_and_an_answer_each(make_report: MakeReport) -> None:
    text = write_markdown(make_report(blocks=("x", "y", "z")))
    assert "All blocks" in headings(text)
    assert text.count("- On ") == 3
    assert "**Best, or not shown to be worse, in each of 3 blocks: orthogonal." in text
    overview = [row for row in parse_rows(text) if row[0] in ("block", "x")][:2]
    assert overview[0] == ["block", "orthogonal", "random_normal", "random_uniform"]
    assert overview[1][1].endswith("*")


@pytest.mark.parametrize("num_replicates", [0, 1])
def test_sections_with_nothing_to_say_are_absent(make_report: MakeReport, num_replicates: int) -> None:
    bare = make_report(
        arms=("only",), num_replicates=num_replicates, published=(), study_text="", versions={}, hardware={}, numeric=""
    )
    scored = ["Cost: digits"] if num_replicates else []
    told = ["What it rests on", "Scores and verdicts: digits", *scored, "Appendix"]
    assert headings(write_markdown(bare)) == told


def test_weird_names_stay_text(make_report: MakeReport) -> None:
    names = ("a|b", "<script>alert(1)</script>", "[x](javascript:y)", "\x1b[31m\n# head", "**bold**")
    text = write_markdown(make_report(blocks=("<b>|",), arms=names, question="# Why *not*?\n"))
    assert "<script" not in text
    assert "\x1b" not in text
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<b>" not in html
    assert "<a " not in html
    assert html.count("<h1>") == 1
    first_cells = [row[0] for row in parse_rows(text)]
    for name in ("a|b", "<script>alert(1)</script>", "[x](javascript:y)", r"\x1b[31m\n# head", "**bold**"):
        assert name in first_cells
