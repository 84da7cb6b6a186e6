"""Variances that the arms of a block lend each other, so that three replicates suffice where a lead is large.

Three replicates estimate the variance of one pair's difference with two degrees of freedom; the block has all its arms.
Arms are taken to have variances of their own, drawn from a scaled inverse chi-square distribution (Smyth 2004, "Linear
models and empirical Bayes methods for assessing differential expression in microarray experiments"). How alike they
are, its degrees of freedom, is not estimated and then believed, for a few arms cannot tell: it is averaged over, by its
likelihood and a prior. That is what protects from one arm that is wilder than the rest and does not look it.

Assumes replicates that are independent, with normal effects of arm and replicate together; what a replicate does to
all arms alike cancels. Arms whose scores rise and fall together, apart from the others, break the assumption that arms
vary independently: for three such arms of six at 3 sd the rate of false findings came to 4 to 5%.

Shape suffixes: K arms, R replicates (or folds), G values of the prior's degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.mean_error import MeanError, make_error
from bakeoff.stats.power import count_degrees

Arm = TypeVar("Arm", bound=Hashable)
Run = TypeVar("Run", bound=Hashable)

MIN_ARMS = 3
"""Of two arms, only the difference is seen: neither can lend the other anything."""

MIN_PAIRS = 3
"""In a family of fewer pairs of a block, the correction for many does not hold back an arm wilder than the others."""

PRIOR_DEGREES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0])
"""How many degrees of freedom the other arms' variances may add to an arm's own: from unlike to all alike."""

SMALLEST = 0.8
"""An arm's own variance counts as no less than this, over the square of its degrees of freedom, times the median arm's:
a few replicates may agree by chance."""

EQUAL_WEIGHTS = 64.0
"""How strongly, over the square of the degrees of freedom, arms count alike for the effect of a replicate."""

PAIR_FACTOR = 0.8
"""By how much a pair's own variance counts: the larger of two estimates would be too large."""

AVERAGES_FACTOR = 0.75
"""What share of the variance of averages is at least their own: what a choice does may depend on the seed, in all arms
alike, and then more arms do not lower the error of their average."""

_LARGEST_WEIGHT = 0.6
_NUM_WEIGHINGS, _NUM_ITERATIONS = 12, 25


@dataclass(frozen=True, kw_only=True)
class LentVariances:
    """What the arms of one block say together about each one's variance.

    Attributes:
        weights_G: how likely each of PRIOR_DEGREES is; they sum to 1.
        centers_G: the common variance of an arm's score, given each of them.
        variances_GK: every arm's, moderated: between its own and the common one.
        own_K: every arm's own variance.
        scores_KR: as given.
        own_degrees: of an arm's own variance; `most_degrees`: of all together.
        factor: variance of a mean over that of one score, 1 / R for independent replicates.
    """

    weights_G: NDArray[np.float64]
    centers_G: NDArray[np.float64]
    variances_GK: NDArray[np.float64]
    own_K: NDArray[np.float64]
    scores_KR: NDArray[np.float64]
    own_degrees: float
    most_degrees: float
    factor: float

    def judge(self, a: Sequence[int], b: Sequence[int]) -> MeanError:
        """Return the error of the mean difference of two arms, or of two averages of arms, by their places.

        Its variance is the larger of two: the sum of the arms' moderated variances, which finds a wild arm by all its
        differences, and most of the pair's own, moderated likewise, which finds a pair that varies more than its arms.
        That of averages is at least a mixture of their own and of the arms'.
        """
        nu, d = PRIOR_DEGREES, self.own_degrees
        places, shares = np.array([*a, *b]), np.array([*[1 / len(a)] * len(a), *[-1 / len(b)] * len(b)])
        own = float(np.var(shares @ self.scores_KR[places], ddof=1))
        pair_G = (nu * (shares @ shares) * self.centers_G + d * own) / (nu + d)
        arms_G = self.variances_GK[:, places] @ shares**2
        variance_G = np.maximum(arms_G, PAIR_FACTOR * pair_G)
        if len(places) > 2:
            variance_G = np.maximum(variance_G, AVERAGES_FACTOR * own + (1 - AVERAGES_FACTOR) * arms_G)
        return MeanError(
            weights_G=self.weights_G,
            scales_G=np.sqrt(self.factor * variance_G),
            degrees_G=np.minimum(nu + d, self.most_degrees),
            guard=self._guard(shares**2 * self.own_K[places], own),
        )

    def _guard(self, parts: NDArray[np.float64], of_pair: float) -> MeanError:
        """Return the error by the own variances of the arms compared, or of their difference if that is larger.

        Satterthwaite's degrees of freedom (1946) are too many for an arm that is wilder than the other by chance of a
        few replicates; they rise with the fourth root of his ratio instead.
        """
        ratio = float(parts.sum() ** 2 / (parts**2).sum())
        degrees = min(self.own_degrees * max(1.0, ratio) ** 0.25, self.most_degrees)
        return make_error(self.factor * max(float(parts.sum()), of_pair), degrees)


