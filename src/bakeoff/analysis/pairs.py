"""Two arms compared on the replicates both have, by their paired differences.

All statistics work on per-replicate differences a - b. Replicates are the independent units; their differences are
assumed roughly normal and are never pooled over blocks. Folds are not independent, because they share training images:
their t statistic is corrected (Nadeau and Bengio 2003). Nothing here is corrected for looking at many pairs: that is
`bakeoff.analysis.family`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bakeoff.analysis.power import count_degrees, replicates_to_detect, replicates_to_equate

MIN_REPLICATES = 3
"""Fewer paired replicates than this give no verdict."""


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """What the paired replicates of arms a and b say, before any correction for looking at many pairs.

    Attributes:
        n: replicates (with folds: folds of all replicates) that both arms have.
        difference: mean of a - b, in the metric's unit; None without a common replicate.
        sd: sample standard deviation (n - 1) of the differences; None under 2 replicates.
        interval: two-sided paired t interval of the mean difference; None under 2 replicates, and where all
            differences are identical but not zero (no spread to estimate it from).
        p: two-sided p value of "no difference": paired t test, or the exact sign-flip test, 2 / 2^n, where all
            differences are identical but not zero (with folds: 1, for no exact test allows for their overlap); None
            under 2 replicates.
        p_equivalence: p value of "the difference is at least `margin` either way" (two one-sided t tests; one-sided
            sign-flip, 1 / 2^n, where all differences are identical but not zero; with folds: 1); None without margin
            or under 2.
        effect_size: Cohen's d_z, difference / sd; None where sd is None or 0 with a difference that is not.
        correlation: Pearson's, of a's and b's values over the replicates; None under 3 or for constant values. Near 0,
            pairing bought nothing.
        margin: largest absolute difference that does not matter, in the metric's unit; None when not declared.
        confidence: of the interval, 0..1; 1 - confidence is the error rate of the verdict.
        higher_is_better: whether a positive difference speaks for a.
        exact: the differences are all identical, so the t statistic is undefined and was not used.
        test_share: images scored over images trained on in one fold; None for independent replicates.
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
    exact: bool = False
    test_share: float | None = None

    @property
    def replicates_needed(self) -> int | None:
        """Replicates still needed at 80% power if this were the only pair; see `still_needed`."""
        return still_needed(self, num_pairs=1)


def compare_pair(
    a_values: Sequence[float],
    b_values: Sequence[float],
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    higher_is_better: bool = True,
    test_share: float | None = None,
) -> PairComparison:
    """Compare two arms on their common replicates or folds, in the same order.

    Two-sided paired t test and interval; equivalence by two one-sided tests (Schuirmann 1987). Assumes independent
    replicates with roughly normal differences. Where all differences are identical the t statistic is undefined: all
    zero counts as equal (interval [0, 0], p 1, p_equivalence 0); identical and not zero falls back on the exact
    sign-flip test, which assumes only that differences are symmetric around the true one.

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

    Raises:
        ValueError: different lengths, values not finite, or margin, confidence or test_share out of range.
    """
    a, b = np.asarray(a_values, dtype=np.float64), np.asarray(b_values, dtype=np.float64)
    _check(a, b, margin, confidence, test_share)
    differences = a - b
    n = len(differences)
    mean = float(differences.mean()) if n else None
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
    )
    if n < 2 or mean is None:
        return comparison
    rounding = 1e-12 * max(np.abs(a).max(), np.abs(b).max())
    if np.ptp(differences) <= rounding:
        return _compare_identical(comparison, 0.0 if abs(mean) <= rounding else mean)
    return _compare_by_t(comparison, mean, float(differences.std(ddof=1)))


def still_needed(comparison: PairComparison, *, num_pairs: int, runs_per_replicate: int = 1) -> int | None:
    """Return how many more replicates would settle the pair with 80% power, or None where that means nothing.

    Takes the observed difference and spread for the true ones (which flatters: treat it as a rough guide) and Holm's
    strictest step, (1 - confidence) / num_pairs. Inside a declared margin it counts towards "equivalent", else towards
    "better" or "worse". None under 3 replicates, without spread or without difference, and beyond 1,000 runs: folds
    of the same images can only tell so much, however often they are drawn.

    Args:
        comparison: the pair as it stands.
        num_pairs: in the family.
        runs_per_replicate: the number of folds, each of which counts in `n`.
    """
    if comparison.n < MIN_REPLICATES or not comparison.sd or comparison.difference is None:
        return None
    alpha = (1 - comparison.confidence) / num_pairs
    size, share = abs(comparison.difference), comparison.test_share or 0.0
    if comparison.margin is not None and size < comparison.margin:
        margin_size = comparison.margin / comparison.sd
        total = replicates_to_equate(size / comparison.sd, margin_size, alpha=alpha, test_share=share)
    else:
        total = replicates_to_detect(size / comparison.sd, alpha=alpha, test_share=share)
    return None if total is None else math.ceil(max(0, total - comparison.n) / runs_per_replicate)


def _compare_by_t(comparison: PairComparison, mean: float, sd: float) -> PairComparison:
    from scipy.special import stdtr, stdtrit

    share = comparison.test_share or 0.0
    degrees = count_degrees(comparison.n, share)
    error = sd * math.sqrt(1 / comparison.n + share)
    half_width = float(stdtrit(degrees, 0.5 + comparison.confidence / 2) * error)
    p_equivalence = None
    if comparison.margin is not None:
        # The larger of the two one-sided p values is the one on the side where the difference lies.
        p_equivalence = float(stdtr(degrees, (abs(mean) - comparison.margin) / error))
    return replace(
        comparison,
        sd=sd,
        interval=(mean - half_width, mean + half_width),
        p=float(2 * stdtr(degrees, -abs(mean) / error)),
        p_equivalence=p_equivalence,
        effect_size=mean / sd,
    )


def _compare_identical(comparison: PairComparison, mean: float) -> PairComparison:
    """Answer for differences without spread: equal arms, or the exact sign-flip test."""
    margin = comparison.margin
    if mean == 0:
        found = replace(comparison, interval=(0.0, 0.0), p=1.0, p_equivalence=0.0, effect_size=0.0)
    elif comparison.test_share is not None:
        found = replace(comparison, p=1.0, p_equivalence=1.0)
    else:
        inside = margin is not None and abs(mean) < margin
        found = replace(comparison, p=2.0 ** (1 - comparison.n), p_equivalence=2.0**-comparison.n if inside else 1.0)
    found = replace(found, p_equivalence=None if margin is None else found.p_equivalence)
    return replace(found, difference=mean, sd=0.0, exact=True)


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
