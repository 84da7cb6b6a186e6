"""Roots are SciPy's, to the last digit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import nctdtr

from bakeoff.stats.roots import find_root


def make_functions() -> list[tuple[Callable[[float], float], float, float]]:
    rng = np.random.default_rng(0)
    found: list[tuple[Callable[[float], float], float, float]] = [
        (lambda x: x**3 - 2 * x - 5, 2.0, 3.0),
        (lambda x: math.exp(-20 * x) - 0.5, 0.0, 10.0),
        (lambda x: math.copysign(1.0, x - 0.3), -1.0, 1.0),  # two equal values: no parabola
        (lambda x: x - 1.0, 1.0, 2.0),  # an end is the root
        (lambda x: x - 2.0, 1.0, 2.0),
    ]
    for a, b, c in rng.uniform(0.1, 5.0, (200, 3)):
        found.append((lambda x, a=a, b=b, c=c: math.atan(a * (x - c)) + b * (x - c) ** 3, -10.0, 10.0))  # type: ignore[misc]
        found.append((lambda x, a=a, b=b: float(nctdtr(b + 1, x, a)) - 0.3, -4 * a - 10, 4 * a + 10))  # type: ignore[misc]
    return found


@pytest.mark.parametrize("tolerance", [2e-12, 1e-9, 1e-3])
def test_the_steps_are_scipys_to_the_last_digit(tolerance: float) -> None:
    for function, low, high in make_functions():
        assert find_root(function, low, high, tolerance) == brentq(function, low, high, xtol=tolerance)


@pytest.mark.parametrize("function", [lambda x: 1.0, lambda x: math.nan])
def test_without_a_change_of_sign_there_is_no_root(function: Callable[[float], float]) -> None:
    with pytest.raises(ValueError, match="sign"):
        find_root(function, 0.0, 1.0)
