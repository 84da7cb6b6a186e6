"""Variances that arms lend each other: against closed forms, numerical integration and simulated studies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import integrate, stats

from bakeoff.stats.borrowed import (
    MIN_ARMS,
    PRIOR_DEGREES,
    SMALLEST,
    Lender,
    choose_slope,
    estimate_variances,
    lend_variances,
)
from bakeoff.stats.family import adjust_bonferroni, adjust_by_one_step, count_left
from bakeoff.stats.mean_error import MeanError
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.results import Rules, Summary, TrialResult
from bakeoff.stats.summary import StudyDesign, summarise


def mix(weights: list[float], scales: list[float], degrees: list[float]) -> MeanError:
    return MeanError(weights_G=np.array(weights), scales_G=np.array(scales), degrees_G=np.array(degrees))


def draw(seed: int, k: int, r: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((k, r))


@pytest.mark.parametrize("distance", [0.0, 0.3, 2.0, 50.0])
def test_one_component_is_students_t(distance: float) -> None:
    assert mix([1.0], [0.7], [4.0]).tail(distance) == pytest.approx(stats.t.sf(distance / 0.7, 4), rel=1e-12)


@pytest.mark.parametrize("tail", [0.4, 0.025, 1e-4, 1e-9, 1e-30])
def test_reach_inverts_tail(tail: float) -> None:
    error = mix([0.2, 0.5, 0.3], [0.1, 1.0, 0.02], [2.5, 6.0, 66.0])
    assert error.tail(error.reach(tail)) == pytest.approx(tail, rel=1e-6)


def test_half_of_the_errors_lie_beyond_nothing() -> None:
    assert mix([1.0], [1.0], [3.0]).reach(0.5) == 0.0


def test_variance_and_degrees_of_a_mixture() -> None:
    error = mix([0.5, 0.5], [1.0, 3.0], [4.0, 12.0])
    assert error.variance == pytest.approx(5.0)
    assert error.degrees == pytest.approx(6.0)


def test_weights_are_the_likelihoods_of_the_scaled_f_distribution() -> None:
    scores = draw(1, 5, 4) * np.array([1, 1, 2, 1, 3])[:, None]
    lent = lend_variances(scores, slope=0.5)
    assert lent is not None
    own = estimate_variances(scores)
    own = np.maximum(own, SMALLEST / 9 * np.median(own))
    log = np.array(
        [
            stats.f.logpdf(own / center, 3, nu).sum() - 5 * np.log(center) - 0.5 * np.log(nu)
            for nu, center in zip(PRIOR_DEGREES, lent.centers_G, strict=True)
        ]
    )
    assert lent.weights_G == pytest.approx(np.exp(log - log.max()) / np.exp(log - log.max()).sum(), rel=1e-9)


def test_centers_are_the_most_likely() -> None:
    lent = lend_variances(draw(3, 9, 3), slope=0.0)
    assert lent is not None
    own = lent.variances_GK * (PRIOR_DEGREES[:, None] + 2) - PRIOR_DEGREES[:, None] * lent.centers_G[:, None]
    for nu, center, squares in zip(PRIOR_DEGREES[2:], lent.centers_G[2:], own[2:] / 2, strict=True):

        def score(c: float, nu: float = nu, squares: np.ndarray = squares) -> float:
            return float((stats.f.logpdf(squares / c, 2, nu) - np.log(c)).sum())

        assert score(center) >= max(score(0.8 * center), score(1.25 * center))


def test_arm_variances_are_about_right_if_one_arm_is_wild() -> None:
    """Unweighted residuals would give the tame arms a sixteenth of the wild one's: 25 instead of 1."""
    sds = np.array([20.0, 1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    found = [estimate_variances(rng.standard_normal((4, 10)) * sds[:, None]) for _ in range(500)]
    assert np.mean(found, axis=0) == pytest.approx(sds**2, rel=0.15)


def test_arm_variances_without_wild_arms_are_unbiased() -> None:
    rng = np.random.default_rng(1)
    found = [estimate_variances(rng.standard_normal((6, 5)) + 3 * rng.standard_normal(5)) for _ in range(1_000)]
    assert np.mean(found, axis=0) == pytest.approx(np.ones(6), rel=0.1)


def test_what_a_replicate_does_to_all_arms_cancels() -> None:
    scores = draw(5, 6, 3)
    shifted = scores + np.array([10.0, -3.0, 40.0])
    one, other = (lend_variances(each, slope=0.2) for each in (scores, shifted))
    assert one is not None
    assert other is not None
    assert one.judge([0], [4]).tail(1.0) == pytest.approx(other.judge([0], [4]).tail(1.0), rel=1e-9)


def test_the_unit_cancels_and_so_does_the_sign() -> None:
    scores = draw(6, 4, 3)
    one, other = lend_variances(scores, slope=0.2), lend_variances(-0.001 * scores, slope=0.2)
    assert one is not None
    assert other is not None
    assert one.judge([1], [2]).reach(0.01) == pytest.approx(1_000 * other.judge([2], [1]).reach(0.01), rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 5), (MIN_ARMS - 1, 5), (4, 1)])
