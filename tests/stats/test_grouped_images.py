"""Test images in groups: the variance over images is that over groups, in every figure that rests on it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.effects import find_errors
from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.results import ArmSummary, Rules, TrialResult
from bakeoff.stats.sampling_error import describe_error
from bakeoff.stats.summary import StudyDesign, summarise
from bakeoff.stats.variance import measure_spread, sum_groups
from bakeoff.stats.wilson import count_effective, wilson_interval


def draw_hits(seed: int, *, num_groups=30, size=8, num_replicates=4, unequal=False):
    """Return hits [R, N] of two equal arms, alike within groups, and the groups."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 2 * size, num_groups) if unequal else np.full(num_groups, size)
    groups = np.repeat(generator.permutation(num_groups), sizes)
    shape = (num_replicates, len(groups))
    a, b = (
        np.where(
            generator.random(shape) < 0.1,
            generator.random(shape) < 0.7,
            (generator.random(num_groups) < 0.7)[groups],
        )
        for _ in range(2)
    )
    return a, b, groups


@pytest.mark.parametrize("unequal", [False, True])
def test_the_variance_of_a_mean_is_the_cluster_robust_one(unequal) -> None:
    hits, _, groups = draw_hits(1, unequal=unequal)
    values_N = hits[0].astype(float)
    values_G = sum_groups(values_N[None], groups)[0]
    assert values_G.mean() == pytest.approx(values_N.mean())
    # The sandwich estimator of an intercept: sums of residuals within clusters.
    residuals = values_N - values_N.mean()
    sums = np.array([residuals[groups == group].sum() for group in np.unique(groups)])
    num_groups = len(sums)
    expected = num_groups / (num_groups - 1) * (sums**2).sum() / len(values_N) ** 2
    assert values_G.var(ddof=1) / num_groups == pytest.approx(expected)


def test_groups_of_one_image_change_no_figure() -> None:
    a, b, _ = draw_hits(2, size=1, num_groups=60)
    alone = measure_spread(a, b, unit=1.0)
    grouped = measure_spread(a, b, unit=1.0, groups_N=np.arange(60))
    assert alone is not None
    assert grouped is not None
    for name in ("difference", "by_seed", "by_image", "rest", "image_weight", "cell_weight", "image_skew", "cell_skew"):
        assert getattr(grouped, name) == pytest.approx(getattr(alone, name), rel=1e-9), name
    assert (grouped.num_images, grouped.num_scored, grouped.num_telling) == (60, 60, alone.num_telling)
    assert grouped.half_width(0.025, "images") == pytest.approx(alone.half_width(0.025, "images"), rel=1e-9)