@dataclass(frozen=True, kw_only=True)
class OwnVariances:
    """What replicates alone say of arms' variances.

    Attributes:
        squares_K: estimates; or [..., K], those of many blocks at once.
        degrees_K: of freedom.
        counts_K: as how many arms each counts: the two of a pair have one estimate between them.
    """

    squares_K: NDArray[np.float64]
    degrees_K: NDArray[np.float64]
    counts_K: NDArray[np.float64]

    def raise_smallest(self) -> OwnVariances:
        """Return them with none far below the median arm's; see SMALLEST."""
        middle = np.sort(self.squares_K)[..., [(len(self.degrees_K) - 1) // 2]]
        least_K = np.maximum(SMALLEST / self.degrees_K**2 * middle, 1e-6 * self.squares_K.mean(axis=-1, keepdims=True))
        return replace(self, squares_K=np.maximum(self.squares_K, least_K))


def lend_variances(
    scores_KR: NDArray[np.float64],
    *,
    slope: float,
    own_degrees: float | None = None,
    factor: float | None = None,
    others: Sequence[tuple[float, float]] = (),
) -> LentVariances | None:
    """Return what the arms of a block say together about their variances.

    Args:
        scores_KR: every arm's score in the same replicates, or folds.
        slope: of the prior; see `choose_slope`.
        own_degrees: of an arm's own variance; None for R - 1. Folds have fewer; see `count_degrees`.
        factor: variance of a mean over that of one score; None for 1 / R. Folds have more.
        others: variances of further arms, which have not all of these replicates, each with its degrees of freedom.

    Returns:
        None under 2 arms, 3 arms with the others, or 2 replicates, and where no arm differs from the others by more or
        less in any of them.
    """
    k, r = scores_KR.shape
    if k < 2 or k + len(others) < MIN_ARMS or r < 2:
        return None
    d = float(r - 1 if own_degrees is None else own_degrees)
    own = _gather_variances(scores_KR, d, others)
    if not own.squares_K[:k].mean() > (1e-12 * float(np.abs(scores_KR).max())) ** 2:
        return None
    own = own.raise_smallest()
    weights_G, centers_G = weigh_prior(own, slope)
    return LentVariances(
        weights_G=weights_G,
        centers_G=centers_G,
        variances_GK=moderate(own.squares_K[:k], d, centers_G),
        own_K=own.squares_K[:k],
        scores_KR=scores_KR,
        own_degrees=d,
        most_degrees=max(d, float(own.degrees_K.sum()) * (1 - 1 / len(own.degrees_K))),
        factor=1 / r if factor is None else factor,
    )


def weigh_prior(own: OwnVariances, slope: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how likely each of PRIOR_DEGREES is, and the common variance given each, [..., G]."""
    centers_G = _fit_centers(own)
    likelihoods_G = _log_likelihoods(own, centers_G) - slope * np.log(PRIOR_DEGREES)
    weights_G = np.exp(likelihoods_G - likelihoods_G.max(axis=-1, keepdims=True))
    return weights_G / weights_G.sum(axis=-1, keepdims=True), centers_G


def moderate(
    squares_K: NDArray[np.float64], degrees: float | NDArray[np.float64], centers_G: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return variances between their own and the common one, [..., G, K]; `degrees` of all arms, or of each, [K]."""
    nu_G1 = PRIOR_DEGREES[:, None]
    return np.asarray((nu_G1 * centers_G[..., None] + degrees * squares_K[..., None, :]) / (nu_G1 + degrees))


class UnpairedLender(Generic[Arm]):
    """Says how far the mean difference of two arms without replicates in common may err, by the variances of all arms.

    An arm's own variance is that of its scores: there is no effect of a replicate to remove. How alike variances are is
    asked of as many scores of every arm as the arm with fewer of the two compared has, the first ones: if others were
    known much better, and alike, an arm of few scores that is wilder than they would be taken to be like them.

    Args:
        scores: every arm's.
        slope: of the prior; see `choose_slope`.
    """

    def __init__(self, scores: Mapping[Arm, Sequence[float]], *, slope: float) -> None:
        self._scores = {arm: np.array(values) for arm, values in scores.items() if len(values) >= 2}
        self._slope = slope
        self._priors: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], float] | None] = {}

    def find_error(self, a: Arm, b: Arm) -> MeanError | None:
        """Return it; None under 2 scores of either, under 3 arms, and where no arm's scores vary.

        Both moderated variances rest on the same prior, so degrees of freedom are those of the arm with fewer, and do
        not add.
        """
        if a not in self._scores or b not in self._scores:
            return None
        sizes = np.array([len(self._scores[arm]) for arm in (a, b)])
        fewest = int(sizes.min())
        if fewest not in self._priors:
            self._priors[fewest] = self._weigh(fewest)
        prior = self._priors[fewest]
        if prior is None:
            return None
        weights_G, centers_G, smallest = prior
        squares = np.maximum([self._scores[arm].var(ddof=1) for arm in (a, b)], smallest)
        degrees, least = sizes - 1.0, fewest - 1.0
        most = max(least, least * (len(self._scores) - 1))
        parts = squares / sizes
        return MeanError(
            weights_G=weights_G,
            scales_G=np.sqrt((moderate(squares, degrees, centers_G) / sizes).sum(axis=1)),
            degrees_G=np.minimum(PRIOR_DEGREES + least, most),
            guard=make_error(float(parts.sum()), temper_degrees(count_welch_degrees(parts, degrees), least)),
        )

    def _weigh(self, num: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float] | None:
        """Return weights and centers of the prior by the first `num` scores of every arm, and the smallest variance."""
        if len(self._scores) < MIN_ARMS:
            return None
        first = [values[:num] for values in self._scores.values()]
        own = OwnVariances(
            squares_K=np.array([values.var(ddof=1) for values in first]),
            degrees_K=np.array([len(values) - 1.0 for values in first]),
            counts_K=np.ones(len(first)),
        )
        largest = max(float(np.abs(values).max()) for values in first)
        if not own.squares_K.mean() > (1e-12 * largest) ** 2:
            return None
        own = own.raise_smallest()
        return *weigh_prior(own, self._slope), float(own.squares_K.min())