def test_too_few_lend_nothing(shape: tuple[int, int]) -> None:
    assert lend_variances(draw(0, *shape), slope=0.0) is None


def test_arms_that_never_differ_lend_nothing() -> None:
    assert lend_variances(np.tile([0.9, 0.8, 0.95], (4, 1)), slope=0.0) is None


def test_three_replicates_with_others_tell_what_a_pair_alone_cannot() -> None:
    scores = draw(8, 9, 3)
    scores[0] += 6
    lent = lend_variances(scores, slope=choose_slope(9, 36))
    assert lent is not None
    lead = float((scores[0] - scores[1]).mean())
    alone = compare_pair(scores[0], scores[1])
    assert alone.p is not None
    assert 36 * alone.p > 0.05
    assert 36 * 2 * lent.judge([0], [1]).tail(lead) < 0.01


def test_a_wild_arm_keeps_its_own_spread() -> None:
    scores = draw(9, 8, 5)
    scores[3] *= 50
    lent = lend_variances(scores, slope=choose_slope(8, 28))
    assert lent is not None
    assert lent.judge([3], [0]).reach(0.005) > compare_pair(scores[3], scores[0]).sd / 5**0.5  # type: ignore[operator]
    assert lent.judge([1], [2]).reach(0.025) < 5


def test_the_prior_leans_to_unlike_arms_in_small_and_in_special_families() -> None:
    all_pairs = [choose_slope(k, k * (k - 1) // 2) for k in (3, 4, 9, 20)]
    assert all_pairs == sorted(all_pairs, reverse=True)
    assert choose_slope(9, 8) > choose_slope(9, 36)
    assert choose_slope(9, 36, num_blocks=5) > choose_slope(9, 36)


def test_an_arm_that_has_left_lends_what_it_showed() -> None:
    scores = draw(10, 5, 4)
    table = {arm: dict(enumerate(row)) for arm, row in zip("abcde", scores, strict=True)}
    del table["e"][3]
    lender = Lender(table, slope=0.3)
    left = float(estimate_variances(scores[:, :3])[4])
    four = lend_variances(scores[:4], slope=0.3, others=[(left, 2.0)])
    five = lend_variances(scores[:, :3], slope=0.3)
    assert four is not None
    assert five is not None
    found = lender.find_error(["a"], ["b"], [0, 1, 2, 3])
    assert found is not None
    assert found.tail(1.0) == four.judge([0], [1]).tail(1.0)
    found = lender.find_error(["a"], ["e"], [0, 1, 2])
    assert found is not None
    assert found.tail(1.0) == five.judge([0], [4]).tail(1.0)
    assert lender.find_error(["a"], ["b"], [0]) is None


def test_the_last_two_of_a_race_still_borrow() -> None:
    scores = draw(13, 6, 4)
    table = {arm: dict(enumerate(row if arm < 2 else row[:3])) for arm, row in enumerate(scores)}
    found = Lender(table, slope=0.3).find_error([0], [1], range(4))
    assert found is not None
    assert found.degrees > 3


def test_arms_of_equal_scores_count_once() -> None:
    scores = draw(11, 4, 3)
    table = {arm: dict(enumerate(scores[row])) for arm, row in (("a", 0), ("b", 1), ("twin", 1), ("c", 2), ("d", 3))}
    found = Lender(table, slope=0.3).find_error(["a"], ["twin"], [0, 1, 2])
    lent = lend_variances(scores, slope=0.3)
    assert found is not None
    assert lent is not None
    assert found.tail(0.5) == lent.judge([0], [1]).tail(0.5)
    twins = Lender(table, slope=0.3).find_error(["b"], ["twin"], [0, 1, 2])
    assert twins is not None
    assert twins.tail(0.0) == pytest.approx(0.5, abs=1e-12)


def test_the_average_of_arms_varies_less() -> None:
    scores = draw(14, 6, 8)
    lent = lend_variances(scores, slope=0.3)
    assert lent is not None
    assert lent.judge([0, 1], [2, 3]).variance < 0.8 * lent.judge([0], [2]).variance
    table = {arm: dict(enumerate(row)) for arm, row in enumerate(scores)}
    found = Lender(table, slope=0.3).find_error([0, 1], [2, 3], range(8))
    assert found is not None
    assert found.tail(0.5) == lent.judge([0, 1], [2, 3]).tail(0.5)


def test_folds_have_fewer_degrees_and_a_larger_factor() -> None:
    scores = draw(12, 4, 5)
    table = {arm: dict(enumerate(row)) for arm, row in enumerate(scores)}
    apart = Lender(table, slope=0.3).find_error([0], [1], range(5))
    folds = Lender(table, slope=0.3, test_share=0.25).find_error([0], [1], range(5))
    assert apart is not None
    assert folds is not None
    assert folds.variance == pytest.approx(apart.variance * (1 / 5 + 0.25) * 5)


def test_interval_and_p_value_of_a_pair_agree() -> None:
    error = mix([0.3, 0.7], [0.5, 1.0], [3.0, 10.0])
    found = compare_pair([3.0, 2.0, 4.0], [0.0, 0.0, 0.0], margin=1.0, error=error)
    assert found.p == 2 * error.tail(3.0)
    assert found.interval is not None
    assert found.interval[0] == pytest.approx(3 - error.reach(0.025))
    assert (found.p_margin, found.p_equivalence) == (error.tail(2.0), 1 - error.tail(2.0))
    inside = compare_pair([0.1, 0.2, 0.3], [0.0, 0.0, 0.0], margin=1.0, error=error)
    assert inside.p_equivalence == pytest.approx(error.tail(0.8))


def test_tail_by_numerical_integration() -> None:
    error = mix([0.4, 0.6], [0.5, 2.0], [2.5, 9.0])

    def density(x: float) -> float:
        return 0.4 * stats.t.pdf(x / 0.5, 2.5) / 0.5 + 0.6 * stats.t.pdf(x / 2, 9) / 2

    assert error.tail(1.7) == pytest.approx(integrate.quad(density, 1.7, np.inf)[0], rel=1e-6)


def test_families_of_fewer_than_three_pairs_are_judged_by_their_own_differences() -> None:
    rng = np.random.default_rng(3)
    scores = {arm: list(0.9 + 0.01 * rng.standard_normal(4)) for arm in "abc"}
    for baseline, borrows in ((None, True), ("a", False)):
        found = summarise_scores(scores, Rules(method="moderated", scope="seeds", baseline=baseline))
        plain = summarise_scores(scores, Rules(method="paired", scope="seeds", baseline=baseline))
        assert {verdict.borrowed for verdict in found.verdicts} == {borrows}
        if not borrows:
            assert [v.p_adjusted for v in found.verdicts] == [v.p_adjusted for v in plain.verdicts]


def summarise_scores(scores: dict[str, list[float]], rules: Rules) -> Summary:
    results = [
        TrialResult(
            trial_id=f"{arm}{replicate}",
            block="",
            arm=arm,
            replicate=replicate,
            state="done",
            metrics={"test": {"accuracy": score}},
            epochs_trained=1,
            best_epoch=1,
            seconds=1.0,
        )
        for arm, values in scores.items()
        for replicate, score in enumerate(values)
    ]
    return summarise(results, StudyDesign(blocks=[""], arms=list(scores)), rules)


def test_bonferronis_correction_multiplies_whatever_else_is_found() -> None:
    assert adjust_bonferroni([0.001, 0.02, 0.5]) == pytest.approx([0.003, 0.06, 1.0])
    assert adjust_bonferroni([0.001], 10) == pytest.approx([0.01])


@pytest.mark.parametrize(("factor", "num_arms"), [(1, 4), (10, 4), (5, 9)])
def test_equal_arms_are_rarely_told_apart_even_if_one_is_wild(factor: float, num_arms: int) -> None:
    """The table of docs/error-rates.md in small; its rates are 5% at most."""
    rng, pairs, false = np.random.default_rng(num_arms), list(combinations(range(num_arms), 2)), 0
    for _ in range(300):
        scores = rng.standard_normal((num_arms, 3))
        scores[0] *= factor
        lent = lend_variances(scores, slope=choose_slope(num_arms, len(pairs)))
        assert lent is not None
        means = scores.mean(axis=1)
        p_values = [2 * lent.judge([a], [b]).tail(abs(means[a] - means[b])) for a, b in pairs]
        false += min(adjust_bonferroni(p_values)) <= 0.05
    assert false <= stats.binom.ppf(0.999, 300, 0.05)


def test_a_wild_arm_that_is_equal_to_another_is_no_winner_though_all_else_is_settled() -> None:
    """Stepping down would leave the last pair at 5% of its own, which the borrowed variance of a wild arm exceeds."""
    rng, pairs, false = np.random.default_rng(0), list(combinations(range(9), 2)), 0
    for _ in range(300):
        scores = rng.standard_normal((9, 3)) + 40 * np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])[:, None]
        scores[0] = 5 * (scores[0])
        lent = lend_variances(scores, slope=choose_slope(9, len(pairs)))
        assert lent is not None
        means = scores.mean(axis=1)
        p_values = [2 * lent.judge([a], [b]).tail(abs(means[a] - means[b])) for a, b in pairs]
        errors = [lent.judge([a], [b]) for a, b in pairs]
        guards = [
            2 * e.guard.tail(abs(means[a] - means[b])) for e, (a, b) in zip(errors, pairs, strict=True) if e.guard
        ]
        false += adjust_by_one_step(p_values, guards, count_left(9))[0] <= 0.05
    assert false <= stats.binom.ppf(0.999, 300, 0.05)


