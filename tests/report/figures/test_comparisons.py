"""Ranks, steps, ensembles, published values and sizes: what each figure draws, and when there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.report.costs import ArmCost
from bakeoff.report.document import ReportInput
from bakeoff.report.ensembles import EnsembleReport
from bakeoff.report.figures.cost import draw_size
from bakeoff.report.figures.ensembles import draw_ensembles
from bakeoff.report.figures.methods import Plots
from bakeoff.report.figures.ranks import draw_ranks
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.report.figures.steps import draw_steps
from bakeoff.stats.across import summarise_blocks
from bakeoff.stats.results import MeanSd
from bakeoff.stats.steps import Link, compare_steps
from bakeoff.study.published import Figure

Make = Callable[..., ReportInput]
NASTY = "<script>alert(1)</script>"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;"
ARMS = (NASTY, "glorot", "he")


def need(spec: FigureSpec | None) -> FigureSpec:
    assert spec is not None
    return spec


def find(spec: FigureSpec, name: str) -> dict[str, Any]:
    return next(trace for trace in spec.data if str(trace.get("name", "")).startswith(name))


def make_ensemble(label: str, over: str = "arms", sd: float | None = 0.01, split: str = "test") -> EnsembleReport:
    return EnsembleReport(
        block="digits",
        label=label,
        by="soft",
        over=over,
        members=ARMS if over == "arms" else ("he",),
        split=split,  # type: ignore[arg-type]
        metric="accuracy",
        num_votes=3,
        num_models=3,
        score=MeanSd(0.98, sd),
        before="he",
        before_score=0.97,
        mean_score=0.96,
        weights={},
        fitted=None,
        classes=(),
        sentence="",
    )


@pytest.fixture
def across(make_report: Make) -> ReportInput:
    report = make_report(blocks=tuple("abcdefgh"), arms=ARMS)
    return replace(report, across=summarise_blocks(report.summary))


def test_ranks_show_every_block_the_means_and_the_critical_difference(across: ReportInput) -> None:
    spec = need(draw_ranks(across))
    found = across.across
    assert found is not None
    assert found.critical_difference is not None
    assert len(find(spec, "one block")["x"]) == 3 * 8
    assert find(spec, "mean rank")["x"] == [found.mean_ranks[arm] for arm in found.arms]
    low, high = find(spec, "critical difference")["x"]
    assert high - low == pytest.approx(found.critical_difference.value, abs=1e-3)
    bars = [trace for trace in spec.data if trace["name"] == "not told apart"]
    assert len(bars) == len(found.critical_difference.groups)
    for bar, group in zip(bars, found.critical_difference.groups, strict=True):
        assert bar["x"] == pytest.approx([found.mean_ranks[group[0]], found.mean_ranks[group[-1]]], abs=1e-4)
    assert SHOWN in spec.layout["yaxis"]["ticktext"]
    assert f"Critical difference {found.critical_difference.value:.2f} at 95% confidence" in spec.alt


def test_ranks_against_a_baseline_have_no_bars_and_one_block_has_no_ranks(across: ReportInput) -> None:
    assert across.across is not None
    plain = replace(across, across=replace(across.across, critical_difference=None))
    assert [trace["name"] for trace in need(draw_ranks(plain)).data] == ["one block", "mean rank"]
    assert draw_ranks(replace(across, across=None)) is None

    class Mine(Plots):
        report = replace(across, across=None)

    with pytest.raises(BakeoffError, match="two or more blocks"):
        Mine().plot_ranks()


@pytest.fixture
def chain(make_report: Make) -> ReportInput:
    links = (
        Link(arm=NASTY),
        Link(arm="glorot", base=NASTY, start=NASTY, change="epochs=<b>2</b>"),
        Link(arm="he", base="glorot", start=NASTY, change="epochs=3"),
    )
    report = make_report(arms=ARMS, margin=0.001)
    return replace(report, steps=compare_steps(report.summary, links))


def test_steps_show_gains_in_points_with_their_intervals(chain: ReportInput) -> None:
    spec = need(draw_steps(chain, "digits"))
    trace = find(spec, "harms")
    adds = [step.adds for step in chain.steps if step.adds is not None]
    assert trace["x"] == pytest.approx([100 * (verdict.difference or 0) for verdict in adds], rel=1e-4)
    assert trace["y"] == [0, 1]
    verdict = adds[0]
    assert verdict.interval is not None
    assert verdict.difference is not None
    above = 100 * (verdict.interval[1] - verdict.difference)
    assert trace["error_x"]["array"][0] == pytest.approx(above, rel=1e-3)
    since = find(spec, "all since the start")
    assert len(since["x"]) == 1  # at the first step it is the step itself
    assert spec.layout["shapes"][0]["x1"] == pytest.approx(0.1)
    assert "&lt;b&gt;" in trace["text"][0]
    assert draw_steps(replace(chain, steps=()), "digits") is None
    assert draw_steps(chain, "elsewhere") is None


def test_a_step_that_lowers_a_loss_points_left(make_report: Make) -> None:
    report = make_report(arms=ARMS, metric="loss")
    links = (Link(arm="he"), Link(arm="glorot", base="he", start="he"))
    spec = need(draw_steps(replace(report, steps=compare_steps(report.summary, links)), "digits"))
    trace = find(spec, "helps")
    assert trace["x"][0] < 0
    assert trace["marker"]["symbol"] == "triangle-left"
    assert spec.layout["shapes"] == []
    assert spec.layout["xaxis"]["title"]["text"] == "difference in test loss"


def test_ensembles_show_before_and_after(make_report: Make) -> None:
    mine = (make_ensemble(NASTY), make_ensemble("committee", "replicates", None))
    spec = need(draw_ensembles(make_report(arms=ARMS, ensembles=mine), "digits"))
    assert spec.layout["yaxis"]["ticktext"] == [SHOWN, "committee: he"]
    assert find(spec, "before")["x"] == [0.97, 0.97]
    assert find(spec, "before")["name"] == "before: best member alone or one model alone, mean"
    after = find(spec, "after")
    assert (after["x"], after["error_x"]["array"]) == ([0.98, 0.98], [0.01, 0.0])
    alone = find(spec, "all models alone")
    assert (alone["x"], alone["y"]) == ([0.96], [0])  # of one arm's models it is what stands before the vote
    assert "from 97.00% (he) to 98.00%" in spec.alt
    assert draw_ensembles(make_report(arms=ARMS), "digits") is None


def test_ensembles_judged_on_several_splits_say_which(make_report: Make) -> None:
    mine = (make_ensemble("one", sd=None), make_ensemble("two", sd=None, split="validation"))
    spec = need(draw_ensembles(make_report(arms=ARMS, ensembles=mine), "digits"))
    assert spec.layout["yaxis"]["ticktext"] == ["one (test)", "two (validation)"]
    assert spec.layout["xaxis"]["title"]["text"] == "accuracy"
    assert "error_x" not in find(spec, "after")


def test_published_values_of_the_same_measure_are_marked(make_report: Make) -> None:
    given = (
        Figure(arm="he", metric="accuracy", value=0.95),
        Figure(arm="glorot", metric="accuracy", value=0.9, block="digits", split="test"),
        Figure(arm="he", metric="accuracy", value=0.1, split="train"),
        Figure(arm="he", metric="loss", value=0.2),
        Figure(arm="he", metric="accuracy", value=0.3, block="elsewhere"),
        Figure(arm="gone", metric="accuracy", value=0.4),
    )
    report = make_report(arms=ARMS, published=given)
    spec = need(draw_scores(report, "digits"))
    marks = find(spec, "published")
    rows = [spec.layout["yaxis"]["ticktext"].index(name) for name in ("he", "glorot")]
    assert (marks["x"], marks["y"]) == ([0.95, 0.9], rows)
    assert "published values: he 95.00%; glorot 90.00%." in spec.alt
    assert len(need(draw_scores(replace(report, published=()), "digits")).data) == 2


def test_sizes_are_drawn_where_they_differ(make_report: Make) -> None:
    costs = [
        ArmCost(block="digits", arm=arm, num_parameters=size, model_bytes=None)
        for arm, size in zip(ARMS, (1_000.0, 50_000.0, None), strict=True)
    ]
    spec = need(draw_size(make_report(arms=ARMS, costs=tuple(costs)), "digits"))
    assert [trace["x"] for trace in spec.data] == [[1000], [50000]]
    assert spec.layout["xaxis"]["type"] == "log"
    assert "largest: glorot, 50,000 parameters" in spec.alt
    level = tuple(replace(cost, num_parameters=7.0) for cost in costs)
    assert draw_size(make_report(arms=ARMS, costs=level), "digits") is None
    assert draw_size(make_report(arms=ARMS), "digits") is None
