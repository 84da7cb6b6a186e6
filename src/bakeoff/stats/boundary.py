"""The chance that equal arms ever cross a boundary of t tests, one after every replicate.

A look after n replicates succeeds where its p value is at most q * (n / at_most)^rise. The chance that any look of
n = at_least..at_most does, when nothing is there to find, is one function of q: it turns the smallest scaled p value
into a sequential p value, and its inverse turns an error rate into levels for the looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_GRID = np.concatenate([np.logspace(-8, -1, 15), np.linspace(0.2, 1.0, 9)])  # interpolated to within 0.2%
_NUM_NORMALS = 500_000
_SEED = 20_240_229


@dataclass(frozen=True)
class Crossings:
    """The chance of any success over all looks, as a function of the scale q.

    Attributes:
        scales: q, rising to 1.
        probabilities: chance of any p value at most q * (n / at_most)^rise, rising to 1.
        bound: the sum of (n / at_most)^rise over all looks: q * bound is never below the chance.
    """

    scales: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    bound: float

    def probability(self, scale: float) -> float:
        """Return the chance for a scale; left of the table by the union bound, so never too small."""
        if scale >= 1:
            return 1.0
        if scale < self.scales[0]:
            return float(min(scale * self.bound, self.probabilities[0]))
        return float(np.exp(np.interp(np.log(scale), np.log(self.scales), np.log(self.probabilities))))

    def quantile(self, probability: float) -> float:
        """Return the largest scale whose chance is `probability` (0..1); left of the table by the union bound."""
        if probability < self.probabilities[0]:
            return probability / self.bound
        return float(np.exp(np.interp(np.log(probability), np.log(self.probabilities), np.log(self.scales))))


@lru_cache(maxsize=64)
def tabulate_crossings(at_least: int, at_most: int, rise: float, sides: int) -> Crossings:
    """Work out the chance of any success for scales from 1e-8 to 1, each to within about 1% of itself.

    By importance sampling of a union of events (Owen, Maximov and Chertkov 2019, "Importance sampling the union of rare
    events with an application to power systems analysis", section 2): draw a look with probability in proportion to its
    level, then normal differences given that this look succeeds, and count the looks that succeed; the mean of
    1 / count times the sum of levels is unbiased, and as accurate in the far tail as anywhere. The draws are seeded, so
    the table is the same always.

    Args:
        at_least: replicates at the first look, 2 or more.
        at_most: replicates at the last look.
        rise: how much the levels rise with n, 0 or more.
        sides: 2 for two-sided p values, 1 for one-sided ones.
    """
    looks = np.arange(at_least, at_most + 1)
    shape = (looks / at_most) ** rise
    paths = _Paths.draw(looks, shape, max(1_000, _NUM_NORMALS // at_most))
    chances = np.array([_estimate(scale * shape, sides, looks, paths) for scale in _GRID])
    chances = np.maximum.accumulate(np.minimum(chances, 1.0))
    chances[-1] = 1.0  # the last look's p value is at most 1
    return Crossings(_GRID, chances, float(shape.sum()))


@dataclass(frozen=True)
class _Paths:
    """M paths of normal differences at L looks, each with one look drawn that is to succeed. All scales share them.

    Under the null hypothesis the length of the first n differences and their direction are independent, and the t
    statistic is a function of the direction: t = sqrt(n - 1) / tan(angle to the diagonal). So the first n differences
    of a path are kept as their length and their residuals of length 1, to be turned towards the diagonal as wanted.

    Attributes:
        chosen_M: the look drawn, as an index.
        where_M: 0..1, where its p value lies below its level.
        length_M: of the differences up to that look.
        inside_ML: how many of a look's differences are among those.
        residuals_ML, squared_residuals_ML: sums up to each look, over those.
        rest_ML, squared_rest_ML: sums up to each look, over the later differences.
    """

    chosen_M: NDArray[np.int64]
    where_M: NDArray[np.float64]
    length_M: NDArray[np.float64]
    inside_ML: NDArray[np.int64]
    residuals_ML: NDArray[np.float64]
    squared_residuals_ML: NDArray[np.float64]
    rest_ML: NDArray[np.float64]
    squared_rest_ML: NDArray[np.float64]

    @classmethod
    def draw(cls, looks: NDArray[np.int64], shape: NDArray[np.float64], num_paths: int) -> _Paths:
        rng = np.random.default_rng(_SEED)
        normals_MN = rng.standard_normal((num_paths, looks[-1]))
        evenly_M = (np.arange(num_paths) + 0.5) / num_paths
        shares = np.cumsum(shape) / shape.sum()
        chosen_M = np.minimum(np.searchsorted(shares, evenly_M), len(looks) - 1)
        n_M1 = looks[chosen_M][:, None]
        within_MN = np.arange(looks[-1]) < n_M1
        first_MN = np.where(within_MN, normals_MN, 0.0)
        residuals_MN = np.where(within_MN, first_MN - first_MN.sum(axis=1, keepdims=True) / n_M1, 0.0)
        residuals_MN /= np.sqrt((residuals_MN**2).sum(axis=1, keepdims=True))

        def add_up(values_MN: NDArray[np.float64]) -> NDArray[np.float64]:
            return values_MN.cumsum(axis=1)[:, looks - 1]

        return cls(
            chosen_M=chosen_M,
            where_M=rng.permutation(evenly_M),
            length_M=np.sqrt((first_MN**2).sum(axis=1)),
            inside_ML=np.minimum(looks, n_M1),
            residuals_ML=add_up(residuals_MN),
            squared_residuals_ML=add_up(residuals_MN**2),
            rest_ML=add_up(normals_MN - first_MN),
            squared_rest_ML=add_up((normals_MN - first_MN) ** 2),
        )


def _estimate(levels: NDArray[np.float64], sides: int, looks: NDArray[np.int64], paths: _Paths) -> float:
    """Return the chance that any look succeeds, each at its level."""
    from scipy.special import stdtrit

    chosen_M = paths.chosen_M
    # Given that it succeeds, a look's p value is uniform below its level.
    t_M = -stdtrit(looks[chosen_M] - 1, paths.where_M * levels[chosen_M] / sides)
    t_ML = _follow(paths, t_M.astype(np.float64), looks)
    successes_ML = (np.abs(t_ML) if sides == 2 else t_ML) >= -stdtrit(looks - 1, levels / sides)
    successes_ML[np.arange(len(t_M)), chosen_M] = True  # rounding must not lose the one that was drawn
    return float(levels.sum() * (1 / successes_ML.sum(axis=1)).mean())


def _follow(paths: _Paths, t_M: NDArray[np.float64], looks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the t statistic at every look, where the one drawn is as given."""
    n_M = looks[paths.chosen_M]
    angle_M = np.arctan2(np.sqrt(n_M - 1), t_M)
    mean_M1 = (paths.length_M * np.cos(angle_M) / np.sqrt(n_M))[:, None]
    stretch_M1 = (paths.length_M * np.sin(angle_M))[:, None]
    bent_ML = stretch_M1 * paths.residuals_ML
    sums_ML = mean_M1 * paths.inside_ML + bent_ML + paths.rest_ML
    squares_ML = mean_M1**2 * paths.inside_ML + 2 * mean_M1 * bent_ML
    squares_ML += stretch_M1**2 * paths.squared_residuals_ML + paths.squared_rest_ML
    variances_ML = np.maximum(squares_ML - sums_ML**2 / looks, np.finfo(np.float64).tiny) / (looks - 1)
    t_ML: NDArray[np.float64] = sums_ML / np.sqrt(looks * variances_ML)
    return t_ML