def test_a_spread_over_groups_is_that_of_their_means_if_they_are_of_one_size() -> None:
    a, b, groups = draw_hits(3)
    found = measure_spread(a, b, unit=1.0, groups_N=groups)
    means = [np.stack([hits[:, groups == group].mean(axis=1) for group in range(30)], axis=1) for hits in (a, b)]
    expected = measure_spread(*means, unit=1.0)
    assert found is not None
    assert expected is not None
    for name in ("difference", "by_seed", "by_image", "rest", "image_weight", "image_skew", "num_images"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert found.num_scored == 240


def test_groups_in_which_arms_agree_tell_nothing() -> None:
    a = np.tile([1, 0, 1, 1, 0, 1], (3, 1)).astype(bool)
    b = a.copy()
    b[:, 0] = False
    for groups in ([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2]):
        spread = measure_spread(a, b, unit=1.0, groups_N=np.array(groups))
        assert spread is not None
        assert spread.num_telling == 1


def test_intervals_p_values_and_posteriors_widen_with_groups() -> None:
    a, b, groups = draw_hits(7)
    scores = a.mean(axis=1), b.mean(axis=1)
    alone, grouped = (
        compare_pair(*scores, spread=measure_spread(a, b, unit=1.0, groups_N=each), margin=0.05)
        for each in (None, groups)
    )
    assert alone.interval is not None
    assert grouped.interval is not None
    assert np.ptp(grouped.interval) > 1.8 * np.ptp(alone.interval)
    assert grouped.p > alone.p
    assert find_errors(grouped).mean > 1.8 * find_errors(alone).mean


@pytest.mark.parametrize("is_grouped", [False, True])
def test_equal_arms_are_found_different_as_often_as_declared(is_grouped) -> None:
    found = 0
    for seed in range(150):
        a, b, groups = draw_hits(seed)
        spread = measure_spread(a, b, unit=1.0, groups_N=groups if is_grouped else None)
        comparison = compare_pair(a.mean(axis=1), b.mean(axis=1), spread=spread)
        found += comparison.p < 0.05
    # Binomial(150, 0.05): 99.9% of the time at most 17.
    assert found <= 17 if is_grouped else found > 40


def test_effective_images_are_those_of_korn_and_graubard() -> None:
    groups = np.repeat(np.arange(40), 10)
    generator = np.random.default_rng(0)
    alike = (generator.random(40) < 0.8)[groups]
    alone = generator.random(400) < 0.8
    factor = (stats.t.ppf(0.975, 399) / stats.t.ppf(0.975, 39)) ** 2
    assert count_effective(alike, groups) == pytest.approx(39 * factor, rel=1e-6)  # p (1 - p) / (var (G / (G - 1)) / G)
    assert 150 < count_effective(alone, groups) <= 400
    assert count_effective(np.ones(400, bool), groups) == 40
    number = count_effective(alike, groups)
    low, high = wilson_interval(alike.mean() * number, number)
    assert high - low > 2.5 * np.subtract(*wilson_interval(alike.mean() * 400, 400)[::-1])


def make_results(a, b) -> tuple[list[TrialResult], dict[str, np.ndarray]]:
    results, by_image = [], {}
    for arm, hits in (("a", a), ("b", b)):
        for replicate, row in enumerate(hits):
            name = f"{arm}{replicate}"
            results.append(
                TrialResult(
                    trial_id=name,
                    block="photos",
                    arm=arm,
                    replicate=replicate,
                    state="done",
                    metrics={"test": {"accuracy": float(row.mean())}},
                    epochs_trained=1,
                    best_epoch=1,
                    seconds=1.0,
                )
            )
            by_image[name] = row
    return results, by_image


@pytest.mark.parametrize("method", ["paired", "moderated", "bayes"])
def test_a_study_s_verdicts_rest_on_groups(method) -> None:
    a, b, groups = draw_hits(4)
    results, by_image = make_results(a, b)
    design, rules = StudyDesign(blocks=("photos",), arms=("a", "b")), Rules(method=method)
    alone = summarise(results, design, rules, by_image=by_image)
    grouped = summarise(results, design, rules, by_image=by_image, groups={"photos": groups})
    (narrow,), (wide,) = alone.verdicts, grouped.verdicts
    assert np.ptp(wide.interval) > 1.8 * np.ptp(narrow.interval)
    assert (wide.num_images, narrow.num_images) == (240, 240)
    error = describe_error(wide, Measure(find_metric("accuracy"), "test"), grouped)
    assert error is not None
    assert error.num_images == 240
    assert all(isinstance(arm, ArmSummary) and arm.groups is not None for arm in grouped.arms)


def test_few_groups_are_said() -> None:
    a, b, groups = draw_hits(5, num_groups=6)
    results, by_image = make_results(a, b)
    design = StudyDesign(blocks=("photos",), arms=("a", "b"))
    summary = summarise(results, design, by_image=by_image, groups={"photos": groups})
    assert "only 6 groups" in summary.answers[0].sentence
    error = describe_error(summary.verdicts[0], summary.measure, summary)
    assert error is not None
    assert "only 6 groups" in error.sentence
