"""How many replicates a paired comparison needs: exact power from the noncentral t distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

from bakeoff.stats.roots import find_root

POWER = 0.8
"""Chance of a verdict that the counts below aim for, if the assumed effect is the true one."""

MAX_REPLICATES = 1000
"""Beyond this the answer is "not with replicates"."""


def replicates_to_detect(
    effect_size: float, *, alpha: float, power: float = POWER, test_share: float = 0.0
) -> int | None:
    """Return the paired replicates (at least 3) that show a difference with the given power, or None beyond 1,000.

    Two-sided paired t test (Cohen 1988, chapter 2); the negligible chance of a verdict in the wrong direction is not
    counted as power.

    Args:
        effect_size: |mean difference| / sd of the differences, 0 or more.
        alpha: two-sided error rate, 0..1.
        power: wanted chance of detection, 0..1.
        test_share: of folds, as `compare_pair` takes it (then n counts folds); 0 for independent replicates.
    """
    return find_smallest(lambda n: power_to_detect(effect_size, n, alpha, test_share), power)


def count_degrees(n: int, test_share: float) -> int:
    """Return the degrees of freedom of n paired differences, at least 1: n - 1, and for folds no more than k - 1.

    More precisely, no more than the images give disjoint test sets, less one: 1 / test_share. It is rounded up, for
    images kept for validation are in neither part: k - 1 while these are under 1 / (k - 1) of the images outside the
    held-out fold, else fewer. For folds run once that is n - 1 as published. For folds repeated r times Bouckaert and
    Frank (2004) take k r - 1; that is too many for an unstable learner: nearest neighbour, 10 folds three times, then
    found a false winner in 11% of 2,000 null studies of 8 arms instead of 5% (`benchmarks/rigor_folds.py`). So
    repeating adds none here.

    Args:
        n: differences, 2 or more.
        test_share: of folds, as `compare_pair` takes it; 0 for independent replicates.
    """
    if not test_share:
        return n - 1
    # Less a little: 1 / (1 / (k - 1)) may come out just above k - 1.
    return max(1, min(n - 1, math.ceil(1 / test_share - 1e-9)))


def power_to_detect(
    effect_size: float, n: int, alpha: float, test_share: float = 0.0, extra_degrees: float = 0.0
) -> float:
    """Return the chance that n replicates show a difference; see `replicates_to_detect`.

    `extra_degrees` of freedom are those that other arms lend.
    """
    from scipy.special import nctdtr, stdtrit

    # Clipped because the noncentral distribution is NaN far out; at 100 sd three replicates already suffice.
    effect_size = min(effect_size, 100.0)
    degrees, error = count_degrees(n, test_share) + extra_degrees, (1 / n + test_share) ** 0.5
    return 1 - float(nctdtr(degrees, effect_size / error, stdtrit(degrees, 1 - alpha / 2)))


def power_to_equate(
    effect_size: float, margin_size: float, n: int, alpha: float, test_share: float = 0.0, extra_degrees: float = 0.0
) -> float:
    """Return the power of two one-sided t tests: a lower bound, 1 minus the chances that either fails.

    Args:
        effect_size: |mean difference| / sd of the differences, 0 or more.
        margin_size: margin / sd of the differences, above `effect_size`.
        n: paired replicates, 2 or more.
        alpha: error rate of each one-sided test, 0..1.
        test_share: of folds; 0 for independent replicates.
        extra_degrees: of freedom, that other arms lend.
    """
    from scipy.special import nctdtr, stdtrit

    effect_size, margin_size = min(effect_size, 100.0), min(margin_size, effect_size + 100.0)
    degrees, error = count_degrees(n, test_share) + extra_degrees, (1 / n + test_share) ** 0.5
    critical = stdtrit(degrees, 1 - alpha)
    near = float(nctdtr(degrees, (margin_size - effect_size) / error, critical))
    far = float(nctdtr(degrees, (margin_size + effect_size) / error, critical))
    return 1 - near - far


def find_smallest(power_at: Callable[[int], float], power: float, most: int = MAX_REPLICATES) -> int | None:
    """Return the smallest n in 3..most whose power suffices, or None; power grows with n."""
    # Doubling first keeps the noncentrality small: the distribution function loses accuracy where it is huge.
    high = 3
    while not power_at(high) >= power:
        if high >= most:
            return None
        high = min(2 * high, most)
    low = 2 if high == 3 else high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


def find_shift(t: float, degrees: float, chance: float) -> float:
    """Return the noncentrality at which a noncentral t is at most `t` with this chance."""
    reach = 4 * abs(t) + 10
    return find_root(lambda shift: chance_below(t, degrees, shift) - chance, -reach, reach)


def chance_below(t: float, degrees: float, shift: float) -> float:
    """Return the chance that a noncentral t is at most `t`."""
    from scipy.special import nctdtr

    found = float(nctdtr(degrees, shift, t))
    # Far out SciPy's function is NaN where it is 0 or 1 but for rounding.
    return float(shift < t) if math.isnan(found) else found
