"""Where expected spreads come from: pooled over pairs, from validation scores, from scores alone, as declared."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.sources import (
    ValidationPair,
    VarianceSource,
    count_pooled_degrees,
    expect_declared,
    guess_disagreement,
    pool_scores,
    pool_spreads,
    pool_validation,
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
    found = pool_spreads(spreads, is_counted=True)
    assert found.sd == pytest.approx((0.01**2 + 0.1**2 / n) ** 0.5, rel=0.05)
    assert found.images == pytest.approx(0.2**2 / n, rel=0.03)
    assert (found.num_images, found.is_counted) == (n, True)


def test_equal_images_add_nothing() -> None:
    d_RN = np.tile([[0.1], [0.2], [0.4]], (1, 50))
    spread = measure_spread(d_RN, np.zeros_like(d_RN), unit=1.0)
    assert spread is not None
    assert pool_spreads([spread], is_counted=False).images == 0.0


@pytest.mark.parametrize("num_pool", [1_000, 4_000])
def test_validation_scores_stand_for_test_images(num_pool: int) -> None:
    """Validation images are drawn anew in every replicate; the test split is four times as large."""
    rng, r, validated, num_test = np.random.default_rng(4), 3, 400, 1_600
    seed, image, rest = 0.02, 0.2, 0.3
    pairs = []
    for _ in range(500):
        image_N = image * rng.standard_normal(num_pool)
        rows = [rng.choice(num_pool, validated, replace=False) for _ in range(r)]
        d_RN = [seed * rng.standard_normal() + image_N[row] + rest * rng.standard_normal(validated) for row in rows]
        by_image = [dict(zip(row.tolist(), d_N.tolist(), strict=True)) for row, d_N in zip(rows, d_RN, strict=True)]
        pairs.append(ValidationPair(differences=np.array([d_N.mean() for d_N in d_RN]), by_image=by_image))
    found = pool_validation(pairs, num_test, is_counted=True)
    assert found.images == pytest.approx(image**2 / num_test, rel=0.1)
    assert found.sd == pytest.approx((seed**2 + rest**2 / num_test) ** 0.5, rel=0.1)
    assert pool_validation(pairs, None, is_counted=True).num_images == validated


def test_with_few_shared_images_all_counts_as_the_images() -> None:
    rows = [{n: float(n % 2) for n in range(start, start + 50)} for start in (0, 50)]
    pair = ValidationPair(differences=np.array([0.5, 0.5]), by_image=rows)
    found = pool_validation([pair], 100, is_counted=True)
    assert found.images == pytest.approx(np.var([0, 1] * 25, ddof=1) / 100)
    assert found.sd == 0.0


def test_scores_alone_and_declarations() -> None:
    found = pool_scores([np.array([0.01, 0.03, 0.02])], accuracy=0.8, num_images=100, is_counted=True)
    assert found.sd == pytest.approx(0.01)
    assert found.images == pytest.approx(0.16 / 100)
    assert pool_scores([np.array([0.01, 0.03])], accuracy=None, num_images=100, is_counted=False).images == 0.0
    declared = expect_declared(0.005, disagreement=0.09, num_images=None, is_counted=True)
    assert declared.sd == pytest.approx(0.005 * 2**0.5)
    assert declared.images == 0.0


def test_the_interval_of_a_measured_sd_is_chi_squared() -> None:
    spread = expect_declared(0.01, disagreement=None, num_images=None, is_counted=True)
    low, high = VarianceSource(kind="trials", spread=spread, degrees=4.0).ends or (spread, spread)
    assert low.sd == pytest.approx(spread.sd * (4 / stats.chi2.ppf(0.9, 4)) ** 0.5)
    assert high.sd == pytest.approx(spread.sd * (4 / stats.chi2.ppf(0.1, 4)) ** 0.5)
    assert VarianceSource(kind="declared", spread=spread).ends is None
    assert VarianceSource(kind="none").ends is None
