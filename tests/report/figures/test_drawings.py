"""What each figure draws: the numbers in its traces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bakeoff.ledger.curves import EpochRow
from bakeoff.report.curves import describe_curves
from bakeoff.report.document import ReportInput
from bakeoff.report.figures.calibration import draw_calibration
from bakeoff.report.figures.confusion import draw_confusion
from bakeoff.report.figures.cost import draw_cost
from bakeoff.report.figures.curves import MAX_ARMS, draw_curves
from bakeoff.report.figures.differences import draw_differences
from bakeoff.report.figures.power import draw_power
from bakeoff.report.figures.scores import draw_scores
from bakeoff.report.figures.search import draw_search
from bakeoff.report.figures.shared import interval_of_mean, round_all, spread
from bakeoff.report.figures.spec import FigureSpec
from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.prospect import Aim, look_ahead
from bakeoff.stats.prospects import Prospects
from bakeoff.stats.sources import VarianceSource


def need(spec: FigureSpec | None) -> FigureSpec:
    assert spec is not None
    return spec


def find(spec: FigureSpec, name: str) -> dict[str, Any]:
    return next(trace for trace in spec.data if trace.get("name") == name)


def test_power_falls_towards_the_limit_of_the_images(make_report: Callable[..., ReportInput]) -> None:
    assert draw_power(make_report(), "digits") is None
    spread_of_pairs = ExpectedSpread(sd=0.01, images=1e-5, num_images=2_000)
    source = VarianceSource(kind="trials", spread=spread_of_pairs, num_trials=15, images_from="predictions")
    report = make_report()
    aim = Aim(measure=report.summary.measure, replicates=5, level=0.01, num_pairs=3, margin=0.02, num_images=2_000)
    told = Prospects(blocks=(look_ahead("digits", aim, source),))
    spec = need(draw_power(replace(report, facts={"power": told}), "digits"))
    curve = find(spec, "shown with 80% power")
    assert (curve["x"][0], curve["x"][-1]) == (3, 50)
    assert curve["y"][2] == pytest.approx(100 * spread_of_pairs.find_detectable(5, 0.01), rel=1e-4)
    assert curve["y"] == sorted(curve["y"], reverse=True)
    limit = find(spec, "limit of the test images")["y"][0]
    assert limit == pytest.approx(100 * spread_of_pairs.find_limit(0.01), rel=1e-4)
    assert curve["y"][-1] > limit
    assert find(spec, "margin")["y"] == [2.0, 2.0]
    assert "by replicates: 3: " in spec.alt
    declared = Prospects(blocks=(look_ahead("digits", aim, replace(source, kind="declared")),))
    assert draw_power(replace(report, facts={"power": declared}), "digits") is None


def test_scores_show_every_replicate_and_t_intervals(make_report: Callable[..., ReportInput]) -> None:
    compared = make_report()
    # Where pairs have verdicts an arm's own interval may not stand beside them.
    assert "error_x" not in find(need(draw_scores(compared, "digits")), "mean")
    report = replace(compared, summary=replace(compared.summary, verdicts=()))
    spec = need(draw_scores(report, "digits"))
    assert len(find(spec, "one replicate")["x"]) == 15
    means = find(spec, "mean with 95% interval")
    best = max(report.summary.arms, key=lambda arm: np.mean(list(arm.scores.values())))
    values = list(best.scores.values())
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert means["x"][0] == pytest.approx(np.mean(values), rel=1e-4)
    assert means["error_x"]["array"][0] == pytest.approx((high - low) / 2, rel=1e-4)
    assert spec.layout["yaxis"]["ticktext"][0] == best.arm
    assert all(abs(y - round(y)) < 0.201 for y in find(spec, "one replicate")["y"])


def test_a_single_replicate_and_folds_have_no_interval(make_report: Callable[..., ReportInput]) -> None:
    assert "error_x" not in need(draw_scores(make_report(num_replicates=1), "digits")).data[1]
    report = make_report()
    arms = tuple(
        replace(arm, fold_scores={(run, fold): score for run, score in arm.scores.items() for fold in (0, 1)})
        for arm in report.summary.arms
    )
    folded = replace(report, summary=replace(report.summary, arms=arms, num_folds=2))
    spec = need(draw_scores(folded, "digits"))
    assert len(find(spec, "one fold")["x"]) == 30
    assert find(spec, "mean")


def test_curves_average_trials_until_fewer_than_half_are_left() -> None:
    rows = [
        EpochRow(trial, "b", "a", epoch, {"loss": float(trial)}, {"loss": float("nan") if trial else 1.0})
        for trial, last in enumerate((1, 2, 3, 3))
        for epoch in range(1, last + 1)
    ]
    train, validation = describe_curves(rows, ("loss", "accuracy"))
    assert (train.split, validation.split) == ("train", "validation")
    assert train.epochs == (1, 2, 3)
    assert train.mean == (1.5, 2.0, 2.5)
    assert train.num_training == (4, 3, 2)
    assert train.trials[0] == (0.0, None, None)
    assert validation.mean == (None, None, None)  # one of them is not finite
    (lonely, _) = describe_curves([*rows, EpochRow(3, "b", "a", 4, {"loss": 9.0}, {"loss": 9.0})], ("loss",))
    assert lonely.mean[-1] is None


def test_long_studies_stay_small(make_report: Callable[..., ReportInput]) -> None:
    arms = tuple(f"arm {number}" for number in range(50))
    rows = (
        EpochRow(20 * n + trial, "digits", arm, epoch, {"loss": 1 / epoch}, {"loss": 1.123456789 / epoch})
        for n, arm in enumerate(arms)
        for trial in range(20)
        for epoch in range(1, 101)
    )
    report = make_report(arms=arms, curves=describe_curves(rows, ("loss",)))
    spec = need(draw_curves(report, "digits"))
    assert len({trace["legendgroup"] for trace in spec.data}) == MAX_ARMS
    assert spec.data[0]["x"][0] == 1
    assert spec.data[0]["x"][-2:] == [100, None]
    assert spec.data[0]["x"].count(1) == 5  # fifty faint lines in all
    assert "the best 10 of 50 arms" in spec.alt
    assert len(json.dumps(spec.data)) < 500_000


def test_curves_of_a_metric_without_training_values_have_one_panel(full_report: ReportInput) -> None:
    spec = need(draw_curves(full_report, "digits", "macro_f1"))
    assert "yaxis2" not in spec.layout
    assert spec.layout["yaxis"]["title"]["text"] == "validation macro F1"
    both = need(draw_curves(full_report, "digits"))
    assert both.layout["yaxis2"]["matches"] == "y"
    assert sum(trace.get("showlegend") is not False for trace in both.data) == 3
    assert "type" not in both.layout["yaxis"]  # 0.67 to 3 is no decade


def test_confusion_shows_shares_of_the_true_class(full_report: ReportInput) -> None:
    spec = need(draw_confusion(full_report, "digits"))
    (trace,) = spec.data
    assert np.square(trace["z"][2]) == pytest.approx([0.4, 0.1, 0.5], abs=1e-3)
    assert trace["text"] == [["8", "2", ""], ["", "10", ""], ["4", "1", "5"]]
    assert trace["hovertext"][2][0].endswith("4 images, 40.00%")
    assert spec.layout["xaxis"]["tickvals"] == [0, 1, 2]  # classes of one name keep places of their own
    assert "1 predicted as <script>a</script> (4 images)" in spec.alt


def test_calibration_shows_every_bin_that_holds_images(full_report: ReportInput) -> None:
    bins = [each for each in full_report.evidence[0].reliability if each.num_images]
    spec = need(draw_calibration(full_report, "digits"))
    points = [trace for trace in spec.data if trace.get("mode") == "markers"]
    drawn = sorted((x, y) for trace in points for x, y in zip(trace["x"], trace["y"], strict=True))
    expected = sorted((each.confidence, each.accuracy) for each in bins)
    assert np.array(drawn) == pytest.approx(np.array(expected), rel=1e-4)
    few = find(spec, "fewer than 10 predictions")
    assert len(few["x"]) == sum(each.num_images < 10 for each in bins)
    assert few["marker"]["symbol"] == "circle-open"


def test_search_shows_the_best_so_far_by_generation(full_report: ReportInput) -> None:
    spec = need(draw_search(full_report, "digits"))
    best = find(spec, "search: best so far")
    assert (best["x"], best["y"]) == ([0, 1], [0.8, 0.9])
    assert find(spec, "search: mean")["y"] == [0.65, 0.8]
    assert find(spec, "search: winner")["y"] == [0.9]
    assert find(spec, "search: pruned")["y"] == [0.2]
    assert "from 80.00% to 90.00%" in spec.alt


def test_a_search_without_generations_goes_candidate_by_candidate(full_report: ReportInput) -> None:
    (search,) = full_report.searches
    report = replace(full_report, searches=(replace(search, has_generations=False),))
    best = find(need(draw_search(report, "digits")), "search: best so far")
    assert (best["x"], best["y"]) == ([0, 1, 3, 4], [0.5, 0.8, 0.8, 0.9])


def test_cost_sets_time_against_score(make_report: Callable[..., ReportInput]) -> None:
    spec = need(draw_cost(make_report(), "digits"))
    assert [trace["x"] for trace in spec.data] == [[2.1]] * 3
    assert all(trace["error_y"]["array"][0] > 0 for trace in spec.data)
    many = need(draw_cost(make_report(arms=tuple(f"arm {n}" for n in range(12))), "digits"))
    assert not any(trace["showlegend"] for trace in many.data)


@pytest.mark.parametrize("num_values", [0, 1, 2, 3, 8, 9, 10, 100])
def test_spread_visits_every_place_once(num_values: int) -> None:
    offsets = spread(num_values, 0.4)
    assert len(set(offsets)) == num_values
    assert all(abs(offset) <= 0.2 for offset in offsets)


def test_small_things() -> None:
    assert round_all([0.123456789, None, float("inf")]) == [0.12346, None, None]
    assert interval_of_mean([0.5], 0.95) is None


def test_differences_are_paired_and_carry_the_verdict(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(margin=0.002)
    spec = need(draw_differences(report, "digits"))
    arms = {arm.arm: np.array(list(arm.scores.values())) for arm in report.summary.arms}
    names = [name.partition("<br>")[0] for name in spec.layout["yaxis"]["ticktext"]]
    assert names == ["random_normal", "random_uniform"]  # each against the best, orthogonal
    points = find(spec, "one replicate")
    for row, name in enumerate(names):
        mine = [x for x, y in zip(points["x"], points["y"], strict=True) if round(y) == row]
        assert mine == pytest.approx(100 * (arms[name] - arms["orthogonal"]), rel=1e-3)
    means = [trace for trace in spec.data if "error_x" in trace]
    for trace in means:
        for x, row, above in zip(trace["x"], trace["y"], trace["error_x"]["array"], strict=True):
            (verdict,) = [
                v.seen_from(names[row]) for v in report.summary.verdicts if {v.a, v.b} == {names[row], "orthogonal"}
            ]
            assert trace["name"].startswith(verdict.verdict)
            assert spec.layout["yaxis"]["ticktext"][row].endswith(f"<i>{verdict.verdict}</i>")
            assert verdict.interval is not None
            assert x == pytest.approx(100 * (verdict.difference or 0), rel=1e-3)
            assert x + above == pytest.approx(100 * verdict.interval[1], rel=1e-3)
    (band,) = spec.layout["shapes"]
    assert (band["x0"], band["x1"]) == pytest.approx((-0.2, 0.2))


def test_without_a_verdict_there_is_no_difference_to_draw(make_report: Callable[..., ReportInput]) -> None:
    assert draw_differences(make_report(num_replicates=0), "digits") is None
    assert draw_differences(make_report(arms=("orthogonal",)), "digits") is None
