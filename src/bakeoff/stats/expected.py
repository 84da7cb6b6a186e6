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
from functools import cache, lru_cache

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
        disagreement: share of images that exactly one arm answers rightly, for every seed, where that is what is
            assumed of the images; None where it was measured what lasts.
        unmet: measured weight, squared, of images that were not met (`Spread.image_weight`).
        degrees: of freedom of the estimate of `sd` by which a pair is judged.
    """

    sd: float
    images: float = 0.0
    num_images: int | None = None
    disagreement: float | None = None
    unmet: float = 0.0
    degrees: Degrees = count_own_degrees

    def find_power(self, difference: float, n: float, level: float) -> float:
        """Return the chance that n replicates show a true difference, in its direction.

        Args:
            difference: in the metric's unit, 0 or more.
            n: replicates, 2 or more; infinity for what the images alone can show.
            level: two-sided error rate that the pair has to pass, 0..1.
        """
        reach_Q, weight_Q, error = self._measure_reach(n, level / 2, difference)
        return _mean_chance((difference - reach_Q) / error, weight_Q)

    def find_equivalence_power(self, margin: float, n: float, level: float) -> float:
        """Return the chance that n replicates show equal arms to be equivalent: two one-sided tests.

        Args:
            margin: largest difference that does not matter, above 0.
            n: replicates, 2 or more.
            level: error rate of each one-sided test, 0..1.
        """
        reach_Q, weight_Q, error = self._measure_reach(n, level)
        return max(0.0, 2 * _mean_chance(np.maximum(margin - reach_Q, 0.0) / error, weight_Q) - 1)

    def find_detectable(self, n: float, level: float, power: float = POWER) -> float:
        """Return the smallest true difference that n replicates show with this power; see `find_power`."""
        _, _, error = self._measure_reach(n, level / 2)
        return _invert(lambda difference: self.find_power(difference, n, level), power, error)

    def find_margin(self, n: float, level: float, power: float = POWER) -> float:
        """Return the smallest margin inside which n replicates show equal arms to be, with this power."""
        _, _, error = self._measure_reach(n, level)
        return _invert(lambda margin: self.find_equivalence_power(margin, n, level), power, error)

    def find_limit(self, level: float, power: float = POWER) -> float:
        """Return the difference below which no number of replicates gets: what the test images alone can show."""
        return self.find_detectable(math.inf, level, power) if self.images else 0.0

    def count_to_show(self, difference: float, level: float, power: float = POWER) -> int | None:
        """Return the replicates, 3 at least, that show a difference with this power; None beyond 1,000."""
        if difference < self.find_limit(level, power):
            return None
        return find_smallest(lambda n: self.find_power(difference, n, level), power)

    def count_to_equate(self, margin: float, level: float, power: float = POWER) -> int | None:
        """Return the replicates, 3 at least, that show equal arms to be equivalent; None beyond 1,000."""
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

    def _measure_reach(
        self, n: float, tail: float, difference: float = 0.0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the half widths at quantiles of the estimated sd, the weights of these, and the standard error."""
        from scipy.special import ndtri

        images, z2 = self._count_images_part(difference), float(ndtri(tail)) ** 2
        seeds_Q, weight_Q, seeds = self._measure_seeds(n, tail)
        reach_Q = np.sqrt(seeds_Q + z2 * images + math.log(tail) ** 2 * self._weigh_unmet(difference))
        return reach_Q, weight_Q, math.sqrt(seeds + images) or 1e-12

    def _measure_seeds(self, n: float, tail: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the squares of the seeds' half widths at quantiles, the weights of these, and the seeds' variance."""
        from scipy.special import stdtrit

        if math.isinf(n):
            return np.zeros(1), np.ones(1), 0.0
        degrees, seeds = self.degrees(int(n)), self.sd**2 / n
        ratio_Q, weight_Q = _list_quantiles(degrees)
        return float(stdtrit(degrees, tail)) ** 2 * seeds * ratio_Q, weight_Q, seeds

    def _count_images_part(self, difference: float) -> float:
        """Return the images' variance; arms that differ by more than they disagree disagree by as much."""
        if self.disagreement is None or not self.num_images or not self.images:
            return self.images
        return max(self.images, difference / self.num_images)

    def _weigh_unmet(self, difference: float) -> float:
        """Return the square of what images that were not met may change, as `measure_spread` weighs it."""
        if not self.num_images or not self.images:
            return 0.0
        weight = self.unmet
        if self.disagreement is not None:
            weight = min(1.0, (difference / self.disagreement) ** 2 + 1 / (self.disagreement * self.num_images))
        return weight / self.num_images**2


def find_least_difference(num_images: int, level: float, power: float = POWER) -> float:
    """Return the difference, as a share, that so many test images show where all that differ favour the same arm.

    They do so for every seed. Then k of them must be met for
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

    points, weights = _list_points()
    return np.asarray(chdtri(degrees, (1 - points) / 2) / degrees), weights / 2


@cache
def _list_points() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(_NUM_QUANTILES)


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
