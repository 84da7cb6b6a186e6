"""How much a difference of two arms owes to the seeds and how much to the test images.

Model, for the difference of two arms in replicate r on image n (both crossed: every replicate meets every image):

    d[r, n] = difference + seed[r] + image[n] + rest[r, n]

with independent effects of mean zero. The rest holds the interaction, which cannot be told from error with one answer
per cell. This is the two-way random effects model (Searle, Casella and McCulloch 1992, "Variance components";
for crossed data with a bootstrap in mind Owen 2007, "The pigeonhole bootstrap").

Images of one group (of one patient, object or video) are not independent. Then groups take the place of images: what a
group contributes is the sum over its images, and the variance over groups is the cluster-robust one (Liang and Zeger
1986, "Longitudinal data analysis using generalized linear models"), with its factor G / (G - 1).

Shape suffixes: R replicates, N images, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.mean_error import MeanError
from bakeoff.stats.roots import find_root

Scope = Literal["images", "seeds", "folds"]
"""What a verdict generalises to: new seeds and new images; new seeds, on these images alone; training sets and images
drawn anew, which is what folds speak of."""

Side = Literal[-1, 0, 1]
"""An end of an interval: the lower, either, the upper."""

FLOOR = 0.25
"""The seeds' half width is never below the root of this times what the rest alone implies.

A whole 1 makes intervals at 3 replicates cover 98.7% where seeds add nothing; with a quarter they cover 96%, and what
few replicates cannot show (all differences equal) is left to the allowance for unseen images.
"""

FEW_IMAGES = 20
"""With fewer images that tell two arms apart, an interval over images is cautious at best."""

FEW_GROUPS = 10
"""With fewer groups of test images the variance over groups is known only roughly."""

_SMALLEST_LOG_TAIL = -300.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How the difference of two arms spreads over replicates and test images.

    Attributes:
        num_replicates: a whole number, unless they are unpaired; see `bakeoff.stats.unpaired`.
        difference: mean over replicates and images.
        by_seed, by_image, rest: mean squares, of expectation N var(seed) + var(rest), R var(image) + var(rest), and
            var(rest).
        image_weight, cell_weight: what one more image, or one more answer, may still change that has not been seen:
            squared, and together with the skewness of those that were; see `measure_spread`.
        image_skew, cell_skew: third cumulant of `difference` over draws of images, and of answers on these images.
            What is of answers, not of images, is None where scope "seeds" is not asked for.
        num_telling: images on which the arms differ on average over replicates.
        num_images: independent images; if they come in groups, the groups: all else here is then of groups, too.
        num_grouped: the images in these groups; None if every image stands alone.
    """

    num_replicates: float
    num_images: int
    difference: float
    by_seed: float
    by_image: float
    rest: float
    image_weight: float
    cell_weight: float | None
    image_skew: float
    cell_skew: float | None
    num_telling: int
    num_grouped: int | None = None

    @property
    def num_scored(self) -> int:
        """The images that were scored, whether or not they come in groups."""
        return self.num_images if self.num_grouped is None else self.num_grouped

    @property
    def image_excess(self) -> float:
        """The images' part of the variance of `difference`: var(image) / N, which no number of replicates lowers."""
        return max(0.0, self.by_image - self.rest) / (self.num_replicates * self.num_images)

    @property
    def parts(self) -> tuple[float, float, float]:
        """The variance of `difference` by source, each 0 or more: var(seed) / R, var(image) / N, var(rest) / (R N)."""
        cells = self.num_replicates * self.num_images
        return max(0.0, self.by_seed - self.rest) / cells, self.image_excess, self.rest / cells

    def half_width(self, tail: float, scope: Scope, side: Side = 0, error: MeanError | None = None) -> float:
        """Return half the width of the interval of `difference` that leaves `tail` (0..0.5) out on either side.

        Squares of half widths add (method of variance estimates recovery; Zou and Donner 2008): a t interval for the
        seeds (with the rest, never below FLOOR of what the rest alone implies), a normal one for the images, and an
        allowance for images that were not met, by the rule of three (Hanley and Lippman-Hand 1983). With a `side`, how
        far that end alone reaches; see `widen`. With an `error`, that of the seeds, the rest included, instead of t.
        """
        from scipy.special import ndtri, stdtrit

        cells = self.num_replicates * self.num_images
        if error is None:
            seeds = float(stdtrit(self.num_replicates - 1, tail)) ** 2 * self.by_seed / cells
        else:
            seeds = error.reach(tail) ** 2
        return self.widen(max(seeds, FLOOR * float(ndtri(tail)) ** 2 * self.rest / cells), tail, scope, side)

    def widen(self, seeds: float, tail: float, scope: Scope, side: Side = 0) -> float:
        """Return the half width where `seeds` is the square of the seeds' part: with the images', and what was not met.

        The end on the `side` to which the mean is skewed reaches further, by (z^2 + 1) / 3 times the third cumulant
        over the variance: what skewness does to a studentized mean, (2 z^2 + 1) / 6 (Hall 1992, "The bootstrap and
        Edgeworth expansion"), and, for means of counts, a third of the half unit that makes one continuous. Where k
        images differ, all one way, that is within 5% of Clopper and Pearson's bound from k = 5 on.
        """
        from scipy.special import ndtri

        z2, cells = float(ndtri(tail)) ** 2, self.num_replicates * self.num_images
        if scope == "images":
            excess, skew, unseen = self.image_excess, self.image_skew, self.image_weight / self.num_images**2
        else:
            assert self.cell_weight is not None, "measured for scope seeds"
            assert self.cell_skew is not None, "measured for scope seeds"
            excess, skew, unseen = 0.0, self.cell_skew, self.cell_weight / cells**2
        images, unseen = z2 * excess, math.log(tail) ** 2 * unseen
        variance = max(self.by_seed, self.rest) / cells + excess
        shift = (z2 + 1) / 3 * max(0.0, side * skew) / variance if variance else 0.0
        if not shift:
            return math.sqrt(seeds + (images + unseen))
        return math.sqrt((math.sqrt(seeds + images) + shift) ** 2 + unseen)


