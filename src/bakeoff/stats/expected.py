"""What a comparison can show before it is made: power from the spread that a pair's difference is expected to have.

The mean difference of two arms over n replicates has the variance sd^2 / n + images, where sd is that of one
replicate's difference on the test images, and `images` the part that no number of replicates lowers (see
`bakeoff.stats.variance`). It is tested as a real study does: squares of half widths add, a t interval for the seeds and
a normal one for the images (`Spread.half_width`). Given the estimate of sd, which is chi-squared, the test is normal;
power is the mean over it. Without an images' part that is the noncentral t distribution (Cohen 1988, chapter 2).

Assumptions: differences are normal, all pairs spread alike, and the images' part, estimated from hundreds of images, is
known. The chance of a verdict in the wrong direction is not counted as power. Suffix: Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.power import POWER, find_smallest

Degrees = Callable[[int], float]
"""Degrees of freedom of the seeds' standard deviation, after n replicates."""

MAX_TIMES_IMAGES = 1000
"""More test images than this many times those there are, are not advised."""

_NUM_QUANTILES = 96


def count_own_degrees(n: int) -> float:
    """Return the degrees of freedom of a pair judged by its own replicates alone: n - 1."""
    return n - 1


@dataclass(frozen=True, kw_only=True)
class ExpectedSpread:
    """How the difference of two arms is expected to spread.

    Attributes:
        sd: standard deviation of one replicate's difference, on the same test images, in the metric's unit.
        images: variance of the difference due to the choice of test images; 0 where verdicts are of these images alone.
        num_images: test images; None if unknown.
        is_counted: whether an image moves the score by 1 / num_images at most, as in accuracy. Then few images that
            differ limit what can be shown, by the allowance for images that were not met.
        degrees: of freedom of the estimate of `sd` by which a pair is judged.
    """

    sd: float
    images: float = 0.0
    num_images: int | None = None
    is_counted: bool = False
    degrees: Degrees = count_own_degrees

    def find_power(self, difference: float, n: int, level: float) -> float:
        """Return the chance that n replicates show a true difference, in its direction.

        Args:
            difference: in the metric's unit, 0 or more.
            n: replicates, 2 or more.
            level: two-sided error rate that the pair has to pass, 0..1.
        """
        reach_Q, weight_Q, error = self._measure_reach(n, level / 2)
        return _mean_chance((difference - reach_Q) / error, weight_Q)

    def find_equivalence_power(self, margin: float, n: int, level: float) -> float:
        """Return the chance that n replicates show equal arms to be equivalent: two one-sided tests.

        Args:
            margin: largest difference that does not matter, above 0.
            n: replicates, 2 or more.
            level: error rate of each one-sided test, 0..1.
        """
        reach_Q, weight_Q, error = self._measure_reach(n, level)
        return max(0.0, 2 * _mean_chance(np.maximum(margin - reach_Q, 0.0) / error, weight_Q) - 1)

    def find_detectable(self, n: int, level: float, power: float = POWER) -> float:
        """Return the smallest true difference that n replicates show with this power; see `find_power`."""
        _, _, error = self._measure_reach(n, level / 2)
        found = _invert(lambda difference: self.find_power(difference, n, level), power, error)
        return max(found, self.find_least(level, power))

    def find_margin(self, n: int, level: float, power: float = POWER) -> float:
        """Return the smallest margin inside which n replicates show equal arms to be, with this power."""
        _, _, error = self._measure_reach(n, level)
        found = _invert(lambda margin: self.find_equivalence_power(margin, n, level), power, error)
        return max(found, self.find_least(2 * level, power))

    def find_limit(self, level: float, power: float = POWER) -> float:
        """Return the difference below which no number of replicates gets: what the test images alone can show."""
        from scipy.special import ndtri

        z = float(ndtri(power) - ndtri(level / 2))
        return max(z * math.sqrt(self.images), self.find_least(level, power))

    def find_least(self, level: float, power: float = POWER) -> float:
        """Return the difference that the images can show at best: all that differ favour the same arm; 0 if unknown."""
        if not self.is_counted or not self.num_images:
            return 0.0
        return find_least_difference(self.num_images, level, power)

    def count_to_show(self, difference: float, level: float, power: float = POWER) -> int | None:
        """Return the replicates, 3 at least, that show a difference with this power; None beyond 1,000."""
        if difference < self.find_limit(level, power):
            return None
        return find_smallest(lambda n: self.find_power(difference, n, level), power)

    def count_to_equate(self, margin: float, level: float, power: float = POWER) -> int | None:
        """Return the replicates, 3 at least, that show equal arms to be equivalent; None beyond 1,000."""
        if margin < self.find_least(2 * level, power):
            return None
        return find_smallest(lambda n: self.find_equivalence_power(margin, n, level), power)

    def with_images(self, num_images: int) -> ExpectedSpread:
        """Return the spread on another number of test images; single answers stay in `sd`, an upper bound."""
        times = num_images / self.num_images if self.num_images else 1.0
        return replace(self, images=self.images / times, num_images=num_images)

    def count_images(self, suffices: Callable[[ExpectedSpread], bool]) -> int | None:
        """Return the test images, to two digits, with which the spread suffices; None beyond 1,000 times those here."""
        if not self.num_images or not suffices(self.with_images(MAX_TIMES_IMAGES * self.num_images)):
            return None
        low, high = 0.0, math.log(MAX_TIMES_IMAGES)
        while high - low > 0.005:
            middle = (low + high) / 2
            enough = suffices(self.with_images(round(math.exp(middle) * self.num_images)))
            low, high = (low, middle) if enough else (middle, high)
        needed = math.exp(high) * self.num_images
        digit = 10 ** max(0, math.floor(math.log10(needed)) - 1)
        return int(math.ceil(needed / digit) * digit)

    def _measure_reach(self, n: int, tail: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the half widths at quantiles of the estimated sd, the weights of these, and the standard error."""
        from scipy.special import ndtri, stdtrit

        degrees, seeds = self.degrees(n), self.sd**2 / n
        ratio_Q, weight_Q = _list_quantiles(degrees)
        t2, z2 = float(stdtrit(degrees, tail)) ** 2, float(ndtri(tail)) ** 2
        reach_Q = np.sqrt(t2 * seeds * ratio_Q + z2 * self.images)
        return reach_Q, weight_Q, math.sqrt(seeds + self.images) or 1e-12


def find_least_difference(num_images: int, level: float, power: float = POWER) -> float:
    """Return the smallest true difference, as a share, that so many test images can show at all, with this power.

    At best every image that differs favours the same arm, in every replicate. Then k of them must be met for
    k^2 > z^2 k + log(level / 2)^2: the normal half width of the images, and the allowance for those not met
    (`Spread.half_width`). The number met is Poisson.

    Args:
        num_images: 1 or more.
        level: two-sided error rate that the pair has to pass, 0..1.
        power: wanted chance of a verdict, 0..1.
    """
    from scipy.special import gammaincinv, ndtri

    z2, log2 = float(ndtri(level / 2)) ** 2, math.log(level / 2) ** 2
    met = math.ceil((z2 + math.sqrt(z2**2 + 4 * log2)) / 2)
    return float(gammaincinv(met, power)) / num_images


@lru_cache
def _list_quantiles(degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return estimated over true variances at Gauss-Legendre points of the chi-squared distribution, and weights."""
    from scipy.special import chdtri

    points, weights = np.polynomial.legendre.leggauss(_NUM_QUANTILES)
    return np.asarray(chdtri(degrees, (1 - points) / 2) / degrees), weights / 2


def _mean_chance(distance_Q: NDArray[np.float64], weight_Q: NDArray[np.float64]) -> float:
    from scipy.special import ndtr

    return float(weight_Q @ ndtr(distance_Q))


def _invert(power_at: Callable[[float], float], power: float, step: float) -> float:
    """Return where a rising function reaches `power`, to 5 digits."""
    low, high = 0.0, step
    while power_at(high) < power:
        low, high = high, 2 * high
    while high - low > 1e-5 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high
