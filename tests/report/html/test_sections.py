from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import Bullets, InBlock, Paragraph, Part, Table, compose
from bakeoff.report.sections import SECTIONS
from bakeoff.report.tables import Medium

MakeReport = Callable[..., ReportInput]


def find(report: ReportInput, anchor: str) -> list[Part]:
    """Return what a page says in a section, of blocks what is told of each."""
    (section,) = (each for each in compose(SECTIONS, report, Medium.HTML) if each.name == anchor)
    return [inner for part in section.parts for inner in (part.parts if isinstance(part, InBlock) else [part])]


def test_the_answer_sets_arms_apart(make_report: MakeReport) -> None:
    sentence = find(make_report(), "answer")[0]
    assert isinstance(sentence, Paragraph)
    assert ("orthogonal", True) in sentence.pieces


def test_the_answer_of_several_blocks_begins_with_all_of_them(make_report: MakeReport) -> None:
    report = make_report(blocks=("digits", "mnist"))
    overall, sentences, *_ = find(report, "answer")
    assert isinstance(overall, Paragraph)
    assert isinstance(sentences, Bullets)
    assert overall.text == report.summary.overall
    assert len(sentences.lines) == 2


def test_the_finalists_of_a_search_are_told_who_they_are(full_report: ReportInput, make_report: MakeReport) -> None:
    report = make_report(arms=("default", "winner", "random"))
    told = find(replace(report, searches=full_report.searches), "answer")[-1]
    assert isinstance(told, Paragraph)
    assert "winner is the best recipe that the search (evolution) found; random is" in told.text
    unsaid = find(report, "answer")[-1]
    assert isinstance(unsaid, Paragraph)
    assert "random is" not in unsaid.text


def test_steps_leave_the_other_measures_to_the_comparison(full_report: ReportInput) -> None:
    table = find(full_report, "steps")[-1]
    assert isinstance(table, Table)
    headers = [" ".join(column.header) for column in table.columns]
    assert [header for header in headers if "accuracy" in header or "F1" in header] == ["test accuracy %"]


def test_cost_adds_up_the_trials(make_report: MakeReport) -> None:
    table = find(make_report(), "cost")[-1]
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0][-2:]] == ["2.1 s", "10 s"]  # five trials of 2.1 s


def test_many_failures_are_folded(make_report: MakeReport) -> None:
    failed = [("orthogonal", replicate) for replicate in range(25)]
    kinds = [part.kind for part in find(make_report(num_replicates=30, failed=failed), "failures")]
    assert kinds == ["paragraph", "details"]