def test_a_guard_is_students_t_by_the_two_arms_own_variances() -> None:
    scores = draw(5, 4, 3) * np.array([3, 1, 1, 1])[:, None]
    lent = lend_variances(scores, slope=1.0)
    assert lent is not None
    guard = lent.judge([0], [1]).guard
    assert guard is not None
    own = lent.own_K[:2]
    variance = max(own.sum(), np.var(scores[0] - scores[1], ddof=1))
    degrees = min(2 * (own.sum() ** 2 / (own**2).sum()) ** 0.25, 6)
    assert guard.tail(1.3) == pytest.approx(stats.t.sf(1.3 / np.sqrt(variance / 3), degrees))


def test_averages_vary_as_much_as_their_own_difference_where_a_choice_depends_on_the_seed() -> None:
    scores = draw(6, 8, 4)
    scores[:4] += 5 * np.array([1.0, -1.0, 1.0, -1.0])
    lent = lend_variances(scores, slope=0.3)
    assert lent is not None
    error, sides = lent.judge([0, 1, 2, 3], [4, 5, 6, 7]), scores.reshape(2, 4, 4).mean(axis=1)
    assert (error.scales_G**2 >= 0.75 * np.var(sides[0] - sides[1], ddof=1) / 4).all()


def test_a_study_steps_once() -> None:
    rng = np.random.default_rng(3)
    scores = {arm: list(0.9 + 0.01 * rng.standard_normal(3) + 0.06 * (arm == "a")) for arm in "abcd"}
    verdicts = summarise_scores(scores, Rules(scope="seeds")).verdicts
    p_values = [verdict.p or 0.0 for verdict in verdicts]
    lent = lend_variances(np.array(list(scores.values())), slope=choose_slope(4, 6))
    assert lent is not None
    errors = [lent.judge([a], [b]) for a, b in combinations(range(4), 2)]
    sizes = [abs(verdict.difference or 0.0) for verdict in verdicts]
    guards = [2 * error.guard.tail(size) for error, size in zip(errors, sizes, strict=True) if error.guard]
    assert [v.p_adjusted for v in verdicts] == pytest.approx(adjust_by_one_step(p_values, guards, 4.5))
    whole = adjust_bonferroni(p_values)
    assert any((v.p_adjusted or 0.0) < 0.05 < p for v, p in zip(verdicts, whole, strict=True))