def measure_spread(
    a_RN: NDArray[np.generic],
    b_RN: NDArray[np.generic],
    *,
    unit: float | None = None,
    scope: Scope = "seeds",
    groups_N: NDArray[np.integer] | None = None,
) -> Spread | None:
    """Measure how the difference of two arms spreads, by analysis of variance.

    The allowance for what was not met: n images without a single event bound its share at about 3 / n, and few images
    that tell the arms apart make a skewed mean, for which a normal interval is too short on one side. Both have the
    size (w / N) log(1 / tail), with w^2 = (S3^2 + S6) / S2^2, where Sk is the sum of the k-th powers of the images'
    differences (at most S4 / S2): w is what one image changes where all that differ point one way, and goes to zero
    where many differ either way.

    Args:
        a_RN: per replicate and image what arm a scores there; see `contribute`.
        b_RN: the same for arm b, on the same images in the same replicates.
        unit: what an image would change, if any did; None for the root mean square of a's scores.
        scope: what will be spoken of. Only scope "seeds" needs the answers one by one, which are many.
        groups_N: the group of every image; None if every image stands alone.

    Returns:
        None under 2 replicates, or 2 images or groups: then there is nothing to measure it from.

    Raises:
        ValueError: shapes that differ or are empty, or scores not finite.
    """
    d_RN = _subtract(a_RN, b_RN)
    is_telling_N = d_RN.mean(axis=0) != 0
    if groups_N is not None:
        d_RN = sum_groups(d_RN, groups_N)
    r, n = d_RN.shape
    if r < 2 or n < 2:
        return None
    if unit is None:
        unit = float(np.sqrt(np.mean(np.square(a_RN, dtype=np.float64))))
    image_N = d_RN.mean(axis=0)
    mean = image_N.mean()
    seed_R = d_RN.mean(axis=1) - mean
    rest_RN = d_RN - seed_R[:, None] - image_N
    by_seed, by_image, rest = _mean_squares(d_RN, seed_R, image_N - mean, rest_RN)
    return Spread(
        num_replicates=r,
        num_images=n,
        difference=float(mean),
        by_seed=by_seed,
        by_image=by_image,
        rest=rest,
        image_weight=weigh_unseen(image_N, unit),
        cell_weight=weigh_unseen(d_RN.ravel(), unit) if scope == "seeds" else None,
        image_skew=_sum_cubes(image_N - mean) / n**3,
        cell_skew=measure_cell_skew(rest_RN) if scope == "seeds" else None,
        num_telling=int(is_telling_N.sum()) if groups_N is None else len(np.unique(groups_N[is_telling_N])),
        num_grouped=None if groups_N is None else len(groups_N),
    )


