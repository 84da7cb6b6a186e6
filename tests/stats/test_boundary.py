from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.stats.boundary import Crossings, tabulate_crossings


def simulate(at_least: int, at_most: int, rise: float, sides: int, num_paths: int = 30_000) -> np.ndarray:
    """Return the smallest scaled p value of each null path, by SciPy's own t test."""
    differences = np.random.default_rng(7).standard_normal((num_paths, at_most))
    alternative = "two-sided" if sides == 2 else "greater"
    scaled = [
        stats.ttest_1samp(differences[:, :n], 0.0, axis=1, alternative=alternative).pvalue * (at_most / n) ** rise
        for n in range(at_least, at_most + 1)
    ]
    return np.min(scaled, axis=0)


@pytest.mark.parametrize(
    ("at_least", "at_most", "rise", "sides"), [(3, 4, 1.5, 2), (3, 20, 1.5, 2), (3, 20, 1.5, 1), (5, 20, 0.0, 2)]
)
def test_the_table_agrees_with_plain_simulation(at_least: int, at_most: int, rise: float, sides: int) -> None:
    smallest = simulate(at_least, at_most, rise, sides)
    crossings = tabulate_crossings(at_least, at_most, rise, sides)
    for error_rate in (0.005, 0.05, 0.2, 0.6, 0.9):
        found = np.mean(smallest <= crossings.quantile(error_rate))
        standard_error = np.sqrt(error_rate * (1 - error_rate) / len(smallest))
        assert found == pytest.approx(error_rate, abs=3 * standard_error + 0.01 * error_rate)


def test_one_look_needs_no_correction() -> None:
    crossings = tabulate_crossings(5, 5, 1.5, 2)
    for p in (1e-12, 1e-6, 0.01, 0.05, 0.7, 1.0):
        assert crossings.probability(p) == pytest.approx(p, rel=1e-6)
        assert crossings.quantile(p) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("at_most", [20, 200])
def test_the_chance_lies_between_the_last_look_alone_and_the_sum_of_all(at_most: int) -> None:
    crossings = tabulate_crossings(3, at_most, 1.5, 2)
    for scale in np.logspace(-12, 0, 60):
        assert scale * 0.999 <= crossings.probability(scale) <= min(1.0, 1.001 * scale * crossings.bound)


def test_the_chance_rises_with_the_scale_and_inverts() -> None:
    crossings = tabulate_crossings(3, 20, 1.5, 2)
    scales = np.logspace(-11, 0, 200)
    chances = [crossings.probability(scale) for scale in scales]
    assert np.all(np.diff(chances) >= 0)
    for error_rate in (1e-7, 0.05 / 28, 0.05, 0.5):
        assert crossings.probability(crossings.quantile(error_rate)) == pytest.approx(error_rate)


def test_left_of_the_table_the_union_bound_holds() -> None:
    crossings = Crossings(np.array([0.1, 1.0]), np.array([0.2, 1.0]), bound=4.0)
    assert crossings.probability(0.01) == pytest.approx(0.04)
    assert crossings.probability(0.09) == pytest.approx(0.2)  # and never above what the table starts with
    assert crossings.quantile(0.1) == pytest.approx(0.025)


def test_it_is_the_same_every_time() -> None:
    first = tabulate_crossings(3, 9, 1.5, 2).probabilities
    tabulate_crossings.cache_clear()
    assert np.array_equal(first, tabulate_crossings(3, 9, 1.5, 2).probabilities)
