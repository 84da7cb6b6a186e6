from __future__ import annotations

from collections.abc import Callable

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.html.comparison import compare_arms, stand_arms
from bakeoff.report.html.parts import Standings, Table

MakeReport = Callable[..., ReportInput]


def test_arms_stand_best_first_against_the_best(make_report: MakeReport) -> None:
    standings, legend = stand_arms(make_report(margin=0.0005).summary, {})
    assert isinstance(standings, Standings)
    assert [row.arm for row in standings.rows] == ["orthogonal", "random_normal", "random_uniform"]
    first, second, _ = standings.rows
    assert (first.verdict, first.words, first.difference) == ("", "the best mean", "")
    assert (second.verdict, second.words) == ("worse", "worse than orthogonal")
    assert second.difference.startswith("-0.")
    assert "Better and worse" in legend.text  # type: ignore[union-attr]


def test_a_missing_arm_stands_last_without_a_verdict(make_report: MakeReport) -> None:
    failed = [("orthogonal", replicate) for replicate in range(5)]
    standings, _ = stand_arms(make_report(failed=failed).summary, {})
    assert isinstance(standings, Standings)
    assert (standings.rows[-1].arm, standings.rows[-1].score) == ("orthogonal", "no trial done")
    assert standings.rows[-1].difference == ""


@pytest.mark.parametrize("blocks", [4])
def test_many_blocks_have_no_standings(make_report: MakeReport, blocks: int) -> None:
    assert list(stand_arms(make_report(blocks=[f"block {n}" for n in range(blocks)]).summary, {}))[:-1] == []


def test_the_matrix_reads_the_same_from_both_sides(make_report: MakeReport) -> None:
    section = compare_arms(make_report().summary, {}, None)
    assert section is not None
    (matrix,) = (p for p in section.parts if isinstance(p, Table) and p.caption.startswith("Each row"))
    opposite = {"better": "worse", "worse": "better", "inconclusive": "inconclusive", "": ""}
    cells = [row[1:] for row in matrix.rows]
    assert cells[0][1].verdict == "better"
    for i in range(3):
        for j in range(3):
            assert cells[i][j].verdict == opposite[cells[j][i].verdict]
            assert cells[i][j].note.strip("+-") == cells[j][i].note.strip("+-")


def test_with_a_baseline_there_is_no_matrix(make_report: MakeReport) -> None:
    from dataclasses import replace

    report = make_report()
    section = compare_arms(replace(report.summary, baseline="orthogonal"), {}, None)
    assert section is not None
    assert not any(isinstance(part, Table) and part.caption.startswith("Each row") for part in section.parts)