def count_welch_degrees(parts: NDArray[np.float64], degrees: NDArray[np.float64]) -> float:
    """Return the degrees of freedom of a sum of estimated variances, not all 0 (Satterthwaite 1946)."""
    return float(parts.sum() ** 2 / (parts**2 / degrees).sum())


def temper_degrees(degrees: float, least: float) -> float:
    """Return degrees of freedom that rise with the fourth root of their ratio to the least.

    Satterthwaite's are too many for an arm that is wilder than the other and, by chance of a few replicates, does not
    look it; the least are right for it, and too few for arms that are alike.
    """
    return least * float(max(1.0, degrees / least) ** 0.25)


def _gather_variances(scores_KR: NDArray[np.float64], d: float, others: Sequence[tuple[float, float]]) -> OwnVariances:
    k = len(scores_KR)
    if k > 2:
        squares_K = estimate_variances(scores_KR)
    else:
        squares_K = np.full(2, float(np.var(scores_KR[0] - scores_KR[1], ddof=1)) / 2)
    other_squares, other_degrees = zip(*others, strict=True) if others else ((), ())
    return OwnVariances(
        squares_K=np.array([*squares_K, *other_squares]),
        degrees_K=np.array([*[d] * k, *other_degrees]),
        counts_K=np.array([*[1.0 if k > 2 else 0.5] * k, *[1.0] * len(others)]),
    )


