from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from bakeoff.analysis.curves import trace_roc_curve, trace_roc_curves


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


def test_long_curves_are_thinned_but_their_area_is_not() -> None:
    scores, positive = draw_scores(5_000, 2, ties=False)
    found, whole = trace_roc_curve(scores, positive, 50), trace_roc_curve(scores, positive, 10**9)
    assert found is not None
    assert whole is not None
    assert len(found.true_positive_rates) == len(found.false_positive_rates) == 50
    assert found.auc == whole.auc == pytest.approx(oracle.roc_auc_score(positive, scores))
    assert (found.false_positive_rates[0], found.true_positive_rates[0]) == (0, 0)
    assert (found.false_positive_rates[-1], found.true_positive_rates[-1]) == (1, 1)
    points = set(zip(whole.false_positive_rates, whole.true_positive_rates, strict=True))
    assert set(zip(found.false_positive_rates, found.true_positive_rates, strict=True)) <= points


def test_a_class_that_never_or_always_occurs_has_no_curve() -> None:
    scores = np.linspace(0, 1, 4)
    assert trace_roc_curve(scores, np.zeros(4, dtype=bool)) is None
    assert trace_roc_curve(scores, np.ones(4, dtype=bool)) is None
    assert trace_roc_curves(np.eye(2)[[0, 0]], np.array([0, 0])) == (None, None)


def test_scores_that_are_all_level_are_a_coin() -> None:
    found = trace_roc_curve(np.full(6, 0.5), np.array([True, False] * 3))
    assert found is not None
    assert (found.auc, found.false_positive_rates, found.true_positive_rates) == (0.5, (0.0, 1.0), (0.0, 1.0))
