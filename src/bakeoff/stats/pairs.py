"""Two arms compared on the replicates both have, by their paired differences.

All statistics work on per-replicate differences a - b. Replicates are the independent units; their differences are
assumed roughly normal and are never pooled over blocks. What single images contribute tells how far the difference
would move with other images; without it, nothing is said of any other. Folds are not independent, because they share
training images: their t statistic is corrected (Nadeau and Bengio 2003). Nothing here is corrected for looking at many
pairs: that is `bakeoff.stats.family`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.mean_error import MeanError
from bakeoff.stats.power import count_degrees
from bakeoff.stats.variance import Scope, Spread, find_tail

MIN_REPLICATES = 3
"""Fewer paired replicates than this, or unpaired ones of either arm, give no verdict."""


@dataclass(frozen=True, kw_only=True)
class Unpaired:
    """Two arms whose replicates are not the same ones, see `bakeoff.stats.unpaired`.

    Attributes:
        sizes: replicates of a and of b.
        factor: variance of the mean difference over that of a difference of one run of each.
        error: of the mean difference over seeds, by the two arms' own variances: Welch's t; None without spread.
    """

    sizes: tuple[int, int]
    factor: float
    error: MeanError | None


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """What the paired replicates of arms a and b say, before any correction for looking at many pairs.

    Attributes:
        n: replicates (with folds: folds of all replicates) that both arms have; unpaired, those of the arm with fewer.
        difference: mean of a - b, in the metric's unit; None without a common replicate.
        sd: sample standard deviation (n - 1) of the differences; None under 2 replicates. Unpaired, the root of the sum
            of both arms' variances.
        interval: two-sided, of the mean difference; None under 2 replicates, and where all differences are identical
            and nothing is known of the images.
        p: two-sided p value of "no difference", which the interval at confidence 1 - p just reaches. Without images and
            without spread the exact sign-flip test, 2 / 2^n (with folds: 1, for no exact test allows for their
            overlap); None under 2 replicates.
        p_equivalence: p value of "the difference is at least `margin` either way" (two one-sided tests; without images
            and spread one-sided sign-flip, 1 / 2^n; with folds: 1); None without margin or under 2.
        p_guarded: as `p`, by the variances of these two arms alone; None where `p` borrows none from others.
        p_margin: one-sided p value of "the difference is at most `margin`, in the direction seen"; None likewise.
        effect_size: Cohen's d_z, difference / sd; None where sd is None or 0 with a difference that is not.
        correlation: Pearson's, of a's and b's values over the replicates; None under 3 or for constant values. Near 0,
            pairing bought nothing.
        margin: largest absolute difference that does not matter, in the metric's unit; None when not declared.
        confidence: of the interval, 0..1; 1 - confidence is the error rate of the verdict.
        higher_is_better: whether a positive difference speaks for a.
        exact: the differences are all identical and nothing is known of the images: no t statistic, no half width.
        test_share: images scored over images trained on in one fold; None for independent replicates.
        scope: what interval and p values speak of.
        spread: over replicates and images; None where the images' contributions are not known.
        error: of the mean difference over seeds, where its variance is borrowed from other arms; None for the pair's
            own t.
        unpaired: how many replicates each arm has, if they are not the same ones; None for paired ones.
    """

    n: int
    difference: float | None
    sd: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_equivalence: float | None
    effect_size: float | None
    correlation: float | None
    margin: float | None
    confidence: float
    higher_is_better: bool
    p_guarded: float | None = None
    p_margin: float | None = None
    exact: bool = False
    test_share: float | None = None
    scope: Scope = "seeds"
    spread: Spread | None = None
    error: MeanError | None = None
    unpaired: Unpaired | None = None

    @property
    def num_effective(self) -> float:
        """As many paired replicates as would give the mean difference its variance: `n`, if they are paired."""
        return self.n if self.unpaired is None else 1 / self.unpaired.factor

    @property
    def own_degrees(self) -> float:
        """Degrees of freedom of the two arms' own variance."""
        if self.unpaired is not None:
            return 1.0 if self.unpaired.error is None else self.unpaired.error.degrees
        return float(count_degrees(self.n, self.test_share or 0.0))

    @property
    def seeds_error(self) -> MeanError | None:
        """The error over seeds where it is another than the t of paired differences; else None."""
        return self.error if self.error is not None or self.unpaired is None else self.unpaired.error


