"""Two arms whose replicates have nothing in common: runs of other seeds, compared without pairs.

Every arm's replicates are independent draws of its seeds, and the arms are independent of each other; their scores are
roughly normal, with variances of their own (Welch 1947, "The generalization of Student's problem when several different
population variances are involved"). Tests are two-sided unless a margin is tested. In scope "seeds" they speak of new
seeds on these images. In scope "images" all runs were scored on the same images, which are crossed with the runs and
drawn anew, too; images of one group are drawn together. Nothing is resampled.

Scores of arms that do share seeds may be compared like this, too: what a seed does to both alike is then taken for
noise, and error rates are lower than declared.

Shape suffixes: R replicates of a, S replicates of b, N images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.borrowed import count_welch_degrees, temper_degrees
from bakeoff.stats.mean_error import MeanError, make_error
from bakeoff.stats.pairs import (
    MIN_REPLICATES,
    PairComparison,
    Unpaired,
    compare_by_spread,
    compare_by_t,
    divide,
)
from bakeoff.stats.variance import Scope, Spread, measure_cell_skew, sum_groups, weigh_unseen

Run = TypeVar("Run")

Pairing = Literal["common", "matched", "never"]
"""How replicates of two arms are paired: those that both have, and never otherwise; likewise if enough of them match,
and else not at all; not at all."""


def is_paired(a_runs: Collection[Run], b_runs: Collection[Run], pairing: Pairing) -> bool:
    """Return whether two arms are compared on the runs that both have, rather than unpaired on all.

    Of runs that match in part, those in common are used if they are 3 or more and at least half of either arm's. Then
    pairing loses little where it gains nothing, and nothing where scores of one seed correlate by 0.5 or more. The rule
    looks at numbers of runs only, never at scores.
    """
    if pairing != "matched":
        return pairing == "common"
    common = len(set(a_runs) & set(b_runs))
    largest = max(len(a_runs), len(b_runs))
    return common == largest or (common >= MIN_REPLICATES and 2 * common >= largest)


def compare_unpaired(
    a_values: Sequence[float],
    b_values: Sequence[float],
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    higher_is_better: bool = True,
    spread: Spread | None = None,
    scope: Scope = "images",
    error: MeanError | None = None,
    is_cautious: bool = False,
) -> PairComparison:
    """Compare the mean scores of two arms by Welch's t; see the module for what it assumes.

    Welch's degrees of freedom are estimated, and too many where the arm with fewer replicates spreads more and does not
    look it: of 3 and 10 equal arms, 7% are found to differ at 5%. `is_cautious` tempers them (`temper_degrees`).

    Equivalence is two one-sided tests (Schuirmann 1987). With `spread`, intervals are those of `Spread.half_width`,
    with Welch's t for the seeds' part. If all scores of each arm are identical and nothing is known of images, t is
    undefined: equal means then count as equal (p 1), others fall back on the exact permutation test, which assumes that
    the two distributions are the same but for a shift: 2 / binomial(R + S, R).

    Args:
        a_values: one finite score per replicate of a.
        b_values: one per replicate of b; there may be more or fewer.
        margin: above 0, in the metric's unit.
        confidence: strictly between 0 and 1.
        higher_is_better: recorded for the verdict; the statistics do not depend on it.
        spread: of the same replicates over the test images, by `measure_unpaired_spread`; None where it is not known.
        scope: what to speak of where `spread` is given; ignored else.
        error: of the mean difference over seeds, by the variances of all arms; see `lend_unpaired`.
        is_cautious: keep error rates below those declared, at the price of power.

    Raises:
        ValueError: an arm without a score, values not finite, or margin or confidence out of range.
    """
    a, b = np.asarray(a_values, dtype=np.float64), np.asarray(b_values, dtype=np.float64)
    _check(a, b, margin, confidence)
    mean, rounding = float(a.mean() - b.mean()), 1e-12 * max(np.abs(a).max(), np.abs(b).max())
    mean = 0.0 if abs(mean) <= rounding else mean
    known = min(len(a), len(b)) >= 2
    variances = [float(x.var(ddof=1)) if len(x) > 1 and np.ptp(x) > rounding else 0.0 for x in (a, b)]
    sd = math.sqrt(sum(variances)) if known else None
    comparison = PairComparison(
        n=min(len(a), len(b)),
        difference=mean,
        sd=sd,
        interval=None,
        p=None,
        p_equivalence=None,
        effect_size=None if sd is None else divide(mean, sd),
        correlation=None,
        margin=margin,
        confidence=confidence,
        higher_is_better=higher_is_better,
        scope="seeds" if spread is None else scope,
        spread=spread,
        error=error if known else None,
        unpaired=_describe((len(a), len(b)), variances, is_cautious=is_cautious),
    )
    if not known:
        return comparison
    own = comparison.seeds_error
    if spread is not None or error is not None:
        # Without any spread over seeds the images' alone is left, which a t of zero width leaves to `half_width`.
        return compare_by_spread(comparison, mean, spread, own)
    if own is None:
        return _compare_constant(comparison, mean)
    return compare_by_t(comparison, mean, float(own.scales_G[0]), float(own.degrees_G[0]))


def _describe(sizes: tuple[int, int], variances: Sequence[float], *, is_cautious: bool) -> Unpaired:
    if not any(variances):
        return Unpaired(sizes=sizes, factor=sum(1 / n for n in sizes) / 2, error=None)
    parts = np.array(variances) / sizes
    degrees = np.maximum(1.0, np.array(sizes) - 1)
    found = count_welch_degrees(parts, degrees)
    if is_cautious:
        found = temper_degrees(found, float(degrees.min()))
    variance = float(parts.sum())
    return Unpaired(sizes=sizes, factor=variance / sum(variances), error=make_error(variance, found))


def _compare_constant(comparison: PairComparison, mean: float) -> PairComparison:
    """Answer for scores without any spread and without images: equal arms, or the exact permutation test."""
    assert comparison.unpaired is not None, "only unpaired arms get here"
    chance = 1 / math.comb(sum(comparison.unpaired.sizes), comparison.unpaired.sizes[0])
    found = replace(comparison, exact=True, p=1.0 if mean == 0 else min(1.0, 2 * chance))
    if comparison.margin is None:
        return found
    return replace(found, p_equivalence=1.0, p_margin=1.0 if abs(mean) < comparison.margin else chance)


def measure_unpaired_spread(
    a_RN: NDArray[np.generic],
    b_SN: NDArray[np.generic],
    *,
    unit: float | None = None,
    scope: Scope = "seeds",
    groups_N: NDArray[np.integer] | None = None,
) -> Spread | None:
    """Measure how the difference of two arms spreads over unpaired replicates and the images that all of them met.

    In each arm replicates are crossed with images, as in `bakeoff.stats.variance`. The mean difference of an image is
    that of two means, over R and over S replicates, so the variances of the rest and of the seeds are the two arms'
    own, divided by R and by S, and added. They are returned as those of as many paired replicates as have the same
    variance of the mean over seeds. `half_width` of such a spread needs the `error` over seeds: its own t is not
    Welch's.

    Args:
        a_RN: per replicate and image what arm a scores there; see `contribute`.
        b_SN: the same for arm b, on the same images.
        unit: what an image would change, if any did; None for the root mean square of a's scores.
        scope: what will be spoken of.
        groups_N: the group of every image; None if every image stands alone.

    Returns:
        None under 2 replicates of either arm, or 2 images or groups.

    Raises:
        ValueError: arms of other numbers of images, or scores not finite.
    """
    if a_RN.ndim != 2 or b_SN.ndim != 2 or a_RN.shape[1] != b_SN.shape[1]:
        raise ValueError(f"scores must be replicates x images, of the same images, not {a_RN.shape} and {b_SN.shape}")
    if unit is None:
        unit = float(np.sqrt(np.mean(np.square(a_RN, dtype=np.float64))))
    arms = [rows.astype(np.float64) for rows in (a_RN, b_SN)]
    if not all(np.isfinite(rows).all() for rows in arms):
        raise ValueError("scores must be finite")
    is_telling_N = np.abs(arms[0].mean(axis=0) - arms[1].mean(axis=0)) > 1e-12 * unit
    if groups_N is not None:
        arms = [sum_groups(rows, groups_N) for rows in arms]
    n = arms[0].shape[1]
    if min(len(rows) for rows in arms) < 2 or n < 2:
        return None
    image_N = arms[0].mean(axis=0) - arms[1].mean(axis=0)
    rests = [rows - rows.mean(axis=1, keepdims=True) - rows.mean(axis=0) + rows.mean() for rows in arms]
    seeds = sum(float(rows.mean(axis=1).var(ddof=1)) / len(rows) for rows in arms)
    rest = sum(float((each**2).sum()) / ((len(each) - 1) * (n - 1) * len(each)) for each in rests)
    variances = [float(rows.mean(axis=1).var(ddof=1)) for rows in arms]
    effective = sum(variances) / seeds if seeds else 2 / (1 / len(arms[0]) + 1 / len(arms[1]))
    few = min(len(rows) for rows in arms)
    return Spread(
        num_replicates=effective,
        num_images=n,
        difference=float(image_N.mean()),
        by_seed=effective * n * seeds,
        by_image=effective * float(image_N.var(ddof=1)),
        rest=effective * rest,
        image_weight=weigh_unseen(image_N, unit),
        # Any pairs will do for what one more answer may change; these are as good as others.
        cell_weight=weigh_unseen((arms[0][:few] - arms[1][:few]).ravel(), unit) if scope == "seeds" else None,
        image_skew=float(((image_N - image_N.mean()) ** 3).sum()) / n**3,
        cell_skew=measure_cell_skew(rests[0]) - measure_cell_skew(rests[1]) if scope == "seeds" else None,
        num_telling=int(is_telling_N.sum()) if groups_N is None else len(np.unique(groups_N[is_telling_N])),
        num_grouped=None if groups_N is None else len(groups_N),
    )


def _check(a: NDArray[np.float64], b: NDArray[np.float64], margin: float | None, confidence: float) -> None:
    if a.ndim != 1 or b.ndim != 1 or not len(a) or not len(b):
        raise ValueError(f"scores must be two sequences of one number or more, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("scores must be finite")
    if margin is not None and not 0 < margin < np.inf:
        raise ValueError(f"margin must be above 0, not {margin}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
