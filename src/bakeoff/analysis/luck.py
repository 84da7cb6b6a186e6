"""How much of a result is the luck of these test images: Wilson intervals and a bootstrap over images.

Replicates tell how much a result owes to its seed; they cannot tell how much it owes to the test images, which are the
same in every replicate. Both are needed to say that an arm will be better on other images, too.

Shape suffixes: R replicates, N images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW_IMAGES = 20
"""With fewer images that tell two arms apart, a bootstrap interval is not to be relied on."""

_CHUNK = 2**22


@dataclass(frozen=True, kw_only=True)
class ImageLuck:
    """How far the difference of two arms would move with other test images of the same kind, the trained models kept.

    Attributes:
        difference: mean of a - b over images and replicates.
        interval: of the difference over test sets like this one, at `confidence`; None where it cannot be had.
        standard_error: of the difference over test sets, from the resamples; 0 where no image tells the arms apart.
        num_images: test images; `num_telling`: those on which the arms differ in any replicate on average.
        num_replicates: models per arm that are averaged.
        method: how the interval was had.
        limits: what to doubt about it, as a sentence; empty for nothing in particular.
    """

    difference: float
    interval: tuple[float, float] | None
    standard_error: float
    num_images: int
    num_telling: int
    num_replicates: int
    confidence: float
    method: str
    limits: str


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share, such as the accuracy of one model on n test images.

    Two-sided. Assumes independent images. Unlike p +- z sd it stays within 0..1 and holds near the ends (Wilson 1927,
    "Probable inference, the law of succession, and statistical inference"; Brown, Cai and DasGupta 2001). It speaks of
    the luck of the images, not of the seed. For a mean accuracy over replicates give n times that mean: the interval is
    then cautious, because averaging over seeds lowers the spread of an image.

    Args:
        successes: images answered right, 0..n.
        n: images; none gives (0, 1): nothing is known.
        confidence: strictly between 0 and 1.

    Raises:
        ValueError: successes or confidence out of range.
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"successes must lie in 0..n and confidence in 0..1, not {successes} of {n}, {confidence}")
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half_width = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5 / (1 + z2 / n)
    # Rounding must not take the end off 0 or 1, where it belongs when no image or every image is answered right.
    low = 0.0 if successes == 0 else max(0.0, centre - half_width)
    return low, 1.0 if successes == n else min(1.0, centre + half_width)


def bootstrap_difference(
    a_RN: NDArray[np.generic],
    b_RN: NDArray[np.generic],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> ImageLuck:
    """Say how much of the difference of two arms is the luck of these test images.

    What is resampled: images, N of N with replacement, each with its answers by both arms in all replicates, so that
    pairing is kept; the trained models stay. Two-sided BCa interval (bias-corrected and accelerated; Efron 1987,
    "Better bootstrap confidence intervals"). Assumes that images are independent draws of one population. Seeds are
    not resampled: see `split_variance` for both together.

    Where no image is answered differently there is nothing to resample: for answers right or wrong the interval is then
    the "rule of three" (Hanley and Lippman-Hand 1983), for other scores None.

    Args:
        a_RN: per replicate and image whether arm a is right (bool), or its score on the image, such as a loss.
        b_RN: the same for arm b, on the same images.
        confidence: strictly between 0 and 1.
        num_resamples: at least 100.
        seed: of the resampling; the same gives the same.

    Raises:
        ValueError: shapes that differ or are empty, scores not finite, confidence or num_resamples out of range.
    """
    d_RN, right_or_wrong = differences_of(a_RN, b_RN)
    if not 0 < confidence < 1 or num_resamples < 100:
        raise ValueError(
            f"confidence must lie in 0..1 and num_resamples be 100 or more, not {confidence}, {num_resamples}"
        )
    image_N = d_RN.mean(axis=0)
    num_images, num_telling = len(image_N), int(np.count_nonzero(image_N))
    difference, interval, error = float(image_N.mean()), None, 0.0
    if np.ptp(image_N) > 1e-12 * np.abs(image_N).max():
        means = _resample_means(image_N, num_resamples, np.random.default_rng(seed))
        interval, error = _interval_bca(image_N, means, confidence), float(means.std(ddof=1))
        method = f"BCa bootstrap over images, {num_resamples:,} resamples"
    elif num_telling == 0 and right_or_wrong:
        bound = 1 - (1 - confidence) ** (1 / num_images)
        interval, method = (-bound, bound), "rule of three"
    else:
        method = "none: every image says the same"
    return ImageLuck(
        difference=difference,
        interval=interval,
        standard_error=error,
        num_images=num_images,
        num_telling=num_telling,
        num_replicates=len(a_RN),
        confidence=confidence,
        method=method,
        limits=_limits(num_images, num_telling),
    )


def differences_of(a_RN: NDArray[np.generic], b_RN: NDArray[np.generic]) -> tuple[NDArray[np.float64], bool]:
    """Return a - b per replicate and image, and whether all scores are 0 or 1.

    Raises:
        ValueError: shapes that differ or are empty, or scores not finite.
    """
    if a_RN.shape != b_RN.shape or a_RN.ndim != 2 or 0 in a_RN.shape:
        raise ValueError(
            f"scores must be two arrays of one shape, replicates x images, not {a_RN.shape} and {b_RN.shape}"
        )
    a, b = a_RN.astype(np.float64), b_RN.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("scores must be finite")
    return a - b, bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all())


def _resample_means(values_N: NDArray[np.float64], num_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means of resamples of `values_N`, drawn with replacement."""
    num_images = len(values_N)
    distinct, counts = np.unique(values_N, return_counts=True)
    if len(distinct) <= 64:
        # How often each distinct value is drawn is multinomial: the same resamples, without drawing the images.
        drawn = rng.multinomial(num_images, counts / num_images, size=num_resamples)
        return np.asarray(drawn @ distinct / num_images)
    step = max(1, _CHUNK // num_images)
    means = [
        values_N[rng.integers(0, num_images, (min(step, num_resamples - start), num_images))].mean(axis=1)
        for start in range(0, num_resamples, step)
    ]
    return np.concatenate(means)


def _interval_bca(values_N: NDArray[np.float64], means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    observed = values_N.mean()
    tolerance = 1e-12 * np.abs(values_N).max()
    below = (means < observed - tolerance).mean()
    ties = (np.abs(means - observed) <= tolerance).mean()
    # Clipped: with every resample on one side the correction would be infinite.
    bias = ndtri(np.clip(below + ties / 2, 1 / (2 * len(means)), 1 - 1 / (2 * len(means))))
    centred_N = values_N - observed
    # The jackknife's acceleration of a mean is a sixth of its skewness over sqrt(N).
    acceleration = (centred_N**3).sum() / (6 * (centred_N**2).sum() ** 1.5)
    z = ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
    shares = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
    low, high = np.quantile(means, shares)
    return float(low), float(high)


def _limits(num_images: int, num_telling: int) -> str:
    if num_telling == 0:
        return f"no image tells the arms apart: {num_images:,} images bound the difference, and no more"
    if num_telling < FEW_IMAGES:
        plural = "image tells" if num_telling == 1 else "images tell"
        return f"only {num_telling} of {num_images:,} {plural} the arms apart: too few for a reliable interval"
    return ""