def compare_pair(
    a_values: Sequence[float],
    b_values: Sequence[float],
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    higher_is_better: bool = True,
    test_share: float | None = None,
    spread: Spread | None = None,
    scope: Scope = "images",
    error: MeanError | None = None,
) -> PairComparison:
    """Compare two arms on their common replicates or folds, in the same order.

    Assumes independent replicates with roughly normal differences. With `spread`, intervals are those of
    `Spread.half_width` in the scope asked for, p values are what their ends just reach, and equivalence is two
    one-sided tests (Schuirmann 1987) by ends that allow for skewness, as is the test of `p_margin`. Without it, they
    are the paired t test's and hold for new seeds on these images alone. Where then all differences are identical the t
    statistic is undefined: all zero counts as equal (no interval, p 1, p_equivalence 1 / 2^n: where the true difference
    is not zero and differences spread evenly about it, one is exactly zero with probability 1/2 at most); identical and
    not zero falls back on the exact sign-flip test, which assumes only that differences are symmetric around the true
    one.

    With `test_share`, the values come from folds or other splits of one set of images and overlap in what they trained
    on. Then t is the corrected resampled t (Nadeau and Bengio 2003, "Inference for the generalization error"; for
    repeated folds Bouckaert and Frank 2004): the variance of the mean is sd^2 (1 / n + test_share) instead of sd^2 / n.
    It assumes that any two folds correlate by test_share / (1 + test_share), and speaks of training sets drawn anew,
    not of these alone. We deviate in the degrees of freedom for repeated folds; see `count_degrees`.

    Args:
        a_values: one finite value per replicate, or per fold of every replicate.
        b_values: as many, in the same order.
        margin: above 0, in the metric's unit.
        confidence: strictly between 0 and 1.
        higher_is_better: recorded for the verdict; the statistics do not depend on it.
        test_share: images scored / images trained on, above 0: for k folds 1 / (k - 1). None for independent
            replicates.
        spread: of the same replicates over the test images; None where it is not known.
        scope: what to speak of where `spread` is given; ignored else.
        error: of the mean difference over seeds, by the variances of all arms; see `lend_variances`. None: what the
            differences alone show.

    Raises:
        ValueError: different lengths, values not finite, or margin, confidence or test_share out of range.
    """
    a, b = np.asarray(a_values, dtype=np.float64), np.asarray(b_values, dtype=np.float64)
    _check(a, b, margin, confidence, test_share)
    differences = a - b
    n = len(differences)
    mean = float(differences.mean()) if n else None
    spread = spread if test_share is None else None
    comparison = PairComparison(
        n=n,
        difference=mean,
        sd=None,
        interval=None,
        p=None,
        p_equivalence=None,
        effect_size=None,
        correlation=_correlation(a, b),
        margin=margin,
        confidence=confidence,
        higher_is_better=higher_is_better,
        test_share=test_share,
        scope="folds" if test_share is not None else "seeds" if spread is None else scope,
        spread=spread,
        error=error,
    )
    if n < 2 or mean is None:
        return comparison
    rounding = 1e-12 * max(np.abs(a).max(), np.abs(b).max())
    mean = 0.0 if abs(mean) <= rounding else mean
    sd = 0.0 if np.ptp(differences) <= rounding else float(differences.std(ddof=1))
    comparison = replace(comparison, difference=mean, sd=sd, effect_size=divide(mean, sd))
    if spread is not None or error is not None:
        return compare_by_spread(comparison, mean, spread, error)
    if not sd:
        return _compare_identical(comparison, mean)
    share = test_share or 0.0
    return compare_by_t(comparison, mean, sd * math.sqrt(1 / n + share), count_degrees(n, share))


