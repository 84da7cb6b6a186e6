"""Main effects of two-level fractions with few replicates: the error pooled over all runs, and Lenth's without any.

In a two-level design with balanced, orthogonal columns every main effect is the mean of half of the N runs minus that
of the others. Its variance in one replicate is 4 / N^2 times the sum of the runs' variances, for every column the same,
also where runs differ in variance. So the residuals of all runs, less what a replicate has in common, estimate it with
up to (N - 1) (R - 1) degrees of freedom instead of R - 1.

Shape suffixes: A arms (runs of the design), R replicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.averaged import AveragedArm
from bakeoff.stats.judging import Judging, compare_arms
from bakeoff.stats.mean_error import make_error
from bakeoff.stats.pairs import PairComparison, compare_pair
from bakeoff.stats.results import ArmSummary

MAX_POOLED_ARMS = 24
"""Runs over which the error of a main effect is pooled at most.

An effect that depends on the seed has an error that more runs do not lower, while that of the others falls. If it
varies over seeds by half of a run's standard deviation, 24 pooled runs name a factor falsely in 4% of null studies, 32
in 7%, 128 in 13%.
"""

LENTH_CUT = 2.5
"""Effects beyond this many trial standard errors are left out of Lenth's pseudo standard error."""


@dataclass(frozen=True, kw_only=True)
class PooledError:
    """The error of a main effect in a two-level design.

    Attributes:
        variance: of the effect in a single replicate.
        degrees: of freedom, from R - 1 (one run has all the variance) to (N - 1) (R - 1).
    """

    variance: float
    degrees: float


def pool_error(high_AR: NDArray[np.float64], low_AR: NDArray[np.float64]) -> PooledError:
    """Pool the error of mean(high) - mean(low) over the runs of a two-level design, less what a replicate shares.

    The variance is the mean of the pooled and the effect's own estimate, or the pooled one if that is larger: an effect
    that depends on the seed more than others is not called sure because the others are. The degrees of freedom are
    Satterthwaite's (1946), from the residual variances of the runs: one run much noisier than the rest leaves few. Both
    choices are those of a simulation (`benchmarks/rigor_screening.py`): with (N - 1) (R - 1) degrees of freedom, one
    run with five times the spread made 9% of null studies name a factor, instead of 5%.

    Assumes runs of independent errors given the replicate, each roughly normal. Two-sided use.

    Args:
        high_AR: scores of the runs at one level, at least 2 replicates.
        low_AR: scores of as many runs at the other level, same replicates.
    """
    scores_AR = np.concatenate([high_AR, low_AR])
    num_arms, num_replicates = scores_AR.shape
    of_arm, of_replicate = scores_AR.mean(axis=1, keepdims=True), scores_AR.mean(axis=0)
    rest_AR = scores_AR - of_arm - of_replicate + scores_AR.mean()
    variances_A = (rest_AR**2).sum(axis=1) / (num_replicates - 1) * num_arms / (num_arms - 1)
    total = float(variances_A.sum())
    pooled = 4 / num_arms**2 * total
    own = float((high_AR.mean(axis=0) - low_AR.mean(axis=0)).var(ddof=1))
    degrees = num_replicates - 1.0
    if total > 0:
        degrees *= min(num_arms - 1.0, max(1.0, total**2 / float((variances_A**2).sum())))
    return PooledError(variance=max(pooled, (pooled + own) / 2), degrees=degrees)


def compare_pooled(a: ArmSummary, b: ArmSummary, judging: Judging) -> PairComparison:
    """Compare the two levels of a factor with the error pooled over the whole design.

    As `compare_arms` with folds, in a race, under 2 replicates, and where another method than paired tests decides.
    """
    plain = compare_arms(a, b, judging)
    if not (isinstance(a, AveragedArm) and isinstance(b, AveragedArm)) or not _is_poolable(plain, judging):
        return plain
    common = [replicate for replicate in a.scores if replicate in b.scores]
    high_AR, low_AR = (np.array([[m.scores[r] for r in common] for m in arm.members]) for arm in (a, b))
    error = pool_error(high_AR, low_AR)
    if error.variance <= 0:
        return plain
    return compare_pair(
        [a.scores[replicate] for replicate in common],
        [b.scores[replicate] for replicate in common],
        margin=plain.margin,
        confidence=plain.confidence,
        higher_is_better=plain.higher_is_better,
        spread=plain.spread,
        scope=judging.rules.scope,
        error=make_error(error.variance / plain.n, error.degrees),
    )


def _is_poolable(plain: PairComparison, judging: Judging) -> bool:
    rules = judging.rules
    return plain.n >= 2 and judging.num_folds is None and rules.race is None and rules.method != "bayes"


@dataclass(frozen=True, kw_only=True)
class LenthScreen:
    """Which effects of a two-level design with few replicates stand out from the others.

    Attributes:
        effects: factor -> its effect, second level minus first, in the metric's unit.
        error: Lenth's pseudo standard error of an effect.
        limit: simultaneous margin of error: an effect beyond it stands out.
    """

    effects: Mapping[str, float]
    error: float
    limit: float

    @property
    def standing_out(self) -> tuple[str, ...]:
        """The factors whose effects are beyond the limit, largest effect first."""
        found = [name for name, effect in self.effects.items() if abs(effect) > self.limit]
        return tuple(sorted(found, key=lambda name: -abs(self.effects[name])))


def screen_by_lenth(
    effects: Mapping[str, float], others: Sequence[float] = (), confidence: float = 0.95
) -> LenthScreen:
    """Tell by Lenth's method (1989) which effects stand out, without any estimate of the error from replicates.

    Lenth, R. V. (1989), "Quick and easy analysis of unreplicated factorials", Technometrics 31. Two-sided; with m
    effects the limit is simultaneous for all, by t with m / 3 degrees of freedom at 1 - (1 - confidence^(1/m)) / 2.
    Assumes that most effects are zero and all are estimated with the same error.

    Args:
        effects: factor -> effect.
        others: effects of the design's remaining orthogonal columns.
        confidence: that no effect stands out where all are zero.
    """
    from scipy.special import stdtrit

    sizes = np.abs([*effects.values(), *others])
    trial = 1.5 * float(np.median(sizes))
    kept = sizes[sizes < LENTH_CUT * trial]
    error = 1.5 * float(np.median(kept)) if len(kept) else trial
    quantile = (1 + confidence ** (1 / len(sizes))) / 2
    return LenthScreen(effects=effects, error=error, limit=error * float(stdtrit(len(sizes) / 3, quantile)))
