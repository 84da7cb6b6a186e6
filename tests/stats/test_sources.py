"""Where expected spreads come from: pooled over pairs, from validation scores, from scores alone, as declared."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.sources import (
    ValidationPair,
    count_pooled_degrees,
    expect_declared,
    guess_disagreement,
    list_factors,
    measure_validation,
    pool_scores,
    pool_spreads,
    scale_variance,
)
from bakeoff.stats.variance import measure_spread


def test_disagreement_is_half_of_independent_errors() -> None:
    assert guess_disagreement(0.9) == pytest.approx(0.09)
    rng = np.random.default_rng(0)
    a_N, b_N = rng.random((2, 200_000)) < 0.9
    assert np.mean(a_N != b_N) == pytest.approx(2 * guess_disagreement(0.9), abs=0.003)


@pytest.mark.parametrize("against_baseline", [False, True])
@pytest.mark.parametrize("num_arms", [2, 4, 9])
def test_degrees_of_a_pooled_variance_by_simulation(num_arms: int, against_baseline: bool) -> None:
    rng = np.random.default_rng(2)
    scores = rng.standard_normal((20_000, num_arms, 3))
    pairs = [(0, b) for b in range(1, num_arms)] if against_baseline else list(combinations(range(num_arms), 2))
    pooled = np.mean([np.var(scores[:, a] - scores[:, b], axis=1, ddof=1) for a, b in pairs], axis=0)
    # Of a scaled chi-squared the degrees are 2 mean^2 / variance.
    expected = 2 * pooled.mean() ** 2 / pooled.var()
    assert count_pooled_degrees(num_arms, 3, against_baseline=against_baseline) == pytest.approx(expected, rel=0.06)


def test_spreads_of_pairs_give_their_parts_back() -> None:
    rng, r, n = np.random.default_rng(3), 8, 600
    spreads = []
    for _ in range(300):
        d_RN = (
            0.01 * rng.standard_normal((r, 1)) + 0.2 * rng.standard_normal((1, n)) + 0.1 * rng.standard_normal((r, n))
        )
        spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0)
        assert spread is not None
        spreads.append(spread)
    found = pool_spreads(spreads)
    assert found.sd == pytest.approx((0.01**2 + 0.1**2 / n) ** 0.5, rel=0.05)
    assert found.images == pytest.approx(0.2**2 / n, rel=0.03)
    assert found.num_images == n


def test_equal_images_add_nothing() -> None:
    d_RN = np.tile([[0.1], [0.2], [0.4]], (1, 50))
    spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0)
    assert spread is not None
    assert pool_spreads([spread]).images == 0.0


@pytest.mark.parametrize("num_pool", [400, 1_000, 4_000])
def test_validation_scores_stand_for_test_images(num_pool: int) -> None:
    """Validation images are drawn anew in every replicate, or are all the same; the test split is four times larger."""
    rng, r, validated, num_test = np.random.default_rng(4), 3, 400, 1_600
    seed, image, rest = 0.02, 0.2, 0.3
    pairs = []
    for _ in range(500):
        image_N = image * rng.standard_normal(num_pool)
        rows = [rng.choice(num_pool, validated, replace=False) for _ in range(r)]
        d_RN = [seed * rng.standard_normal() + image_N[row] + rest * rng.standard_normal(validated) for row in rows]
        pairs.append(ValidationPair(differences=d_RN, indices=rows))
    measured = measure_validation(pairs)
    assert measured.overlap == pytest.approx(validated / num_pool, abs=0.01)
    found = measured.expect(num_test)
    assert found.images == pytest.approx(image**2 / num_test, rel=0.1)
    assert found.sd == pytest.approx((seed**2 + rest**2 / num_test) ** 0.5, rel=0.1)
    assert measured.expect(None).num_images == validated
    assert measured.expect(num_test, factor=2.0).sd > 1.4 * found.sd


def test_with_few_shared_images_all_counts_as_the_images_and_agreement_is_not_proof() -> None:
    values = np.array([0.0, 1.0] * 25)
    pair = ValidationPair(differences=[values, values + 0.02], indices=[np.arange(50), np.arange(50, 100)])
    found = measure_validation([pair]).expect(100)
    assert found.images == pytest.approx(np.var(values, ddof=1) / 100)
    assert measure_validation([pair]).lasting_ends == (0.0, pytest.approx(np.var(values, ddof=1)))
    # The two replicates differ by less than their images alone would make them: a quarter of that is kept.
    assert found.sd == pytest.approx((0.25 * 0.02**2 / 2) ** 0.5)


def test_scores_alone_and_declarations() -> None:
    found = pool_scores([np.array([0.01, 0.03, 0.02])], accuracy=0.8, num_images=100)
    assert found.sd == pytest.approx(0.01)
    assert found.images == pytest.approx(0.16 / 100)
    assert pool_scores([np.array([0.01, 0.03])], accuracy=None, num_images=100).images == 0.0
    declared = expect_declared(0.005, disagreement=0.09, num_images=None)
    assert declared.sd == pytest.approx(0.005 * 2**0.5)
    assert declared.images == 0.0


def test_the_interval_of_a_measured_variance_is_chi_squared() -> None:
    low, high = list_factors(4.0)
    assert (low, high) == pytest.approx((4 / stats.chi2.ppf(0.9, 4), 4 / stats.chi2.ppf(0.1, 4)))
    spread = expect_declared(0.01, disagreement=None, num_images=None)
    assert scale_variance(spread, 4.0).sd == pytest.approx(2 * spread.sd)