def sum_groups(values_RN: NDArray[np.float64], groups_N: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return what groups contribute to scores that are means over images, [R, G], with the scores as their means.

    A group contributes the score plus G / N times the sum over its images of what they deviate from it: the
    linearisation of a ratio, since groups differ in size. The variance of these over groups, over G, is the
    cluster-robust variance of the score.

    Args:
        values_RN: what images contribute, in every replicate.
        groups_N: the group of every image.
    """
    _, number_N, size_G = np.unique(groups_N, return_inverse=True, return_counts=True)
    num_images, num_groups = len(groups_N), len(size_G)
    sum_RG = np.stack([np.bincount(number_N, weights=values_N, minlength=num_groups) for values_N in values_RN])
    mean_R1 = values_RN.mean(axis=1, keepdims=True)
    # Whole numbers first: groups of equal size leave exactly nothing of the second term.
    found: NDArray[np.float64] = num_groups / num_images * sum_RG + mean_R1 * (
        (num_images - num_groups * size_G) / num_images
    )
    return found


def find_tail(half_width: Callable[[float], float], distance: float) -> float:
    """Return the tail whose interval just reaches `distance` from its centre: half of a two-sided p value, 0..0.5.

    Args:
        half_width: falls as the tail rises.
        distance: 0 or more.
    """
    if distance <= 0 or half_width(0.5) >= distance:
        return 0.5
    if half_width(math.exp(_SMALLEST_LOG_TAIL)) <= distance:
        return 0.0
    log_tail = find_root(lambda log: half_width(math.exp(log)) - distance, _SMALLEST_LOG_TAIL, math.log(0.5), 1e-9)
    return math.exp(log_tail)


def _subtract(a_RN: NDArray[np.generic], b_RN: NDArray[np.generic]) -> NDArray[np.float64]:
    if a_RN.shape != b_RN.shape or a_RN.ndim != 2 or 0 in a_RN.shape:
        raise ValueError(
            f"scores must be two arrays of one shape, replicates x images, not {a_RN.shape} and {b_RN.shape}"
        )
    d_RN = a_RN.astype(np.float64) - b_RN.astype(np.float64)
    if not np.isfinite(d_RN).all():
        raise ValueError("scores must be finite")
    return np.asarray(d_RN)


def _mean_squares(
    d_RN: NDArray[np.float64], seed_R: NDArray[np.float64], image_N: NDArray[np.float64], rest_RN: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the mean squares of the effects of seeds and images, and of the rest; mere rounding counts as zero."""
    r, n = d_RN.shape
    squares = float(n * (seed_R**2).sum()), float(r * (image_N**2).sum())
    freedoms = r - 1, n - 1, (r - 1) * (n - 1)
    rounding = (1e-12 * float(np.abs(d_RN).max())) ** 2 * n
    by_seed, by_image, rest = (
        0.0 if square <= rounding * freedom else square / freedom
        for square, freedom in zip((*squares, _sum_squares(rest_RN.ravel())), freedoms, strict=True)
    )
    return by_seed, by_image, rest


def _sum_squares(values: NDArray[np.float64]) -> float:
    """Return the sum of squares, by one thread: what BLAS adds up depends on the number of its threads, and they spin.

    The sum is thus the same on every machine, and a report of many pairs takes half the processor time.
    """
    return float(np.einsum("i,i->", values, values))


def _sum_cubes(values: NDArray[np.float64]) -> float:
    """Return the sum of cubes, by one thread, as `_sum_squares`."""
    return float(np.einsum("i,i,i->", values, values, values))


def measure_cell_skew(rest_RN: NDArray[np.float64]) -> float:
    """Return the third cumulant of the mean over answers; 0 under 3 replicates, which cannot tell."""
    r, n = rest_RN.shape
    return 0.0 if r < 3 else _sum_cubes(rest_RN.ravel()) / (r * (r - 1) * (r - 2) * n**3)


def weigh_unseen(values: NDArray[np.float64], unit: float) -> float:
    """Return what one more value may still change, squared; see `measure_spread`."""
    largest = float(np.abs(values).max())
    if not largest:
        return unit**2
    squares = (values / largest) ** 2
    cubes = squares * values / largest
    s2 = float(squares.sum())
    skewed = (float(cubes.sum()) ** 2 + _sum_squares(cubes)) / s2**2
    return largest**2 * min(skewed, _sum_squares(squares) / s2)
