"""How sure borrowed variances are before anything is trained: the degrees of freedom that a pair may expect."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.borrowed import (
    MIN_ARMS,
    PAIR_FACTOR,
    PRIOR_DEGREES,
    OwnVariances,
    choose_slope,
    estimate_variances,
    moderate,
    weigh_prior,
)
from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.power import POWER

_NUM_SIMULATED = 400
"""Blocks: a difference said to be detected in 80% of studies is in 76 to 83%."""

_SIMULATED = (2, 3, 4, 5, 7, 10, 20, 50)
"""Replicates that are simulated."""


@cache
def expect_degrees(num_replicates: int, *, num_arms: int, num_pairs: int, num_blocks: int, level: float) -> float:
    """Return the degrees of freedom that a pair is expected to have, before anything is trained.

    Those of the t distribution by which a pair has 80% power at `level`, two-sided, for the same difference as by
    borrowed variances in simulated blocks of arms that spread alike (always the same ones); at least those of the
    pair's own differences. Between replicates that are simulated they are interpolated, as multiples of those.

    Shape suffix: S simulated blocks.
    """
    own = num_replicates - 1.0
    if num_arms < MIN_ARMS or num_replicates < 2:
        return own
    family = {"num_arms": num_arms, "num_pairs": num_pairs, "num_blocks": num_blocks, "level": level}
    after = min(bisect_left(_SIMULATED, num_replicates), len(_SIMULATED) - 1)
    high, low = _SIMULATED[after], _SIMULATED[max(0, after - 1)]
    if num_replicates == high:
        return _simulate_degrees(high, **family)
    times = [_simulate_degrees(n, **family) / (n - 1) for n in (low, high)]
    return (
        own * float(np.interp(math.log(num_replicates), np.log([low, high]), times)) if low < high else own * times[0]
    )


@cache
def _simulate_degrees(n: int, *, num_arms: int, num_pairs: int, num_blocks: int, level: float) -> float:
    from scipy.special import ndtr

    reach_S = _simulate_reaches(n, num_arms, choose_slope(num_arms, num_pairs, num_blocks), level / 2)
    # The mean is independent of the spread: its error is normal whatever the reach.
    error, step = math.sqrt(2 / n), math.sqrt(2 / n) / 50
    differences = np.arange(step, 3 * float(reach_S.max()) + 5 * error, step)
    powers = np.array([float(ndtr((each - reach_S) / error).mean()) for each in differences])
    difference = float(np.interp(POWER, powers, differences))
    low, high = math.log(n - 1), math.log(10 * num_arms * (n - 1))
    while high - low > 0.002:
        middle = (low + high) / 2
        reaches = _find_power(difference, n, level, degrees=math.exp(middle)) >= POWER
        low, high = (low, middle) if reaches else (middle, high)
    return math.exp(high)


def _find_power(difference: float, n: int, level: float, *, degrees: float) -> float:
    return ExpectedSpread(sd=2**0.5, degrees=lambda n: degrees).find_power(difference, n, level)


def _simulate_reaches(n: int, num_arms: int, slope: float, tail: float) -> NDArray[np.float64]:
    """Return how far the error of a pair reaches in blocks of arms of standard deviation 1."""
    from scipy.special import stdtr

    scores_SKR = np.random.default_rng(0).standard_normal((_NUM_SIMULATED, num_arms, n))
    d, nu = n - 1.0, PRIOR_DEGREES
    degrees_K, counts_K = np.full(num_arms, d), np.ones(num_arms)
    own = OwnVariances(squares_K=estimate_variances(scores_SKR), degrees_K=degrees_K, counts_K=counts_K)
    own = own.raise_smallest()
    weights_SG, centers_SG = weigh_prior(own, slope)
    of_pair_S1 = (scores_SKR[:, 0] - scores_SKR[:, 1]).var(axis=1, ddof=1)[:, None]
    pair_SG = (2 * nu * centers_SG + d * of_pair_S1) / (nu + d)
    arms_SG = moderate(own.squares_K[:, :2], d, centers_SG).sum(axis=-1)
    scales_SG = np.sqrt(np.maximum(arms_SG, PAIR_FACTOR * pair_SG) / n)
    degrees_G = np.minimum(nu + d, d * (num_arms - 1))
    low_S, high_S = np.full(_NUM_SIMULATED, -6.0), np.full(_NUM_SIMULATED, 12.0)
    for _ in range(20):
        middle_S = (low_S + high_S) / 2
        beyond_S = (weights_SG * stdtr(degrees_G, -np.exp(middle_S)[:, None] / scales_SG)).sum(axis=1) > tail
        low_S, high_S = np.where(beyond_S, middle_S, low_S), np.where(beyond_S, high_S, middle_S)
    return np.asarray(np.exp(high_S))


@dataclass(frozen=True, kw_only=True)
class ExpectedDegrees:
    """Degrees of freedom that a pair of a family is expected to have, by the number of replicates.

    Attributes:
        num_arms, num_pairs: of a block.
        num_blocks: of the family.
        level: two-sided, that the pair has to pass.
    """

    num_arms: int
    num_pairs: int
    num_blocks: int
    level: float

    def __call__(self, num_replicates: int) -> float:
        """Return them; see `expect_degrees`."""
        return expect_degrees(num_replicates, **vars(self))
