from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bakeoff.report.document import ReportInput
from bakeoff.report.parts import InBlock, Paragraph, Table, compose
from bakeoff.report.sections import answer, comparison
from bakeoff.report.tables import Medium

MakeReport = Callable[..., ReportInput]


def stand(report: ReportInput) -> tuple[list[Table], list[Paragraph]]:
    (written,) = compose([answer.SECTION], report, Medium.HTML)
    tables = [part for part in written.parts if isinstance(part, Table)]
    return tables, [part for part in written.parts if isinstance(part, Paragraph)]


def find_matrices(report: ReportInput) -> list[Table]:
    (written,) = compose([comparison.SECTION], report, Medium.HTML)
    parts = [inner for part in written.parts if isinstance(part, InBlock) for inner in part.parts]
    return [part for part in parts if isinstance(part, Table) and part.columns[-1].notes is not None]


def test_arms_stand_best_first_against_the_best(make_report: MakeReport) -> None:
    (standings,), paragraphs = stand(make_report(margin=0.0005))
    assert standings.reference == 0
    assert [row[0].text for row in standings.rows] == ["orthogonal", "random_normal", "random_uniform"]
    (_, _, *first), (_, _, verdict, difference), _ = standings.rows
    assert [(cell.text, cell.verdict) for cell in first] == [("the best mean", ""), ("", "")]
    assert (verdict.verdict, verdict.text) == ("worse", "worse than orthogonal")
    assert difference.text.startswith("-0.")
    assert "Better and worse" in paragraphs[-1].text


def test_a_missing_arm_stands_last_without_a_verdict(make_report: MakeReport) -> None:
    failed = [("orthogonal", replicate) for replicate in range(5)]
    (standings,), _ = stand(make_report(failed=failed))
    arm, score, _, difference = standings.rows[-1]
    assert (arm.text, score.text, difference.text) == ("orthogonal", "no trial done", "")


@pytest.mark.parametrize("blocks", [4])
def test_many_blocks_have_no_standings(make_report: MakeReport, blocks: int) -> None:
    tables, _ = stand(make_report(blocks=[f"block {n}" for n in range(blocks)]))
    assert tables == []


def test_the_matrix_reads_the_same_from_both_sides(make_report: MakeReport) -> None:
    (matrix,) = find_matrices(make_report())
    opposite = {"better": "worse", "worse": "better", "inconclusive": "inconclusive", "": ""}
    cells = [row[1:] for row in matrix.rows]
    assert cells[0][1].verdict == "better"
    for i in range(3):
        for j in range(3):
            assert cells[i][j].verdict == opposite[cells[j][i].verdict]
            assert cells[i][j].note.strip("+-") == cells[j][i].note.strip("+-")


def test_with_a_baseline_there_is_no_matrix(make_report: MakeReport) -> None:
    report = make_report()
    assert find_matrices(replace(report, summary=replace(report.summary, baseline="orthogonal"))) == []
