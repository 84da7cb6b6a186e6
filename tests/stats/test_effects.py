from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from bakeoff.stats.effects import borrow_errors, correct_winner, measure_superiority
from bakeoff.stats.family import adjust_holm
from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.variance import measure_spread


def test_superiority_is_that_of_normal_differences_with_the_noncentral_t_interval() -> None:
    d = np.random.default_rng(0).normal(0.5, 1.0, 9)
    found = measure_superiority(compare_pair(d, np.zeros(9)))
    assert found is not None
    assert found.probability == pytest.approx(ndtr(d.mean() / d.std(ddof=1)))
    t = d.mean() / d.std(ddof=1) * 3
    for end, chance in zip(found.interval, (0.975, 0.025), strict=True):
        assert stats.nct.cdf(t, 8, stats.norm.ppf(end) * 3) == pytest.approx(chance, abs=1e-4)


def test_superiority_of_a_loss_and_from_the_other_side() -> None:
    a, b = [0.3, 0.35, 0.32, 0.31], [0.33, 0.36, 0.36, 0.32]
    there, back = (measure_superiority(compare_pair(x, y, higher_is_better=False)) for x, y in ((a, b), (b, a)))
    assert there is not None
    assert back is not None
    assert there.probability > 0.5
    assert there.probability + back.probability == pytest.approx(1)
    assert there.interval == pytest.approx((1 - back.interval[1], 1 - back.interval[0]), abs=1e-6)


def test_superiority_interval_holds_the_truth_over_seeds_and_images() -> None:
    rng, held = np.random.default_rng(1), 0
    truth = ndtr(0.03 / np.sqrt(0.03**2 + (0.5**2 + 0.5**2) / 200))
    for _ in range(200):
        d_RN = 0.03 + rng.normal(0, 0.03, (5, 1)) + rng.normal(0, 0.5, 200) + rng.normal(0, 0.5, (5, 200))
        spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0)
        found = measure_superiority(compare_pair(d_RN.mean(axis=1), np.zeros(5), spread=spread))
        assert found is not None
        held += found.interval[0] <= truth <= found.interval[1]
    assert 0.91 < held / 200 < 0.99


def test_superiority_needs_three_runs_and_a_spread() -> None:
    assert measure_superiority(compare_pair([1.0, 2.0], [0.0, 0.0])) is None
    assert measure_superiority(compare_pair([1.0] * 5, [0.0] * 5)) is None


def test_winners_are_exaggerated_and_the_correction_takes_that_back() -> None:
    rng, plain, corrected = np.random.default_rng(0), [], []
    for _ in range(1_500):
        pair = compare_pair(rng.normal(0.5, 1.0, 5), np.zeros(5))
        assert pair.p is not None
        if pair.p <= 0.05:
            found = correct_winner(pair, 0.05)
            assert found is not None
            assert pair.difference is not None
            assert abs(found) <= abs(pair.difference)
            assert found * pair.difference >= 0
            plain.append(abs(pair.difference))
            corrected.append(abs(found))
    assert np.mean(plain) > 1.8 * 0.5
    assert 0.7 * 0.5 < np.mean(corrected) < 1.3 * 0.5


def list_winners(rng: np.random.Generator, sds: np.ndarray, lead: float, n: int) -> list[tuple[float, float, float]]:
    """Judge a family of arms of which the first leads; plain and corrected leads of those found, alone and together."""
    scores = sds[:, None] * rng.standard_normal((len(sds), n))
    scores[0] += lead
    pairs = list(combinations(range(len(sds)), 2))
    comparisons = [compare_pair(scores[a], scores[b]) for a, b in pairs]
    adjusted = adjust_holm([comparison.p or 1.0 for comparison in comparisons])
    found = []
    for (a, b), pair, p, error in zip(pairs, comparisons, adjusted, borrow_errors(comparisons), strict=True):
        if a == 0 and sds[b] == 1 and p <= 0.05 and pair.p and pair.difference is not None:
            level = 0.05 * pair.p / p
            found.append(
                (pair.difference, correct_winner(pair, level) or 0.0, correct_winner(pair, level, error) or 0.0)
            )
    return found


@pytest.mark.parametrize("last_sd", [1.0, 10.0], ids=["alike", "another arm spreads tenfold"])
def test_in_a_family_other_pairs_say_how_far_a_lead_is_exaggerated(last_sd: float) -> None:
    rng, sds, lead = np.random.default_rng(0), np.array([1.0, 1.0, 1.0, 1.0, last_sd]), 1.5 * np.sqrt(2)
    found = [leads for _ in range(250) for leads in list_winners(rng, sds, lead, 5)]
    plain, alone, together = np.mean(found, axis=0) / lead
    assert len(found) > 100
    assert plain > 1.15
    assert alone < 0.7
    assert 0.8 < together < 1.1


def test_errors_are_borrowed_from_pairs_of_the_same_kind_alone() -> None:
    rng = np.random.default_rng(0)
    pairs = [compare_pair(rng.standard_normal(5), np.zeros(5)) for _ in range(2)]
    other = compare_pair(rng.standard_normal(8), np.zeros(8))
    level = compare_pair(np.ones(5), np.ones(5))
    assert borrow_errors([pairs[0]]) == [None]
    assert borrow_errors([pairs[0], other, level]) == [None, None, None]
    first, second, *rest = borrow_errors([*pairs, other, level])
    assert rest == [None, None]
    own = [pair.sd / np.sqrt(5) for pair in pairs if pair.sd]
    # Weights 4 and 4 / 2; the median of chi-squared with 6 degrees of freedom.
    expected = np.sqrt((4 * own[0] ** 2 + 2 * own[1] ** 2) / stats.chi2.median(6))
    assert first == pytest.approx(min(expected, own[0] * np.sqrt(4 / stats.chi2.ppf(0.1, 4))))
    assert second is not None


def test_a_lead_beyond_doubt_is_left_as_it_is() -> None:
    for spread in (0.01, 0.003, 0.05, 1e-6):
        far = compare_pair([1 + k * spread for k in range(-2, 3)], [0.0] * 5)
        assert correct_winner(far, 0.05) == pytest.approx(far.difference, rel=0.005)
    sure = compare_pair([1.01, 1.02, 1.0, 0.99, 1.01], [0.0] * 5)
    assert correct_winner(sure, 0.05) == pytest.approx(sure.difference, rel=0.01)
    for size in (1.0, 10.0, 12.3, 40.0, 49.0):
        far = compare_pair([size - 0.1, size, size + 0.1, size], [0.0] * 4)
        for error in (0.03, 0.04, 0.1):
            assert correct_winner(far, 0.05, error) == pytest.approx(far.difference, rel=1e-6)
    assert correct_winner(compare_pair([1.0] * 5, [0.0] * 5), 0.05) is None