class Lender(Generic[Arm, Run]):
    """Says how far the mean difference of two arms of a block may err, by the variances of all its arms.

    Arms that have not all the runs that are compared, such as those that have left a race, lend their variance in those
    that they have.

    Args:
        scores: of every arm, run by run: replicates, or folds.
        slope: of the prior; see `choose_slope`.
        test_share: with folds, images scored over images trained on; 0 for independent replicates.
    """

    def __init__(self, scores: Mapping[Arm, Mapping[Run, float]], *, slope: float, test_share: float = 0.0) -> None:
        self._scores, self._slope, self._test_share = scores, slope, test_share
        self._lent: dict[tuple[Run, ...], tuple[dict[Arm, int], LentVariances | None]] = {}

    def find_error(self, a: Sequence[Arm], b: Sequence[Arm], runs: Sequence[Run]) -> MeanError | None:
        """Return it for two arms, or averages of arms, that have these runs; None under 2 runs and under 3 arms."""
        if len(runs) < 2:
            return None
        if tuple(runs) not in self._lent:
            self._lent[tuple(runs)] = self._lend(runs)
        rows, lent = self._lent[tuple(runs)]
        return None if lent is None else lent.judge([rows[arm] for arm in a], [rows[arm] for arm in b])

    def find_unpaired_error(self, a: Arm, b: Arm) -> MeanError | None:
        """Return it for two arms whose runs are not paired; see `UnpairedLender`."""
        return self._unpaired.find_error(a, b)

    @cached_property
    def _unpaired(self) -> UnpairedLender[Arm]:
        return UnpairedLender({arm: list(each.values()) for arm, each in self._scores.items()}, slope=self._slope)

    def _lend(self, runs: Sequence[Run]) -> tuple[dict[Arm, int], LentVariances | None]:
        """Return the rows of the arms that have these runs, equal scores sharing one, and what they lend."""
        rows, table = self._tabulate(runs)
        lent = lend_variances(
            table,
            slope=self._slope,
            own_degrees=count_degrees(len(runs), self._test_share),
            factor=1 / len(runs) + self._test_share,
            others=self._list_others(runs),
        )
        return rows, lent

    def _tabulate(self, runs: Sequence[Run]) -> tuple[dict[Arm, int], NDArray[np.float64]]:
        rows: dict[Arm, int] = {}
        table: dict[tuple[float, ...], int] = {}
        for arm, scores in self._scores.items():
            if all(run in scores for run in runs):
                rows[arm] = table.setdefault(tuple(scores[run] for run in runs), len(table))
        return rows, np.array(list(table), dtype=np.float64).reshape(len(table), len(runs))

    def _list_others(self, runs: Sequence[Run]) -> list[tuple[float, float]]:
        """Return the variances of the arms that have not all of these runs, in those that they have."""
        found = []
        for arm, scores in self._scores.items():
            own = [run for run in runs if run in scores]
            if 2 <= len(own) < len(runs):
                rows, table = self._tabulate(own)
                if len(table) >= MIN_ARMS:
                    square = float(estimate_variances(table)[rows[arm]])
                    found.append((square, float(count_degrees(len(own), self._test_share))))
        return found


