"""The simulations' way to judge many studies at once, against the code that judges a real one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bakeoff.stats.pairs import compare_pair
from bakeoff.stats.variance import measure_spread

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rigor_batches
import rigor_power


@pytest.mark.parametrize("scope", ["images", "seeds"])
def test_a_batch_is_judged_as_its_studies_are_one_by_one(scope: str) -> None:
    rng = np.random.default_rng(0)
    shares = rng.choice([0.0, 0.01, 0.05, 0.3], (2, 200, 1, 1))
    a_SRN, b_SRN = (rng.random((200, 4, 150)) < shares[arm] + rng.normal(0, 0.02, (200, 4, 1)) for arm in (0, 1))
    spreads = rigor_batches.measure_batch(a_SRN.astype(np.float32) - b_SRN)
    pairs = []
    for a_RN, b_RN, batched in zip(a_SRN, b_SRN, spreads, strict=True):
        spread = measure_spread(a_RN, b_RN, unit=1.0)
        assert spread is not None
        known = {name: value for name, value in vars(spread).items() if value is not None}
        assert {name: getattr(batched, name) for name in known} == pytest.approx(known, rel=1e-6, abs=1e-12)
        pairs.append(
            compare_pair(a_RN.mean(axis=1), b_RN.mean(axis=1), margin=0.06, spread=spread, scope=scope)  # type: ignore[arg-type]
        )
    p_values = np.array([(pair.p, pair.p_equivalence) for pair in pairs], dtype=float)
    decided = (rigor_batches.differ(spreads, 0.05, scope), rigor_batches.equate(spreads, 0.06, scope=scope))  # type: ignore[arg-type]
    assert np.array_equal(decided[0], p_values[:, 0] <= 0.05)
    assert np.array_equal(decided[1], p_values[:, 1] <= 0.05)
    assert all(0 < found.sum() < 200 for found in decided)
    holds = [pair.interval is not None and pair.interval[0] <= 0 <= pair.interval[1] for pair in pairs]
    assert np.array_equal(rigor_batches.cover(spreads, 0.0, scope), holds)  # type: ignore[arg-type]


def test_the_plain_t_interval_of_a_batch_is_the_pair_s() -> None:
    values_SR = np.random.default_rng(1).normal(0.1, 1.0, (20, 5))
    for mean, width, values in zip(*rigor_batches.reach_by_t(values_SR), values_SR, strict=True):
        assert compare_pair(values, np.zeros(5)).interval == pytest.approx((mean - width, mean + width))
    _, level = rigor_batches.reach_by_t(np.full((1, 3), 0.1))
    assert np.isnan(level).all()


def test_normal_effects_are_drawn_as_their_images_would_give_them() -> None:
    """Mean squares drawn at once, against those of drawn images, in mean and spread."""
    effects, rng = rigor_power.EFFECTS[1], np.random.default_rng(0)
    drawn = effects.draw(rng, (1_000, 3, 4), "images", np.zeros(3))[0, 2]
    measured = []
    for _ in range(200):
        scores_ARN = effects.draw_images(rng, (3, 4))
        spread = measure_spread(scores_ARN[0], scores_ARN[2], unit=1.0)
        assert spread is not None
        measured.append(spread)
    for name in ("by_seed", "by_image", "rest"):
        at_once, one_by_one = (np.array([getattr(each, name) for each in found]) for found in (drawn, measured))
        error = (at_once.var() / 1_000 + one_by_one.var() / 200) ** 0.5
        assert at_once.mean() == pytest.approx(one_by_one.mean(), abs=4 * error)
        assert at_once.std() == pytest.approx(one_by_one.std(), rel=0.25)
    differences = np.array([[each.difference for each in found][:200] for found in (drawn, measured)])
    assert differences[0].std() == pytest.approx(differences[1].std(), rel=0.25)
