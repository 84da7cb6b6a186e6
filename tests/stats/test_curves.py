from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from bakeoff.stats.curves import (
    MOST_PLACES,
    RocCurve,
    average_roc_curves,
    thin_roc_curve,
    trace_roc_curve,
    trace_roc_curves,
)


def draw_scores(num_images: int, seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(num_images) < 0.3
    scores = rng.random(num_images) + 0.4 * positive
    return (np.round(scores, 1) if ties else scores), positive


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("num_images", [5, 60, 150])
def test_curve_agrees_with_scikit_learn(num_images: int, ties: bool) -> None:
    scores, positive = draw_scores(num_images, num_images, ties)
    found = trace_roc_curve(scores, positive)
    false, true, _ = oracle.roc_curve(positive, scores, drop_intermediate=False)
    assert found is not None
    # Only points on a straight line between their neighbours are dropped.
    whole = np.round(np.stack([false, true], axis=1), 6).tolist()
    kept = np.round(np.stack([found.false_positive_rates, found.true_positive_rates], axis=1), 6).tolist()
    assert [point for point in whole if point in kept] == kept
    for before, after in itertools.pairwise(kept):
        for x, y in whole[whole.index(before) : whole.index(after)]:
            lever = (after[0] - before[0]) * (y - before[1]) - (after[1] - before[1]) * (x - before[0])
            assert lever == pytest.approx(0, abs=1e-5)
    assert oracle.auc(found.false_positive_rates, found.true_positive_rates) == pytest.approx(found.auc)
    assert found.auc == pytest.approx(oracle.roc_auc_score(positive, scores))


@pytest.mark.parametrize("ties", [False, True])
def test_area_is_the_chance_that_a_positive_scores_higher(ties: bool) -> None:
    scores, positive = draw_scores(80, 9, ties)
    u = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    found = trace_roc_curve(scores, positive)
    assert found is not None
    assert found.auc == pytest.approx(u / (positive.sum() * (~positive).sum()))


def test_a_mean_curve_is_the_mean_at_every_rate_and_its_area_the_mean_area() -> None:
    drawn = [draw_scores(300, seed, ties=seed == 2) for seed in range(4)]
    curves = [trace_roc_curve(*each) for each in drawn]
    mean = average_roc_curves([curve for curve in curves if curve is not None])
    areas = [oracle.roc_auc_score(positive, scores) for scores, positive in drawn]
    assert mean.auc == pytest.approx(np.mean(areas))
    assert oracle.auc(mean.false_positive_rates, mean.true_positive_rates) == pytest.approx(mean.auc)
    # Between two corners nothing is steep, and scikit-learn's curves may be read off.
    between = np.unique(mean.false_positive_rates)
    between = (between[1:] + between[:-1]) / 2
    rates = [oracle.roc_curve(positive, scores)[:2] for scores, positive in drawn]
    expected = np.mean([np.interp(between, *rate) for rate in rates], axis=0)
    assert np.interp(between, mean.false_positive_rates, mean.true_positive_rates) == pytest.approx(expected)
    assert (mean.false_positive_rates[0], mean.true_positive_rates[0]) == (0, 0)
    assert (mean.false_positive_rates[-1], mean.true_positive_rates[-1]) == (1, 1)


def test_the_mean_of_one_curve_is_that_curve() -> None:
    curve = trace_roc_curve(*draw_scores(100, 1, ties=True))
    assert curve is not None
    mean = average_roc_curves([curve])
    assert _distance(curve, mean) == _distance(mean, curve) == pytest.approx(0)


def test_means_of_many_corners_stay_close_and_their_area_exact() -> None:
    curves = [trace_roc_curve(*draw_scores(20_000, seed, ties=False)) for seed in range(3)]
    mean = average_roc_curves([curve for curve in curves if curve is not None])
    assert len(mean.true_positive_rates) == 2 * MOST_PLACES
    assert oracle.auc(mean.false_positive_rates, mean.true_positive_rates) == pytest.approx(mean.auc, abs=1e-4)


@pytest.mark.parametrize("max_points", [2, 20, 100])
def test_a_thinned_curve_stays_as_close_as_it_says(max_points: int) -> None:
    whole = trace_roc_curve(*draw_scores(5_000, 2, ties=False))
    assert whole is not None
    thin, error = thin_roc_curve(whole, max_points)
    assert len(thin.true_positive_rates) == len(thin.false_positive_rates) == max_points
    assert thin.auc == whole.auc
    assert error == pytest.approx(_distance(whole, thin), abs=1e-9)
    assert error < {2: 1, 20: 0.01, 100: 0.003}[max_points]
    assert (thin.false_positive_rates[0], thin.true_positive_rates[0]) == (0, 0)
    assert (thin.false_positive_rates[-1], thin.true_positive_rates[-1]) == (1, 1)


def test_a_short_curve_is_kept_whole() -> None:
    whole = trace_roc_curve(*draw_scores(30, 3, ties=False))
    assert whole is not None
    thin, error = thin_roc_curve(whole, 100)
    assert error == 0
    assert np.array_equal(thin.true_positive_rates, whole.true_positive_rates)


def _distance(of: RocCurve, to: RocCurve) -> float:
    """Return how far the corners of one curve are from another at most."""
    starts = np.stack([to.false_positive_rates, to.true_positive_rates], axis=1)
    steps = np.diff(starts, axis=0)
    lengths = np.maximum((steps**2).sum(axis=1), 1e-30)
    worst = 0.0
    for point in np.stack([of.false_positive_rates, of.true_positive_rates], axis=1):
        shares = np.clip(((point - starts[:-1]) * steps).sum(axis=1) / lengths, 0, 1)
        worst = max(worst, np.hypot(*(starts[:-1] + shares[:, None] * steps - point).T).min())
    return worst


def test_a_class_that_never_or_always_occurs_has_no_curve() -> None:
    scores = np.linspace(0, 1, 4)
    assert trace_roc_curve(scores, np.zeros(4, dtype=bool)) is None
    assert trace_roc_curve(scores, np.ones(4, dtype=bool)) is None
    assert trace_roc_curves(np.eye(2)[[0, 0]], np.array([0, 0])) == (None, None)


def test_scores_that_are_all_level_are_a_coin() -> None:
    found = trace_roc_curve(np.full(6, 0.5), np.array([True, False] * 3))
    assert found is not None
    assert found.auc == 0.5
    assert found.false_positive_rates.tolist() == found.true_positive_rates.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("num_positive", [1, 2, 7, 16])
def test_few_images_of_a_class_are_counted_as_sorting_would(num_positive: int, ties: bool) -> None:
    scores, _ = draw_scores(300, num_positive, ties)
    positive = np.zeros(300, dtype=bool)
    positive[np.random.default_rng(num_positive).choice(300, num_positive, replace=False)] = True
    found = trace_roc_curve(scores, positive)
    false, true, _ = oracle.roc_curve(positive, scores, drop_intermediate=False)
    assert found is not None
    assert found.auc == pytest.approx(oracle.roc_auc_score(positive, scores))
    assert np.interp(false, found.false_positive_rates, found.true_positive_rates)[-1] == 1
    corners = set(zip(found.false_positive_rates.round(9), found.true_positive_rates.round(9), strict=True))
    assert corners <= set(zip(false.round(9), true.round(9), strict=True))
    assert oracle.auc(found.false_positive_rates, found.true_positive_rates) == pytest.approx(found.auc)
