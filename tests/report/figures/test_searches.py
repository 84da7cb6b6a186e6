"""What a search's figures draw: importance, slices, and the winner's ancestors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.ledger.rows import CandidateRow
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.importance import MAX_SLICES, draw_importance, draw_slices
from bakeoff.report.figures.lineage import MAX_ANCESTORS, draw_lineage, find_line
from bakeoff.report.figures.methods import to_plotly
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.importance import FieldImportance, SearchImportance

NASTY = "<script>$x$</script>"


def need(spec: FigureSpec | None) -> FigureSpec:
    assert spec is not None
    return spec


def make_candidate(number: int, generation: int, score: float, parents: tuple[int, ...] = ()) -> CandidateRow:
    return CandidateRow(
        block="digits",
        kind="candidate",
        number=number,
        group=generation,
        generation=generation,
        parents=parents,
        changes={},
        notes=(f"crossover of {NASTY}",) if parents else ("drawn at random",),
        trial_ids=(),
        state="done",
        reason="",
        scores={"accuracy": score},
        same_as="",
        is_winner=number == 5,
    )


FAMILY = (
    make_candidate(0, 0, 0.5),
    make_candidate(1, 0, 0.7),
    make_candidate(2, 1, 0.6, (0, 1)),
    make_candidate(3, 1, 0.8, (1, 1)),
    make_candidate(5, 2, 0.9, (2, 3)),
)


def make_importance(num_fields: int = 3) -> SearchImportance:
    values: tuple[tuple[float | str | None, ...], ...] = ((0.001, 0.01, 0.1), ("adam", NASTY, "adam"), (1.0, None, 3.0))
    return SearchImportance(
        kind="candidate",
        num_candidates=3,
        num_good=1,
        numbers=(("candidate", 0), ("candidate", 1), ("random", 0)),
        scores=(0.5, None, 0.7),
        fields=tuple(
            FieldImportance(
                field=f"{NASTY}{n}", share=0.6 / (n + 1), chance=0.25, values=values[n % 3], is_log=n % 3 == 0
            )
            for n in range(num_fields)
        ),
    )


@pytest.fixture
def report(full_report: ReportInput) -> ReportInput:
    (search,) = full_report.searches
    kind = replace(search.kinds[0], lineage=FAMILY, winner=FAMILY[-1])
    return replace(full_report, searches=(replace(search, kinds=(kind,), importance=make_importance()),))


@pytest.mark.parametrize("drawer", [draw_importance, draw_slices, draw_lineage])
def test_plain_data_with_words_and_no_markup(
    drawer: Callable[[ReportInput, str], FigureSpec | None], report: ReportInput, make_report: Any
) -> None:
    spec = need(drawer(report, "digits"))
    text = json.dumps([spec.data, spec.layout], allow_nan=False)
    assert "<script" not in text
    assert len(spec.alt) > 60
    assert to_plotly(spec, "dark").layout.meta["alt"] == spec.alt
    assert drawer(make_report(), "digits") is None
    assert drawer(report, "elsewhere") is None


def test_importance_sets_chance_beside_every_field(report: ReportInput) -> None:
    shown, unshown, chance = need(draw_importance(report, "digits")).data
    assert (shown["x"], shown["y"]) == ([0.6, 0.3], [0, 1])
    assert (unshown["x"], unshown["y"]) == ([0.2], [2])
    assert unshown["marker"]["pattern"]["shape"] == "/"  # not by colour alone
    assert chance["x"] == [0.25] * 3


def test_slices_leave_out_what_has_no_score_or_value(report: ReportInput) -> None:
    spec = need(draw_slices(report, "digits"))
    drawn = {(trace["name"], trace["xaxis"]): (trace["x"], trace["y"]) for trace in spec.data}
    assert drawn["search", "x"] == ([0.001], [0.5])
    assert drawn["random baseline", "x"] == ([0.1], [0.7])
    assert drawn["search", "x2"] == ([1], [0.5])  # adam stands second: "<" comes before "a"
    assert (spec.layout["xaxis"]["type"], spec.layout["xaxis"]["dtick"]) == ("log", "D2")
    assert len(spec.layout["xaxis2"]["ticktext"]) == 2
    assert [trace["showlegend"] for trace in spec.data] == [True, True, False, False, False, False]
    (search,) = report.searches
    many = replace(report, searches=(replace(search, importance=make_importance(9)),))
    axes = [name for name in need(draw_slices(many, "digits")).layout if name.startswith("xaxis")]
    assert len(axes) == MAX_SLICES


def test_the_winners_line_goes_back_by_the_better_parent() -> None:
    by_number = {row.number: row for row in FAMILY}
    assert [row.number for row in find_line(by_number, FAMILY[-1], "accuracy")] == [1, 3, 5]
    assert find_line(by_number, None, "accuracy") == []


def test_a_lineage_stands_by_generation_and_value(report: ReportInput) -> None:
    spec = need(draw_lineage(report, "digits"))
    edges, line, drawn, children, winner = spec.data
    assert edges["x"].count(None) == 5  # two parents and two parents, and twice the same one
    assert (line["x"], line["y"]) == ([0, 1, 2], [0.7, 0.8, 0.9])
    assert (drawn["x"], children["x"], winner["x"]) == ([0, 0], [1, 1], [2])
    assert winner["marker"]["symbol"] == "star"
    assert "crossover of &lt;script" in children["hovertext"][0]
    assert "1 (70.00%), then 3 (80.00%), then 5 (90.00%)" in spec.alt


def test_a_long_lineage_keeps_its_latest(report: ReportInput) -> None:
    rows = [make_candidate(n + 10, n, n / 200, (n + 9,) if n else ()) for n in range(150)]
    winner = replace(rows[-1], is_winner=True)
    (search,) = report.searches
    kind = replace(search.kinds[0], lineage=(*rows[:-1], winner), winner=winner)
    spec = need(draw_lineage(replace(report, searches=(replace(search, kinds=(kind,)),)), "digits"))
    points = [trace for trace in spec.data if trace["mode"] == "markers+text"]
    assert sum(len(trace["x"]) for trace in points) == MAX_ANCESTORS
    assert "Only the latest of 150 are drawn." in spec.alt
