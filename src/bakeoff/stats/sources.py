"""Where an expected spread comes from: scores over images, scores alone, or what a study declares of itself.

Population: pairs of arms of one family, new seeds; and the images of the test split, or images like them. The variances
of all pairs are averaged: single pairs of a few replicates say little. Suffixes: R replicates, N images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.expected import ExpectedSpread
from bakeoff.stats.needed import LIKELY
from bakeoff.stats.variance import Spread

SourceKind = Literal["trials", "earlier", "pilot", "declared", "none"]
"""This study's tested trials, an earlier study's trials, this study's validation scores, its declaration, nothing."""

MIN_SHARED = 200
"""Fewer image-by-pair products than this do not tell what arms make of an image from what a seed makes of it."""


@dataclass(frozen=True, kw_only=True)
class VarianceSource:
    """What is known of a pair's spread, and from what.

    Attributes:
        spread: as expected on the study's test images, new images included; None if nothing is known of seeds.
        study: whose trials it was measured on; empty for none. `num_trials`: how many; `num_replicates`: of each arm.
        split: of the scores.
        degrees: of freedom of the measured variance; None if it was declared.
        images_from: what the images' part rests on.
    """

    kind: SourceKind
    spread: ExpectedSpread | None = None
    study: str = ""
    num_trials: int = 0
    num_replicates: int = 0
    split: Literal["test", "validation"] = "test"
    degrees: float | None = None
    images_from: Literal["predictions", "accuracy", "nothing"] = "nothing"

    @property
    def ends(self) -> tuple[ExpectedSpread, ExpectedSpread] | None:
        """The spread with the ends of the interval of its sd, at confidence LIKELY (chi-squared); None if declared."""
        if self.spread is None or self.degrees is None or self.degrees <= 0 or not self.spread.sd:
            return None
        from scipy.special import chdtri

        tail = (1 - LIKELY) / 2
        small, large = (
            replace(self.spread, sd=self.spread.sd * float(self.degrees / chdtri(self.degrees, chance)) ** 0.5)
            for chance in (tail, 1 - tail)
        )
        return small, large


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


def pool_spreads(spreads: Sequence[Spread], *, is_counted: bool) -> ExpectedSpread:
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
        is_counted=is_counted,
    )


@dataclass(frozen=True, kw_only=True)
class ValidationPair:
    """What two arms score on the validation images, which are drawn anew in every replicate.

    Attributes:
        differences: mean difference of each replicate.
        by_image: for each replicate, index of an image in its source -> difference there.
    """

    differences: NDArray[np.float64]
    by_image: Sequence[Mapping[int, float]]


def pool_validation(pairs: Sequence[ValidationPair], num_test: int | None, *, is_counted: bool) -> ExpectedSpread:
    """Return the spread expected on the test images from differences on validation images.

    A replicate's difference varies by its seed and by its own validation images. The latter's part is measured inside
    replicates and taken off, then that of the test images is put in its place. What arms make of an image is told from
    what a seed makes of it by the images that two replicates share; where they share too few, all counts as the
    images', which no replicates average out: an upper bound.

    Args:
        pairs: of one family, with 2 replicates at least.
        num_test: test images; None if unknown: then as many as validated.
        is_counted: whether an image moves the score by 1 / N at most.
    """
    between = float(np.mean([np.var(pair.differences, ddof=1) for pair in pairs]))
    inside = [np.fromiter(values.values(), np.float64) for pair in pairs for values in pair.by_image]
    per_image = float(np.mean([np.var(values, ddof=1) for values in inside]))
    validated = float(np.mean([len(values) for values in inside]))
    lasting, overlap = _measure_lasting(pairs, per_image)
    seeds = max(0.0, between - (per_image - overlap * lasting) / validated)
    num_images = num_test or round(validated)
    return ExpectedSpread(
        sd=(seeds + (per_image - lasting) / num_images) ** 0.5,
        images=lasting / num_images,
        num_images=num_images,
        is_counted=is_counted,
    )


def _measure_lasting(pairs: Sequence[ValidationPair], per_image: float) -> tuple[float, float]:
    """Return the part of an image's variance that lasts over replicates, and the share of images two have in common.

    The part is the covariance of differences on shared images.
    """
    products: list[float] = []
    shares: list[float] = []
    for pair in pairs:
        for first, second in combinations(range(len(pair.by_image)), 2):
            ours, theirs = pair.by_image[first], pair.by_image[second]
            common = sorted(ours.keys() & theirs.keys())
            shares.append(len(common) / len(ours))
            products += [(ours[n] - pair.differences[first]) * (theirs[n] - pair.differences[second]) for n in common]
    if len(products) < MIN_SHARED:
        return per_image, 0.0
    return float(np.clip(np.mean(products), 0.0, per_image)), float(np.mean(shares))


def pool_scores(
    differences: Sequence[NDArray[np.float64]], *, accuracy: float | None, num_images: int | None, is_counted: bool
) -> ExpectedSpread:
    """Return the spread expected from scores alone: sd over replicates, and the images' part from the accuracy.

    Args:
        differences: of each pair, by replicate, 2 at least.
        accuracy: mean of the arms; None if another metric decides: then nothing is known of the images' part.
        num_images: test images.
        is_counted: whether an image moves the score by 1 / N at most.
    """
    sd = float(np.mean([np.var(each, ddof=1) for each in differences])) ** 0.5
    return _expect(sd, None if accuracy is None else guess_disagreement(accuracy), num_images, is_counted)


def expect_declared(
    sd: float, *, disagreement: float | None, num_images: int | None, is_counted: bool
) -> ExpectedSpread:
    """Return the spread that a study declares: arms that are independent over seeds, so sqrt(2) times the sd of one.

    Args:
        sd: of one arm's score over seeds, on the same test images.
        disagreement: share of images that exactly one of two arms answers rightly, all of it counted as the images'
            part; None if unknown.
        num_images: test images.
        is_counted: whether an image moves the score by 1 / N at most.
    """
    return _expect(2**0.5 * sd, disagreement, num_images, is_counted)


def _expect(sd: float, disagreement: float | None, num_images: int | None, is_counted: bool) -> ExpectedSpread:
    images = disagreement / num_images if disagreement is not None and num_images else 0.0
    return ExpectedSpread(sd=sd, images=images, num_images=num_images, is_counted=is_counted)
