"""Where an expected spread comes from: scores over images, scores alone, or what a study declares of itself.

Population: pairs of arms of one family, new seeds; and the images of the test split, or images like them. The variances
of all pairs are averaged: single pairs of a few replicates say little. Suffixes: R replicates, N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.expected import Degrees, ExpectedSpread
from bakeoff.stats.needed import LIKELY
from bakeoff.stats.variance import FLOOR, Spread

SourceKind = Literal["trials", "earlier", "pilot", "declared", "none"]
"""This study's tested trials, an earlier study's trials, this study's validation scores, its declaration, nothing."""

MIN_SHARED = 100
"""Fewer images that two replicates share do not tell what arms make of an image from what a seed makes of it."""


@dataclass(frozen=True, kw_only=True)
class VarianceSource:
    """What is known of a pair's spread, and from what.

    Attributes:
        spread: as expected on the study's test images, new images included; None if nothing is known of seeds.
        study: whose trials it was measured on; empty for none. `num_trials`: how many; `num_replicates`: of each arm.
        split: of the scores.
        degrees: of freedom of the measured variance; None if it was declared. `ends`: the spread at the ends of the
            intervals of that variance and of the images' part, at confidence LIKELY.
        images_from: what the images' part rests on.
    """

    kind: SourceKind
    spread: ExpectedSpread | None = None
    study: str = ""
    num_trials: int = 0
    num_replicates: int = 0
    split: Literal["test", "validation"] = "test"
    degrees: float | None = None
    ends: tuple[ExpectedSpread, ...] = ()
    images_from: Literal["predictions", "accuracy", "nothing"] = "nothing"

    def judge_by(self, degrees: Degrees) -> VarianceSource:
        """Return the source for pairs that are judged with these degrees of freedom, by number of replicates."""
        ends = tuple(replace(end, degrees=degrees) for end in self.ends)
        return replace(self, spread=None if self.spread is None else replace(self.spread, degrees=degrees), ends=ends)


def list_factors(degrees: float) -> tuple[float, float]:
    """Return by how much a true variance may be smaller and larger than it was seen to be, at confidence LIKELY.

    Args:
        degrees: of freedom of the chi-squared estimate, above 0.
    """
    from scipy.special import chdtri

    tail = (1 - LIKELY) / 2
    return float(degrees / chdtri(degrees, tail)), float(degrees / chdtri(degrees, 1 - tail))


def scale_variance(spread: ExpectedSpread, factor: float) -> ExpectedSpread:
    """Return the spread with another variance over seeds."""
    return replace(spread, sd=spread.sd * factor**0.5)


def guess_disagreement(accuracy: float) -> float:
    """Return the share of images that exactly one of two arms is expected to answer rightly: p (1 - p).

    That is half of 2 p (1 - p), which independent errors would make: two trained arms find the same images difficult.
    It is also the variance of one image's difference between equally good arms.

    Args:
        accuracy: p, of both arms, 0..1.
    """
    return accuracy * (1 - accuracy)


def count_pooled_degrees(num_arms: int, num_replicates: int, *, against_baseline: bool) -> float:
    """Return the degrees of freedom of the mean variance over the pairs of a family, for arms that spread alike.

    All pairs: (k - 1) (R - 1), those of arms by replicates in a two-way layout. The m pairs with a baseline share its
    scores: 4 m / (m + 3) (R - 1), by the two moments of a sum of correlated chi-squared (Satterthwaite 1946).

    Args:
        num_arms: k = m + 1.
        num_replicates: R.
        against_baseline: whether the family holds the pairs with a baseline only.
    """
    others = num_arms - 1
    return (4 * others / (others + 3) if against_baseline else others) * (num_replicates - 1)


def pool_spreads(spreads: Sequence[Spread]) -> ExpectedSpread:
    """Return the mean spread of pairs that were measured on the study's own test images.

    A mean square below the rest's is chance, and counts as such in single pairs; the mean over pairs is cut at 0.
    """
    num_images = spreads[0].num_images
    by_seed = float(np.mean([each.by_seed for each in spreads]))
    excess = [(each.by_image - each.rest) / (each.num_replicates * num_images) for each in spreads]
    return ExpectedSpread(
        sd=(by_seed / num_images) ** 0.5,
        images=max(0.0, float(np.mean(excess))),
        num_images=num_images,
        unmet=float(np.mean([each.image_weight for each in spreads])),
    )


@dataclass(frozen=True, kw_only=True)
class ValidationPair:
    """What two arms score on the validation images, which are drawn anew in every replicate.

    Attributes:
        differences: of each replicate, image by image, [N] each.
        indices: of these images in their source, [N] each.
    """

    differences: Sequence[NDArray[np.float64]]
    indices: Sequence[NDArray[np.integer]]


