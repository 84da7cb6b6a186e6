"""What a difference of two arms means: how often the better arm wins, and how much of a winner's lead to believe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.stats.pairs import PairComparison
from bakeoff.stats.power import chance_below, find_shift
from bakeoff.stats.roots import find_root

LIKELY = 0.9
"""Confidence of the one-sided limit of a pair's own standard error."""


@dataclass(frozen=True)
class Superiority:
    """The probability that arm a is better than b for one new seed, and in scope "images" on as many new images.

    Attributes:
        probability: 0..1; ties count half.
        interval: two-sided, at the comparison's confidence.
    """

    probability: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Errors:
    """Of a comparison's difference: its standard error, the sd of a new one, and degrees of freedom."""

    mean: float
    new: float
    degrees: float


def measure_superiority(comparison: PairComparison) -> Superiority | None:
    """Return how probable it is that a is better than b in one more run; None under 3 runs or without spread.

    The quantity that Bouthillier et al. (2021, "Accounting for variance in machine learning benchmarks") decide by.
    Theirs is a share of wins with a bootstrap interval; ours follows from the model of the intervals, P = Phi(mean / sd
    of a new difference), with the interval of the noncentral t distribution, so that it is of the same scope as the
    verdict and has no steps at few replicates.
    """
    errors = find_errors(comparison)
    if errors is None or comparison.difference is None:
        return None
    from scipy.special import ndtr

    sign = 1 if comparison.higher_is_better else -1
    lead, tail = sign * comparison.difference, (1 - comparison.confidence) / 2
    t, scale = lead / errors.mean, errors.mean / errors.new
    low, high = (float(ndtr(find_shift(t, errors.degrees, chance) * scale)) for chance in (1 - tail, tail))
    return Superiority(float(ndtr(lead / errors.new)), (low, high))


def correct_winner(comparison: PairComparison, level: float, error: float | None = None) -> float | None:
    """Return the difference of a pair that was shown to differ, corrected for having been selected by that.

    A difference that passes a test is on average larger than the true one, and the more so the less power the test had
    (at a true difference of 0.5 sd and 5 replicates 2.1 times). The estimate is the one for which a difference as large
    as that seen, or smaller, makes up half of those that pass (median unbiased given selection; Zhong and Prentice
    2008, "Bias-reduced estimators and confidence intervals for odds ratios in genome-wide association studies"). Not
    beyond zero.

    What passes is also what happens to have a small standard error. A pair alone cannot tell: its t is corrected, which
    takes too much from large differences. Where other pairs say how large the error is (`borrow_errors`), the
    difference is, as a normal one that had to pass a given distance.

    Args:
        comparison: the pair.
        level: two-sided error rate that it had to pass.
        error: standard error that all pairs of its block make likely; None for a pair alone.

    Returns:
        In the metric's unit; None without spread.
    """
    errors = find_errors(comparison)
    if errors is None or comparison.difference is None:
        return None
    from scipy.special import stdtrit

    size, critical = abs(comparison.difference), -float(stdtrit(errors.degrees, level / 2)) * errors.mean
    if size > 50 * errors.mean:
        return comparison.difference
    if error is None:
        return comparison.difference * _correct_t(size / errors.mean, critical / errors.mean, errors.degrees)
    if comparison.spread is not None and comparison.scope != "folds":
        critical = comparison.spread.half_width(level / 2, comparison.scope, error=comparison.seeds_error)
    return math.copysign(_correct_normal(size, min(critical, size), error), comparison.difference)


def _correct_t(t: float, critical: float, degrees: float) -> float:
    """Return by what a t beyond `critical` has to be multiplied, 0..1."""

    def excess(shift: float) -> float:
        below, passed = (chance_below(end, degrees, shift) for end in (critical, t))
        return (passed - below) - 0.5 * (1 - below)

    critical = min(critical, t)
    if excess(0.0) <= 0:
        return 0.0
    # Given selection, smaller is what makes a difference like this one typical; the plain estimate is the most.
    if excess(t) >= 0:
        return 1.0
    # Few degrees of freedom make t larger than its shift also where all pass; that is no effect of selection.
    return min(1.0, find_root(excess, 0.0, t) / find_shift(t, degrees, 0.5))


def _correct_normal(size: float, critical: float, error: float) -> float:
    """Return the mean, 0 or more, of which half of the normal values beyond `critical` lie beyond `size`."""
    from scipy.special import log_ndtr

    def excess(mean: float) -> float:
        return float(log_ndtr((mean - size) / error) - log_ndtr((mean - critical) / error)) - math.log(0.5)

    if excess(0.0) >= 0:
        return 0.0
    # Rounding apart it is never below zero there; where all pass, nothing is corrected.
    return size if excess(size) <= 0 else find_root(excess, 0.0, size)


def borrow_errors(comparisons: Sequence[PairComparison]) -> list[float | None]:
    """Return the standard error of each pair's difference that all pairs of a block together make likely.

    Its own square weighs by its degrees of freedom, the mean of the others' by half as many times the root of their
    number: pairs share arms, and arms may differ in spread. Median unbiased for normal differences, and no larger than
    the pair's own leaves likely, for another arm may spread far more than these two. Only pairs with as many replicates
    and of the same scope count.

    Args:
        comparisons: pairs of one block.

    Returns:
        In the metric's unit; None where a pair has no standard error, or no other tells.
    """
    from scipy.special import chdtri

    errors = [find_errors(comparison) for comparison in comparisons]
    kinds = [(comparison.num_effective, comparison.scope) for comparison in comparisons]
    known: dict[tuple[float, str], list[float]] = {}
    for kind, each in zip(kinds, errors, strict=True):
        if each is not None:
            known.setdefault(kind, []).append(each.mean**2)
    found: list[float | None] = []
    for kind, each in zip(kinds, errors, strict=True):
        num_others = len(known.get(kind, ())) - 1
        if each is None or num_others < 1:
            found.append(None)
            continue
        others = (sum(known[kind]) - each.mean**2) / num_others
        weight = each.degrees * math.sqrt(num_others) / 2
        degrees = each.degrees + weight
        square = (each.degrees * each.mean**2 + weight * others) / float(chdtri(degrees, 0.5))
        most = each.degrees * each.mean**2 / float(chdtri(each.degrees, LIKELY))
        found.append(math.sqrt(min(square, most)))
    return found


def find_errors(comparison: PairComparison) -> Errors | None:
    """Return the standard errors of a comparison in its scope; None under 3 runs or without spread."""
    spread, n = comparison.spread, comparison.num_effective
    if comparison.n < 3 or comparison.sd is None:
        return None
    factor, degrees = 1 / n + (comparison.test_share or 0.0), comparison.own_degrees
    sd = comparison.sd
    if comparison.error is not None:
        sd, degrees = math.sqrt(comparison.error.variance / factor), comparison.error.degrees
    if spread is None:
        found = Errors(sd * math.sqrt(factor), sd, degrees)
    else:
        rest = spread.rest / spread.num_images
        seeds = max(spread.by_seed / spread.num_images if comparison.error is None else sd**2, rest)
        images = spread.image_excess if comparison.scope == "images" else 0.0
        mean = seeds / n + images
        parts = (seeds / n) ** 2 / degrees + images**2 / (spread.num_images - 1)
        found = Errors(math.sqrt(mean), math.sqrt(seeds + images), mean**2 / parts if parts else 1.0)
    return found if found.mean else None
