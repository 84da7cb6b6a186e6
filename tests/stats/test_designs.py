"""Fractions: balance, orthogonality, published resolutions, and aliases against a brute-force computation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bakeoff.stats.designs import (
    Fraction,
    format_roman,
    list_screening_sizes,
    make_fraction,
    make_screening,
    measure_resolution,
)

# Box, Hunter and Hunter (1978), "Statistics for experimenters", table 12.15: (factors, runs) -> resolution.
RESOLUTIONS = {
    (3, 4): 3,
    (4, 8): 4,
    (5, 16): 5,
    (5, 8): 3,
    (6, 32): 6,
    (6, 16): 4,
    (6, 8): 3,
    (7, 64): 7,
    (7, 32): 4,
    (7, 16): 4,
    (7, 8): 3,
    (8, 64): 5,
    (8, 32): 4,
    (8, 16): 4,
    (9, 128): 6,
    (9, 64): 4,
    (9, 32): 4,
    (9, 16): 3,
    (10, 128): 5,
    (10, 64): 4,
    (10, 32): 4,
    (10, 16): 3,
    (11, 128): 5,
    (11, 64): 4,
    (11, 32): 4,
    (11, 16): 3,
}


def signs(fraction: Fraction) -> np.ndarray:
    return 1 - 2 * np.concatenate([fraction.levels_NK, fraction.others_NJ], axis=1).astype(int)


def check_orthogonal(fraction: Fraction) -> None:
    columns = signs(fraction)
    assert np.array_equal(columns.T @ columns, fraction.num_runs * np.eye(fraction.num_runs - 1, dtype=int))
    assert not columns.sum(axis=0).any()
    assert len(np.unique(fraction.levels_NK, axis=0)) == fraction.num_runs
    assert not fraction.levels_NK.any(axis=1).all()  # the run with every first level is in it


@pytest.mark.parametrize("num_factors", range(2, 32))
def test_screening_columns_are_balanced_and_orthogonal(num_factors: int) -> None:
    fraction = make_screening(num_factors)
    check_orthogonal(fraction)
    assert fraction.levels_NK.shape[1] == num_factors
    sizes = [size for size in list_screening_sizes() if size > num_factors]
    assert fraction.num_runs == sizes[0]


@pytest.mark.parametrize(("shape", "resolution"), RESOLUTIONS.items())
def test_fractions_reach_the_published_resolutions(shape: tuple[int, int], resolution: int) -> None:
    num_factors, num_runs = shape
    fraction = make_fraction(num_factors, num_runs=num_runs)
    check_orthogonal(fraction)
    assert fraction.resolution == resolution
    assert measure_resolution(fraction.columns) == resolution


@pytest.mark.parametrize(
    ("num_factors", "resolution", "num_runs"),
    [(5, 3, 8), (5, 4, 16), (5, 5, 16), (8, 4, 16), (10, 3, 16), (10, 4, 32), (16, 4, 32), (20, 4, 64)],
)
def test_the_smallest_fraction_of_a_resolution(num_factors: int, resolution: int, num_runs: int) -> None:
    fraction = make_fraction(num_factors, resolution=resolution)
    assert fraction.num_runs == num_runs
    assert fraction.is_full or (fraction.resolution or 0) >= resolution


@pytest.mark.parametrize(("num_factors", "num_runs"), [(4, 8), (5, 8), (5, 16), (6, 16), (7, 8), (7, 16), (9, 16)])
def test_aliases_are_those_of_the_columns_themselves(num_factors: int, num_runs: int) -> None:
    fraction = make_fraction(num_factors, num_runs=num_runs)
    columns = signs(fraction)[:, :num_factors]
    for place, aliases in enumerate(fraction.find_aliases(3)):
        others = [other for other in range(num_factors) if other != place]
        brute = [
            group
            for size in (2, 3)
            for group in itertools.combinations(others, size)
            if abs(columns[:, place] @ columns[:, group].prod(axis=1)) == num_runs
        ]
        assert list(aliases) == brute
        # What is not an alias is orthogonal: a regular fraction mixes wholly or not at all.
        for size in (2, 3):
            for group in itertools.combinations(others, size):
                assert (columns[:, place] @ columns[:, group].prod(axis=1) == 0) == (group not in aliases)


@pytest.mark.parametrize("num_runs", [12, 20, 24])
def test_plackett_burman_mixes_every_main_effect_in_part(num_runs: int) -> None:
    columns = signs(make_screening(num_runs - 1, num_runs))
    for place, column in enumerate(columns.T):
        others = np.delete(columns, place, axis=1)
        inner = np.abs([column @ (a * b) for a, b in itertools.combinations(others.T, 2)])
        assert inner.max() > 0
        assert inner.max() < num_runs


def test_few_factors_in_many_runs_are_all_combinations() -> None:
    fraction = make_screening(3, 8)
    assert fraction.is_full
    assert fraction.resolution is None
    assert fraction.title == "all combinations, 8 runs"


def test_titles() -> None:
    assert make_screening(10).title == "Plackett-Burman design, 12 runs"
    assert make_screening(5).title == "2^(5-2) fraction of resolution III"
    assert [format_roman(number) for number in (3, 4, 5, 9, 12)] == ["III", "IV", "V", "IX", "XII"]


def test_sizes_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="10 factors cannot be screened in 10 runs, allowed: 12, 16, 20"):
        make_screening(10, 10)
    with pytest.raises(ValueError, match="no fraction of 5 factors in 8 runs has resolution IV or more"):
        make_fraction(5, num_runs=8, resolution=4)
    with pytest.raises(ValueError, match="in 12 runs"):
        make_fraction(5, num_runs=12)