@dataclass(frozen=True, kw_only=True)
class ValidationSpread:
    """How differences spread on validation images, whose part is to be replaced by that of test images.

    Attributes:
        between: variance of a replicate's mean difference. `per_image`: of an image's, inside a replicate.
        lasting: the part of `per_image` that is the same in every replicate. `lasting_ends`: of its interval.
        overlap: share of images that two replicates have in common.
        num_images: validated in a replicate.
    """

    between: float
    per_image: float
    lasting: float
    lasting_ends: tuple[float, float]
    overlap: float
    num_images: float

    def expect(self, num_test: int | None, *, factor: float = 1.0, lasting: float | None = None) -> ExpectedSpread:
        """Return the spread expected on the test images.

        The part of a replicate's own validation images is taken off the variance between replicates, of which a
        quarter (FLOOR) is kept at least: two or three replicates may agree by chance.

        Args:
            num_test: test images; None if unknown: then as many as validated.
            factor: by which the variance between replicates may be larger than it was seen to be; below 1, for the
                lower end of a range, nothing of it is kept for sure.
            lasting: in place of the measured one, such as an end of its interval.
        """
        num_images = num_test or round(self.num_images)
        lasting = self.lasting if lasting is None else lasting
        sampling = (self.per_image - self.overlap * lasting) / self.num_images
        between = factor * self.between
        seeds = max(FLOOR * between if factor >= 1 else 0.0, between - sampling)
        return ExpectedSpread(
            sd=(seeds + (self.per_image - lasting) / num_images) ** 0.5,
            images=lasting / num_images,
            num_images=num_images,
        )


def measure_validation(pairs: Sequence[ValidationPair]) -> ValidationSpread:
    """Measure how differences spread on validation images, averaged over pairs.

    What arms make of an image is told from what a seed makes of it by the images that two replicates share. Where they
    share too few, all counts as the images', which no replicates average out: an upper bound.

    Args:
        pairs: of one family, with 2 replicates at least.
    """
    between = [np.var([d_N.mean() for d_N in pair.differences], ddof=1) for pair in pairs]
    inside = [d_N for pair in pairs for d_N in pair.differences]
    per_image = float(np.mean([np.var(d_N, ddof=1) for d_N in inside]))
    covariance, shared = _measure_covariance(pairs)
    lasting, ends = per_image, (0.0, per_image)
    num_images = float(np.mean([len(d_N) for d_N in inside]))
    if shared >= MIN_SHARED:
        lasting = min(max(covariance, 0.0), per_image)
        reach = _Z_LIKELY * per_image / shared**0.5
        ends = max(0.0, lasting - reach), min(per_image, lasting + reach)
    return ValidationSpread(
        between=float(np.mean(between)),
        per_image=per_image,
        lasting=lasting,
        lasting_ends=ends,
        overlap=_measure_overlap(pairs[0]),
        num_images=num_images,
    )


_Z_LIKELY = 1.2816
"""Normal quantile of an interval at confidence LIKELY."""


def _measure_covariance(pairs: Sequence[ValidationPair]) -> tuple[float, float]:
    """Return the covariance, on the images that two replicates share, of what they add; and the images per pair."""
    products, number = 0.0, 0
    for pair in pairs:
        for first, second in combinations(range(len(pair.differences)), 2):
            ours_N, theirs_N = pair.differences[first], pair.differences[second]
            common, own, other = np.intersect1d(pair.indices[first], pair.indices[second], return_indices=True)
            number += len(common)
            products += float(np.sum((ours_N[own] - ours_N.mean()) * (theirs_N[other] - theirs_N.mean())))
    return products / max(1, number), number / len(pairs)


def _measure_overlap(pair: ValidationPair) -> float:
    """Return the share of images that two replicates have in common, on average."""
    shares = [len(np.intersect1d(ours, theirs)) / len(ours) for ours, theirs in combinations(pair.indices, 2)]
    return float(np.mean(shares))


def pool_scores(
    differences: Sequence[NDArray[np.float64]], *, accuracy: float | None, num_images: int | None
) -> ExpectedSpread:
    """Return the spread expected from scores alone: sd over replicates, and the images' part from the accuracy.

    Args:
        differences: of each pair, by replicate, 2 at least.
        accuracy: mean of the arms; None if another metric decides: then nothing is known of the images' part.
        num_images: test images.
    """
    sd = float(np.mean([np.var(each, ddof=1) for each in differences])) ** 0.5
    return _expect(sd, None if accuracy is None else guess_disagreement(accuracy), num_images)


def expect_declared(sd: float, *, disagreement: float | None, num_images: int | None) -> ExpectedSpread:
    """Return the spread that a study declares: arms that are independent over seeds, so sqrt(2) times the sd of one.

    Args:
        sd: of one arm's score over seeds, on the same test images.
        disagreement: share of images that exactly one of two arms answers rightly, all of it counted as the images'
            part; None if unknown.
        num_images: test images.
    """
    return _expect(2**0.5 * sd, disagreement, num_images)


def _expect(sd: float, disagreement: float | None, num_images: int | None) -> ExpectedSpread:
    images = disagreement / num_images if disagreement is not None and num_images else 0.0
    return ExpectedSpread(sd=sd, images=images, num_images=num_images, disagreement=disagreement)