def choose_slope(num_arms: int, num_pairs: int, num_blocks: int = 1) -> float:
    """Return how much the prior leans to arms that are unlike: it falls as the degrees of freedom to this power.

    A wild arm moves all its pairs at once, so a correction for many pairs corrects too much for it, and the prior may
    lean the less the more pairs there are. Not so where all arms are compared with one that may be the wild one, nor
    for the correction over several blocks. The numbers are those at which, at 3 replicates, one arm of 3, 5 or 10
    times the spread of the others makes no more false findings than declared (`benchmarks/rigor_moderated.py`).

    Args:
        num_arms: of the block.
        num_pairs: of the block, in the family.
        num_blocks: of the family.
    """
    small: float = max(1, num_arms - 1) ** -1.5  # a few arms tell little of how alike they are
    slope, step = 5.8 * small - 0.04, 0.28 + 4 * small**2
    if num_pairs < num_arms * (num_arms - 1) // 2:
        slope, step = slope + 0.7 + 0.09 * num_arms + 2.5 * small, step + 0.12
    return slope + step * math.log2(num_blocks)


def estimate_variances(scores_KR: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return every arm's variance over replicates, beside what a replicate does to all arms.

    The effect of a replicate is the mean over arms of their deviations, weighted by the inverse of their variances, so
    that a wild arm does not pass for noise of the others. Squares of an arm's residuals then have (1 - weight) times
    its variance as expectation (restricted maximum likelihood). Weights and variances are found in turn; variances are
    drawn towards their geometric mean for it, the more the fewer replicates there are.

    Args:
        scores_KR: 3 or more arms, 2 or more replicates; or [..., K, R], many blocks at once.
    """
    k, r = scores_KR.shape[-2:]
    deviations_KR = scores_KR - scores_KR.mean(axis=-1, keepdims=True)
    weights_K, drawn = np.full(scores_KR.shape[:-1], 1 / k), EQUAL_WEIGHTS / (r - 1) ** 2
    smallest = np.maximum(1e-12 * (deviations_KR**2).mean(axis=(-2, -1)), 1e-300)[..., None]
    own_K = np.zeros(scores_KR.shape[:-1])
    for _ in range(_NUM_WEIGHINGS):
        residuals_KR = deviations_KR - weights_K[..., None, :] @ deviations_KR
        own_K = (residuals_KR**2).sum(axis=-1) / ((r - 1) * (1 - weights_K))
        common = np.exp(np.log(np.maximum(own_K, smallest)).mean(axis=-1, keepdims=True))
        weights_K = 1 / (drawn * common + (r - 1) * own_K)
        weights_K = np.minimum(weights_K / weights_K.sum(axis=-1, keepdims=True), _LARGEST_WEIGHT)
        weights_K = weights_K / weights_K.sum(axis=-1, keepdims=True)
    return own_K


def _fit_centers(own: OwnVariances) -> NDArray[np.float64]:
    """Return the most likely common variance, given each of PRIOR_DEGREES, by expectation and maximisation."""
    nu_G1, d_K = PRIOR_DEGREES[:, None], own.degrees_K
    squares_1K = own.squares_K[..., None, :]
    centers_G = np.exp(np.log(squares_1K) @ own.counts_K / own.counts_K.sum()) * np.ones(len(PRIOR_DEGREES))
    for _ in range(_NUM_ITERATIONS):
        ratios_GK = d_K * squares_1K / (nu_G1 * centers_G[..., None])
        steps_G = ((d_K + nu_G1) * ratios_GK / (1 + ratios_GK)) @ own.counts_K
        centers_G = centers_G * steps_G / (d_K @ own.counts_K)
    return np.asarray(centers_G)


def _log_likelihoods(own: OwnVariances, centers_G: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the likelihoods of PRIOR_DEGREES: scaled F distributions of the arms' variances."""
    from scipy.special import gammaln

    nu_G1, d_K = PRIOR_DEGREES[:, None], own.degrees_K
    ratios_GK = d_K * own.squares_K[..., None, :] / (nu_G1 * centers_G[..., None])
    norms_GK = gammaln((d_K + nu_G1) / 2) - gammaln(nu_G1 / 2) - gammaln(d_K / 2)
    logs_GK = norms_GK + d_K / 2 * np.log(ratios_GK) - (d_K + nu_G1) / 2 * np.log1p(ratios_GK)
    return np.asarray(logs_GK @ own.counts_K)
