from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bakeoff.stats.pairs import compare_pair

A = [0.971, 0.975, 0.969, 0.973, 0.978]
B = [0.968, 0.973, 0.970, 0.966, 0.974]


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_t_statistics_agree_with_scipy(n: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.90, 0.02, n), rng.normal(0.89, 0.02, n)
    found, expected = compare_pair(a, b, confidence=confidence), stats.ttest_rel(a, b)
    assert found.n == n
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert found.sd == pytest.approx(np.std(a - b, ddof=1))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(confidence)))
    assert found.effect_size == pytest.approx(expected.statistic / math.sqrt(n))
    assert found.correlation == (pytest.approx(stats.pearsonr(a, b).statistic) if n > 2 else None)


@pytest.mark.parametrize("margin", [0.001, 0.004, 0.02])
def test_equivalence_is_the_larger_of_two_one_sided_tests(margin: float) -> None:
    differences = np.subtract(A, B)
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert compare_pair(A, B, margin=margin).p_equivalence == pytest.approx(max(above, below))
    assert compare_pair(B, A, margin=margin).p_equivalence == pytest.approx(max(above, below))


@pytest.mark.parametrize("margin", [0.001, 0.004, 0.02])
def test_the_arm_ahead_is_tested_against_being_behind_by_the_margin(margin: float) -> None:
    above = stats.ttest_1samp(np.subtract(A, B), -margin, alternative="greater").pvalue
    assert compare_pair(A, B, margin=margin).p_behind == pytest.approx(above)
    assert compare_pair(B, A, margin=margin).p_behind == pytest.approx(above)
    assert compare_pair(A, B).p_behind is None


