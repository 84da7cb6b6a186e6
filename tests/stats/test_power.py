from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.power import count_degrees, find_smallest, power_to_equate, replicates_to_detect


@pytest.mark.parametrize(("effect_size", "num_replicates"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_published_sample_sizes(effect_size: float, num_replicates: int) -> None:
    # Paired t, two-sided 5%, power 80%: Cohen (1988) and G*Power.
    assert replicates_to_detect(effect_size, alpha=0.05) == num_replicates


@pytest.mark.parametrize("effect_size", [0.3, 0.7, 1.5, 2.5])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 36])
def test_smallest_number_that_reaches_the_power(effect_size: float, alpha: float) -> None:
    def power(n: int) -> float:
        return float(stats.nct.sf(stats.t.isf(alpha / 2, n - 1), n - 1, effect_size * n**0.5))

    found = replicates_to_detect(effect_size, alpha=alpha)
    assert found is not None
    assert power(found) >= 0.8
    assert found == 3 or power(found - 1) < 0.8


def test_equivalence_at_no_difference_agrees_with_the_closed_form() -> None:
    # Power of two one-sided tests at no difference is 2 P(T > t) - 1 with T noncentral t.
    found = find_smallest(lambda n: power_to_equate(0.0, 1.0, n, alpha=0.05), 0.8)
    assert found is not None

    def power(n: int) -> float:
        return 2 * float(stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, n**0.5)) - 1

    assert power(found) >= 0.8 > power(found - 1)


def test_hopeless_and_overwhelming_effects() -> None:
    assert replicates_to_detect(0.0, alpha=0.05) is None
    assert replicates_to_detect(0.01, alpha=0.05) is None
    assert replicates_to_detect(1e9, alpha=0.05) == 3
    assert power_to_equate(0.0, 1e9, 3, alpha=0.05) == pytest.approx(1.0)
    assert find_smallest(lambda n: power_to_equate(1e9, 1e9 + 0.1, n, alpha=0.05), 0.8) is not None


def test_power_of_folds_by_simulation() -> None:
    # 10 folds that correlate by 1/10, as the corrected t assumes: sd 1 within, true mean 1.3 of their spread.
    found = replicates_to_detect(1.3, alpha=0.05, test_share=1 / 9)
    assert found is not None
    rng = np.random.default_rng(0)
    folds = np.sqrt(0.1) * rng.normal(size=(4000, 1)) + np.sqrt(0.9) * rng.normal(size=(4000, found))
    folds += 1.3 * np.sqrt(0.9)
    t = folds.mean(axis=1) / (folds.std(axis=1, ddof=1) * np.sqrt(1 / found + 1 / 9))
    power = float(np.mean(t > stats.t.isf(0.025, count_degrees(found, 1 / 9))))
    assert power > 0.78
    assert replicates_to_detect(0.9, alpha=0.05, test_share=1 / 9) is None


def test_degrees_of_freedom() -> None:
    assert count_degrees(10, 0.0) == 9
    assert [count_degrees(n, 1 / 4) for n in (3, 5, 20)] == [2, 4, 4]
    assert [count_degrees(10 * k, 1 / (k - 1)) for k in range(2, 50)] == list(range(1, 49))
    assert count_degrees(9, 4.0) == 1


@pytest.mark.parametrize(("num_folds", "validation"), [(2, 0.0), (5, 0.0), (50, 0.0), (3, 0.1), (5, 0.1), (10, 0.1)])
def test_folds_have_one_degree_of_freedom_less_than_there_are_folds(num_folds: int, validation: float) -> None:
    share = 1 / ((num_folds - 1) * (1 - validation))
    assert count_degrees(num_folds, share) == num_folds - 1
    assert count_degrees(3 * num_folds, share) == num_folds - 1
    assert count_degrees(num_folds, share / (1 - 0.5)) <= num_folds - 1