def compare_by_spread(
    comparison: PairComparison, mean: float, spread: Spread | None, error: MeanError | None
) -> PairComparison:
    """Answer by what is known of images, of other arms' variances, or of both; one of the two at least."""
    guard = None if error is None else error.guard
    if spread is not None:
        scope = comparison.scope
        if guard is not None:
            guarded = partial(spread.half_width, scope=scope, error=guard)
            comparison = replace(comparison, p_guarded=2 * find_tail(guarded, abs(mean)))
        return _compare_by_width(comparison, mean, partial(spread.half_width, scope=scope, error=error))
    assert error is not None, "one of the two is given"
    if guard is not None:
        comparison = replace(comparison, p_guarded=2 * guard.tail(abs(mean)))
    return _compare_by_error(comparison, mean, error)


def compare_by_t(comparison: PairComparison, mean: float, error: float, degrees: float) -> PairComparison:
    """Answer by Student's t, given the standard error of the mean difference and its degrees of freedom."""
    from scipy.special import stdtr, stdtrit

    half_width = float(stdtrit(degrees, 0.5 + comparison.confidence / 2) * error)
    found = replace(
        comparison,
        interval=(mean - half_width, mean + half_width),
        p=float(2 * stdtr(degrees, -abs(mean) / error)),
    )
    if comparison.margin is None:
        return found
    # The larger of the two one-sided p values is the one on the side where the difference lies.
    t = (abs(mean) - comparison.margin) / error
    return replace(found, p_equivalence=float(stdtr(degrees, t)), p_margin=float(stdtr(degrees, -t)))


def _compare_by_error(comparison: PairComparison, mean: float, error: MeanError) -> PairComparison:
    half_width = error.reach((1 - comparison.confidence) / 2)
    found = replace(comparison, interval=(mean - half_width, mean + half_width), p=2 * error.tail(abs(mean)))
    if comparison.margin is None:
        return found
    beyond = abs(mean) - comparison.margin
    tail = error.tail(abs(beyond))
    p_equivalence, p_margin = (tail, 1 - tail) if beyond < 0 else (1 - tail, tail)
    return replace(found, p_equivalence=p_equivalence, p_margin=p_margin)


def _compare_by_width(comparison: PairComparison, mean: float, half_width: Callable[..., float]) -> PairComparison:
    """Answer by half widths as a function of the tail that is left out, and of the side where one is tested alone."""
    width = half_width((1 - comparison.confidence) / 2)
    found = replace(comparison, interval=(mean - width, mean + width), p=2 * find_tail(half_width, abs(mean)))
    margin = comparison.margin
    if margin is None:
        return found
    if abs(mean) < margin:
        ends = (find_tail(partial(half_width, side=side), margin - side * mean) for side in (-1, 1))
        return replace(found, p_equivalence=max(ends), p_margin=1.0)
    inner = partial(half_width, side=-1 if mean > 0 else 1)
    return replace(found, p_equivalence=1.0, p_margin=find_tail(inner, abs(mean) - margin))


def _compare_identical(comparison: PairComparison, mean: float) -> PairComparison:
    """Answer for differences without spread and without images: equal arms, or the exact sign-flip test."""
    margin, chance = comparison.margin, 2.0**-comparison.n
    if comparison.test_share is not None:
        chance = 0.5
    found = replace(comparison, exact=True, p=1.0 if mean == 0 else 2 * chance)
    if margin is None:
        return found
    inside = abs(mean) < margin
    return replace(
        found,
        p_equivalence=(chance if comparison.test_share is None else 1.0) if inside else 1.0,
        p_margin=1.0 if inside or comparison.test_share is not None else chance,
    )


def divide(mean: float, sd: float) -> float | None:
    """Return a mean over its spread; None where only that is zero."""
    if sd:
        return mean / sd
    return 0.0 if mean == 0 else None


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    if len(a) < 3 or min(np.ptp(a), np.ptp(b)) <= 1e-12 * max(np.abs(a).max(), np.abs(b).max()):
        return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))


def _check(
    a: NDArray[np.float64], b: NDArray[np.float64], margin: float | None, confidence: float, test_share: float | None
) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired values must be two sequences of one length, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("paired values must be finite")
    if margin is not None and not 0 < margin < np.inf:
        raise ValueError(f"margin must be above 0, not {margin}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if test_share is not None and not 0 < test_share < np.inf:
        raise ValueError(f"test_share must be above 0, not {test_share}")
