from __future__ import annotations

import pytest
from scipy import stats

from bakeoff.stats.wilson import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (7, 10), (9_792, 10_000), (1, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_are_exact_and_nothing_is_known_of_nothing() -> None:
    assert wilson_interval(0, 50)[0] == 0
    assert wilson_interval(50, 50)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)
    for successes, n, confidence in ((11, 10, 0.95), (-1, 10, 0.95), (1, 10, 1.0)):
        with pytest.raises(ValueError, match="must"):
            wilson_interval(successes, n, confidence)
