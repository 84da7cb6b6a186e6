"""The root of a function of one variable."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

MAX_ITERATIONS = 100
RELATIVE_TOLERANCE = 4 * sys.float_info.epsilon


def find_root(function: Callable[[float], float], low: float, high: float, tolerance: float = 2e-12) -> float:
    """Return where a continuous function is zero, by the method of Brent (1973, chapter 4).

    The digits are those of `scipy.optimize.brentq`. Importing `scipy.optimize` takes 0.13 s of CPU time, more than all
    that a report computes with a root.

    Args:
        function: its signs at `low` and `high` differ, unless one of them is the root.
        low: one end of the interval.
        high: the other end.
        tolerance: absolute error; `RELATIVE_TOLERANCE` times the root comes on top.

    Raises:
        ValueError: the signs do not differ.
        ArithmeticError: no root after `MAX_ITERATIONS`.
    """
    # The root lies between `best` and `other`; `last` was the best point before.
    last, best = float(low), float(high)
    f_last, f_best = float(function(last)), float(function(best))
    if f_last == 0 or f_best == 0:
        return last if f_last == 0 else best
    if not (f_last < 0 < f_best or f_best < 0 < f_last):
        raise ValueError(f"the function has no change of sign from {low} to {high}: {f_last}, {f_best}")
    other, f_other, step, step_before = 0.0, 0.0, 0.0, 0.0
    for _ in range(MAX_ITERATIONS):
        if f_last != 0 and (f_last < 0) != (f_best < 0):
            other, f_other = last, f_last
            step = step_before = best - last
        if abs(f_other) < abs(f_best):
            last, best, other = best, other, best
            f_last, f_best, f_other = f_best, f_other, f_best
        allowed, half = (tolerance + RELATIVE_TOLERANCE * abs(best)) / 2, (other - best) / 2
        if f_best == 0 or abs(half) < allowed:
            return best
        proposed = math.inf
        if abs(step_before) > allowed and abs(f_best) < abs(f_last):
            proposed = _interpolate((last, best, other), (f_last, f_best, f_other))
        is_short = 2 * abs(proposed) < min(abs(step_before), 3 * abs(half) - allowed)
        step_before, step = (step, proposed) if is_short else (half, half)
        last, f_last = best, f_best
        best += step if abs(step) > allowed else math.copysign(allowed, half)
        f_best = float(function(best))
    raise ArithmeticError(f"no root from {low} to {high} after {MAX_ITERATIONS} steps")


def _interpolate(points: tuple[float, float, float], values: tuple[float, float, float]) -> float:
    """Return the step from the best point to the root of the secant or the inverse parabola; infinite without one."""
    (last, best, other), (f_last, f_best, f_other) = points, values
    if last == other:
        return -f_best * (best - last) / (f_best - f_last)
    slope, slope_other = (f_last - f_best) / (last - best), (f_other - f_best) / (other - best)
    divisor = slope_other * slope * (f_other - f_last)
    return -f_best * (f_other * slope_other - f_last * slope) / divisor if divisor else math.inf
