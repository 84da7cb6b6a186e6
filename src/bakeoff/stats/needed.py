"""How many more replicates an inconclusive pair needs: a range, for neither effect nor spread is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bakeoff.stats.pairs import MIN_REPLICATES, PairComparison
from bakeoff.stats.power import POWER, count_degrees, find_shift, find_smallest, power_to_detect, power_to_equate
from bakeoff.stats.variance import FLOOR

MOST_NEEDED = 100
"""More replicates than this are "more than 100"."""

LIKELY = 0.8
"""Confidence of the range."""


@dataclass(frozen=True)
class Needed:
    """Further replicates for a verdict with 80% power.

    Attributes:
        least: if the difference is as large, seen against its spread, as the data allow; None beyond MOST_NEEDED.
        most: if it is as small; None beyond MOST_NEEDED.
    """

    least: int | None
    most: int | None

    @property
    def text(self) -> str:
        """Such as "12 to 60", "at least 12", "more than 100"."""
        if self.least is None:
            return f"more than {MOST_NEEDED}"
        if self.most is None:
            return f"at least {self.least}"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


@dataclass(frozen=True)
class _Truth:
    """What might be true of a pair.

    Attributes:
        size: of the mean difference.
        sd: of a replicate's difference.
        fixed: variance that no number of replicates lowers: the images'.
    """

    size: float
    sd: float
    fixed: float


def count_needed(comparison: PairComparison, *, level: float, runs_per_replicate: int = 1) -> Needed | None:
    """Return how many more replicates would settle the pair with 80% power; None where that means nothing.

    A range that holds the number truly needed with 80% confidence (LIKELY): towards "better" or "worse" from the
    interval of the difference in standard deviations by the noncentral t distribution; inside a declared margin also
    towards "equivalent", from the intervals of difference and standard deviation. Images stay as they are: where they
    alone leave the pair open, no number of replicates is enough.

    Args:
        comparison: the pair as it stands.
        level: two-sided error rate that the pair has to pass, such as Holm's strictest step.
        runs_per_replicate: the number of folds, each of which counts in `n`.

    Returns:
        None under 3 replicates and without spread.
    """
    sd = _spread_of(comparison)
    if comparison.n < MIN_REPLICATES or not sd or comparison.difference is None:
        return None
    size = abs(comparison.difference)
    spread = comparison.spread
    fixed = spread.image_excess if spread is not None and comparison.scope == "images" else 0.0
    low, high = _bound_effect(comparison, size / sd)
    ways: list[tuple[float | None, tuple[_Truth, _Truth]]]
    ways = [(None, (_Truth(high * sd, sd, fixed), _Truth(low * sd, sd, fixed)))]
    if comparison.margin is not None and size < comparison.margin:
        ways.append((comparison.margin, _bound_parts(comparison, size, sd, fixed)))
    counts = [
        [_count_total(comparison, truth, margin, level, runs_per_replicate) for truth in truths]
        for margin, truths in ways
    ]
    # Either verdict settles the pair, so the way that is shorter counts, at both ends.
    totals = (min((total for total in end if total is not None), default=None) for end in zip(*counts, strict=True))
    least, most = (
        None if total is None else max(1, math.ceil((total - comparison.num_effective) / runs_per_replicate))
        for total in totals
    )
    return Needed(least, most)


def _spread_of(comparison: PairComparison) -> float:
    """Return the standard deviation of a replicate's difference, not below what the images alone imply."""
    sd = comparison.sd or 0.0
    if comparison.error is not None:
        sd = math.sqrt(comparison.error.variance / (1 / comparison.num_effective + (comparison.test_share or 0.0)))
    if comparison.spread is None:
        return sd
    return max(sd, math.sqrt(FLOOR * comparison.spread.rest / comparison.spread.num_images))


def _count_extra(comparison: PairComparison) -> float:
    """Return the degrees of freedom that other arms lend the pair, or that unpaired replicates have more."""
    if comparison.unpaired is not None:
        degrees = comparison.own_degrees if comparison.error is None else comparison.error.degrees
        return max(0.0, degrees - (comparison.num_effective - 1))
    if comparison.error is None:
        return 0.0
    return max(0.0, comparison.error.degrees - count_degrees(comparison.n, comparison.test_share or 0.0))


def _bound_effect(comparison: PairComparison, effect_size: float) -> tuple[float, float]:
    """Return the interval of the true |difference| / sd at confidence LIKELY."""
    error = math.sqrt(1 / comparison.num_effective + (comparison.test_share or 0.0))
    t, tail = effect_size / error, (1 - LIKELY) / 2
    degrees = comparison.num_effective - 1 + _count_extra(comparison)

    def find(chance: float) -> float:
        return max(0.0, find_shift(t, degrees, chance)) * error

    return find(1 - tail), find(tail)


def _bound_parts(comparison: PairComparison, size: float, sd: float, fixed: float) -> tuple[_Truth, _Truth]:
    from scipy.special import chdtri, stdtrit

    tail, degrees = (1 - LIKELY) / 2, comparison.num_effective - 1 + _count_extra(comparison)
    reach = (
        -float(stdtrit(degrees, tail)) * sd * math.sqrt(1 / comparison.num_effective + (comparison.test_share or 0.0))
    )
    small, large = (sd * math.sqrt(degrees / float(chdtri(degrees, chance))) for chance in (tail, 1 - tail))
    return _Truth(max(0.0, size - reach), small, fixed), _Truth(size + reach, large, fixed)


def _count_total(
    comparison: PairComparison, truth: _Truth, margin: float | None, level: float, runs_per_replicate: int
) -> int | None:
    """Return the runs that show a difference, or with `margin` equivalence; None where too many."""
    share, extra = comparison.test_share or 0.0, _count_extra(comparison)
    most = math.ceil(comparison.num_effective) + MOST_NEEDED * runs_per_replicate
    if margin is not None and truth.size >= margin:
        return None

    def power_at(n: int) -> float:
        if truth.fixed:
            return _power_with_images(truth, margin, n, level, extra)
        if margin is not None:
            return power_to_equate(truth.size / truth.sd, margin / truth.sd, n, level, share, extra)
        return power_to_detect(truth.size / truth.sd, n, level, share, extra)

    return find_smallest(power_at, POWER, most)


def _power_with_images(truth: _Truth, margin: float | None, n: int, level: float, extra: float) -> float:
    """Return the chance of a verdict at `n` replicates on these images, by the normal approximation."""
    from scipy.special import ndtr, ndtri, stdtrit

    tail = level / 2 if margin is None else level
    seeds = truth.sd**2 / n
    reach = math.sqrt(float(stdtrit(n - 1 + extra, tail)) ** 2 * seeds + float(ndtri(tail)) ** 2 * truth.fixed)
    error = math.sqrt(seeds + truth.fixed)
    if margin is None:
        return float(ndtr((truth.size - reach) / error))
    return float(ndtr((margin - reach - truth.size) / error) + ndtr((margin - reach + truth.size) / error) - 1)