def test_by_hand() -> None:
    found = compare_pair([3.0, 5.0, 7.0], [2.0, 3.0, 4.0])
    assert (found.difference, found.sd, found.effect_size) == (2.0, 1.0, 2.0)
    # t = 2 / (1 / sqrt 3), 2 degrees of freedom, where the distribution function is 1/2 + t / (2 sqrt(2 + t^2)).
    t = 2 * math.sqrt(3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert found.correlation == pytest.approx(1.0)


def test_no_margin_means_no_equivalence() -> None:
    assert compare_pair(A, B).p_equivalence is None


def test_no_replicates_and_one_replicate_have_stated_answers() -> None:
    nothing, single = compare_pair([], [], margin=0.1), compare_pair([0.9], [0.8], margin=0.1)
    assert (nothing.n, nothing.difference) == (0, None)
    assert (single.n, single.difference) == (1, pytest.approx(0.1))
    for found in (nothing, single):
        assert found.sd is found.interval is found.p is found.p_equivalence is found.effect_size is None


def test_equal_values_are_equal() -> None:
    found = compare_pair(A, A, margin=0.002)
    assert (found.difference, found.sd, found.interval) == (0.0, 0.0, None)
    assert (found.p, found.p_equivalence, found.effect_size) == (1.0, 2.0**-5, 0.0)
    assert found.exact


def test_identical_differences_fall_back_on_the_sign_flip_test() -> None:
    # 0.1 + 0.2 style rounding must not pass for spread.
    a = [0.1, 0.3, 0.7]
    found = compare_pair([value + 0.2 for value in a], a, margin=0.5)
    assert (found.p, found.p_equivalence) == (0.25, 0.125)
    assert found.sd == 0
    assert found.interval is found.effect_size is None
    assert compare_pair([value + 0.2 for value in a], a, margin=0.1).p_equivalence == 1.0


def test_constant_arm_has_no_correlation() -> None:
    found = compare_pair([0.5, 0.5, 0.5], [0.4, 0.45, 0.5])
    assert found.correlation is None
    assert found.p is not None


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        ([1.0], [1.0, 2.0], {}),
        ([math.nan, 1.0], [1.0, 2.0], {}),
        ([1.0, 2.0], [1.0, 2.5], {"margin": 0.0}),
        ([1.0, 2.0], [1.0, 2.5], {"margin": math.inf}),
        ([1.0, 2.0], [1.0, 2.5], {"confidence": 1.0}),
    ],
)
def test_impossible_input_is_refused(a: list[float], b: list[float], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        compare_pair(a, b, **options)  # type: ignore[arg-type]


VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=6))
def test_any_finite_values_give_finite_mirrored_answers(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    there, back = compare_pair(a, b, margin=0.5), compare_pair(b, a, margin=0.5)
    numbers = [there.difference, there.sd, there.p, there.p_equivalence, there.effect_size, *(there.interval or ())]
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert (there.p, there.p_equivalence, there.sd) == (back.p, back.p_equivalence, back.sd)
    assert there.difference == (None if back.difference is None else -back.difference)


def test_folds_agree_with_the_corrected_resampled_t_by_hand() -> None:
    # Nadeau and Bengio (2003): t = mean / (sd sqrt(1 / n + n_test / n_train)), n - 1 degrees of freedom.
    differences = np.subtract(A, B)
    mean, sd = differences.mean(), differences.std(ddof=1)
    error = sd * math.sqrt(1 / 5 + 1 / 4)
    found = compare_pair(A, B, test_share=1 / 4, margin=0.01)
    half_width = stats.t.ppf(0.975, 4) * error
    assert found.p == pytest.approx(2 * stats.t.sf(mean / error, 4))
    assert found.interval == pytest.approx((mean - half_width, mean + half_width))
    assert found.p_equivalence == pytest.approx(stats.t.cdf((mean - 0.01) / error, 4))
    plain = compare_pair(A, B)
    assert (found.difference, found.sd) == (plain.difference, plain.sd)
    assert plain.p is not None
    assert found.p is not None
    assert found.p > plain.p


def test_folds_without_spread_have_no_exact_test() -> None:
    same = compare_pair([0.9] * 10, [0.8] * 10, test_share=1 / 9, margin=0.5)
    assert (same.p, same.p_equivalence, same.interval) == (1.0, 1.0, None)
    level = compare_pair(A, A, test_share=1 / 9, margin=0.5)
    assert (level.p, level.p_equivalence, level.interval) == (1.0, 1.0, None)


def test_corrected_t_keeps_its_level_where_folds_correlate_as_assumed() -> None:
    # Correlation share / (1 + share) makes it exact; uncorrected it is wrong 3 times too often.
    rng, corrected, plain = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        values = math.sqrt(0.2) * rng.normal() + math.sqrt(0.8) * rng.normal(size=5)
        p = compare_pair(values, np.zeros(5), test_share=1 / 4).p
        q = compare_pair(values, np.zeros(5)).p
        assert p is not None
        assert q is not None
        corrected, plain = corrected + (p <= 0.05), plain + (q <= 0.05)
    assert 30 <= corrected <= 70
    assert plain > 120


def test_impossible_share_is_refused() -> None:
    with pytest.raises(ValueError, match="test_share must be above 0"):
        compare_pair(A, B, test_share=0.0)


@pytest.mark.parametrize(("num_folds", "num_replicates"), [(2, 3), (5, 1), (5, 4), (10, 3)])
def test_repeating_folds_adds_no_degrees_of_freedom(num_folds: int, num_replicates: int) -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, num_folds * num_replicates)
    found = compare_pair(differences, np.zeros(len(differences)), test_share=1 / (num_folds - 1))
    error = differences.std(ddof=1) * math.sqrt(1 / len(differences) + 1 / (num_folds - 1))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(differences.mean()) / error, num_folds - 1))


def test_a_part_of_the_folds_has_fewer_degrees_of_freedom() -> None:
    differences = np.array([0.1, 0.3, 0.2])
    found = compare_pair(differences, np.zeros(3), test_share=1 / 9)
    error = differences.std(ddof=1) * math.sqrt(1 / 3 + 1 / 9)
    assert found.p == pytest.approx(2 * stats.t.sf(0.2 / error, 2))
