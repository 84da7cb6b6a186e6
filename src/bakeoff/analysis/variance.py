"""How much of a difference's uncertainty comes from the seeds and how much from the test images.

Model, for the difference of two arms in replicate r on image n (both crossed: every replicate meets every image):

    d[r, n] = difference + seed[r] + image[n] + rest[r, n]

with independent effects of mean zero. The rest holds the interaction, which cannot be told from error with one answer
per cell. This is the two-way random effects model (Searle, Casella and McCulloch 1992, "Variance components";
for crossed data with a bootstrap in mind Owen 2007, "The pigeonhole bootstrap").

Shape suffixes: R replicates, N images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.analysis.luck import ImageLuck, differences_of
from bakeoff.analysis.measure import Measure, percent


@dataclass(frozen=True, kw_only=True)
class VarianceSplit:
    """The variance of a mean difference, split by where it comes from.

    Attributes:
        difference: mean over replicates and images.
        seeds, images, rest: parts of the variance of `difference`, 0 or more: var(seed) / R, var(image) / N,
            var(rest) / (R N). More replicates lower the first and the last, more images the last two.
        standard_error: root of their sum.
        interval: two-sided, of the difference over seeds and images together; None without any spread. Never narrower
            than the paired t interval over replicates.
        seed_sd, image_sd: standard deviation of a seed's effect and of an image's effect, in the metric's unit.
    """

    difference: float
    seeds: float
    images: float
    rest: float
    standard_error: float
    interval: tuple[float, float] | None
    seed_sd: float
    image_sd: float
    num_replicates: int
    num_images: int
    confidence: float

    @property
    def image_share(self) -> float | None:
        """Share of the variance that no number of replicates removes; None without any variance."""
        total = self.seeds + self.images + self.rest
        return self.images / total if total else None


def split_variance(
    a_RN: NDArray[np.generic], b_RN: NDArray[np.generic], *, confidence: float = 0.95
) -> VarianceSplit | None:
    """Split the variance of the difference of two arms into seeds, images and the rest.

    Estimates by analysis of variance, those below zero taken as zero. Half the width of the interval is the root of the
    sum of two squares: half the width of the paired t interval over replicates, and of a t interval for the images'
    part alone (the method of variance estimates recovery, Zou and Donner 2008; Satterthwaite's degrees of freedom gave
    too narrow intervals at 2 and 3 replicates). Assumes independent replicates and independent images.

    Args:
        a_RN: per replicate and image whether arm a is right, or its score.
        b_RN: the same for arm b, on the same images in the same replicates.
        confidence: strictly between 0 and 1.

    Returns:
        None under 2 replicates or 2 images: then nothing can be split.

    Raises:
        ValueError: shapes that differ or are empty, scores not finite, confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    d_RN, _ = differences_of(a_RN, b_RN)
    r, n = d_RN.shape
    if r < 2 or n < 2:
        return None
    difference = float(d_RN.mean())
    by_seed, by_image, rest = _mean_squares(d_RN)
    seed_variance, image_variance = max(0.0, by_seed - rest) / n, max(0.0, by_image - rest) / r
    parts = seed_variance / r, image_variance / n, rest / (r * n)
    error = sum(parts) ** 0.5
    return VarianceSplit(
        difference=difference,
        seeds=parts[0],
        images=parts[1],
        rest=parts[2],
        standard_error=error,
        interval=_interval(difference, (by_seed / (r * n), r - 1), (parts[1], n - 1), confidence),
        seed_sd=seed_variance**0.5,
        image_sd=image_variance**0.5,
        num_replicates=r,
        num_images=n,
        confidence=confidence,
    )


def write_luck(luck: ImageLuck, split: VarianceSplit | None, measure: Measure) -> str:
    """Say in plain words how much of a difference is the luck of the test images, and what more replicates can do."""
    interval = (
        "" if luck.interval is None else f": {percent(luck.confidence)} interval {measure.interval(luck.interval)}"
    )
    unit = "" if luck.interval is None else measure.unit_of_difference
    sentences = [
        f"The same trained models on {luck.num_images:,} other images of this kind would differ by "
        f"{measure.signed(luck.difference)}{measure.unit_of_difference} give or take"
        f" {measure.distance(luck.standard_error)}{interval}{unit}."
    ]
    if luck.limits:
        sentences.append(f"Caution: {luck.limits}.")
    if split is not None and split.image_share is not None:
        sentences.append(_say_share(split, split.image_share, measure))
    return " ".join(sentences)


def _say_share(split: VarianceSplit, share: float, measure: Measure) -> str:
    together = "" if split.interval is None else f" (seeds and images together: {measure.interval(split.interval)})"
    if share > 0.5:
        return (
            f"{100 * share:.0f}% of the uncertainty is the luck of these images{together}: "
            "more replicates will not lower it, more test images would."
        )
    return (
        f"{100 * share:.0f}% of the uncertainty is the luck of these images, the rest is the seeds'{together}: "
        "more replicates would lower that."
    )


def _mean_squares(d_RN: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean squares of seeds, images and the rest; what is only rounding counts as zero."""
    r, n = d_RN.shape
    mean = d_RN.mean()
    seed_R, image_N = d_RN.mean(axis=1) - mean, d_RN.mean(axis=0) - mean
    rest_RN = d_RN - mean - seed_R[:, None] - image_N
    rounding = (1e-12 * float(np.abs(d_RN).max())) ** 2 * n

    def mean_square(sum_of_squares: float, freedom: int) -> float:
        return 0.0 if sum_of_squares <= rounding * freedom else sum_of_squares / freedom

    return (
        mean_square(float(n * (seed_R**2).sum()), r - 1),
        mean_square(float(r * (image_N**2).sum()), n - 1),
        mean_square(float((rest_RN**2).sum()), (r - 1) * (n - 1)),
    )


def _interval(
    difference: float, seeds: tuple[float, int], images: tuple[float, int], confidence: float
) -> tuple[float, float] | None:
    """Join the intervals of two parts, each a variance with its degrees of freedom."""
    if seeds[0] == images[0] == 0:
        return None
    from scipy.special import stdtrit

    squares = (stdtrit(freedom, 0.5 + confidence / 2) ** 2 * variance for variance, freedom in (seeds, images))
    half_width = float(sum(squares)) ** 0.5
    return difference - half_width, difference + half_width
