from __future__ import annotations

import pytest
from scipy import stats

from bakeoff.analysis.power import replicates_to_detect, replicates_to_equate


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
    found = replicates_to_equate(0.0, 1.0, alpha=0.05)
    assert found is not None

    def power(n: int) -> float:
        return 2 * float(stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, n**0.5)) - 1

    assert power(found) >= 0.8 > power(found - 1)


def test_hopeless_and_overwhelming_effects() -> None:
    assert replicates_to_detect(0.0, alpha=0.05) is None
    assert replicates_to_detect(0.01, alpha=0.05) is None
    assert replicates_to_detect(1e9, alpha=0.05) == 3
    assert replicates_to_equate(0.0, 1e9, alpha=0.05) == 3
    assert replicates_to_equate(1e9, 1e9 + 0.1, alpha=0.05) is not None
