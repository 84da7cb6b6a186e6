"""What is said to be detectable where arms lend each other variances is detected about as often as said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.borrowed import choose_slope, lend_variances
from bakeoff.stats.borrowed_power import ExpectedDegrees
from bakeoff.stats.expected import ExpectedSpread


@pytest.mark.parametrize(("num_arms", "n"), [(3, 3), (4, 5), (9, 3), (9, 6)])
def test_a_detectable_difference_is_detected_in_about_four_of_five_studies(num_arms: int, n: int) -> None:
    num_pairs = num_arms * (num_arms - 1) // 2
    level, num_studies, found = 0.05 / num_pairs, 400, 0
    degrees = ExpectedDegrees(num_arms=num_arms, num_pairs=num_pairs, num_blocks=1, level=level)
    difference = ExpectedSpread(sd=2**0.5, degrees=degrees).find_detectable(n, level)
    rng = np.random.default_rng([num_arms, n])
    for _ in range(num_studies):
        scores = rng.standard_normal((num_arms, n))
        scores[0] += difference
        lent = lend_variances(scores, slope=choose_slope(num_arms, num_pairs))
        assert lent is not None
        found += 2 * lent.judge([0], [1]).tail(scores[0].mean() - scores[1].mean()) <= level
    # 75% to 85%, give or take what chance does once in a thousand times.
    assert stats.binom.ppf(0.001, num_studies, 0.75) <= found <= stats.binom.ppf(0.999, num_studies, 0.85)


def test_a_pair_is_never_expected_to_have_fewer_degrees_than_its_own_and_more_with_more_replicates() -> None:
    degrees = ExpectedDegrees(num_arms=5, num_pairs=10, num_blocks=1, level=0.005)
    found = [degrees(n) for n in (2, 3, 4, 6, 10, 40, 200)]
    assert found == sorted(found)
    assert all(each >= n - 1 for each, n in zip(found, (2, 3, 4, 6, 10, 40, 200), strict=True))


def test_two_arms_lend_each_other_nothing() -> None:
    assert ExpectedDegrees(num_arms=2, num_pairs=1, num_blocks=1, level=0.05)(4) == 3
