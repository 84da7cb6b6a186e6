"""Wilson's interval of a share, such as one model's accuracy on its test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.variance import sum_groups


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share, such as the accuracy of one model on n test images.

    Two-sided. Assumes independent images; of groups of images give as many as `count_effective` does. Unlike p +- z sd
    it stays within 0..1 and holds near the ends (Wilson 1927, "Probable inference, the law of succession, and
    statistical inference"; Brown, Cai and DasGupta 2001). It speaks of the images, not of the seed. For a mean accuracy
    over replicates give n times that mean: the interval is then cautious, because averaging over seeds lowers the
    spread of an image.

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


def count_effective(hits_N: NDArray[np.generic], groups_N: NDArray[np.integer], confidence: float = 0.95) -> float:
    """Return how many independent images say as much about a share as these, which come in groups.

    The share's binomial variance over its cluster-robust one, with the quantiles of t for few groups (Korn and Graubard
    1998, "Confidence intervals for proportions with small expected number of positive counts estimated from survey
    data"). As many as groups where nothing varies; never more than images.

    Args:
        hits_N: share of right answers to every image, 0..1; over replicates its mean.
        groups_N: the group of every image.
        confidence: of the interval that they are for.
    """
    from scipy.special import stdtrit

    values_G = sum_groups(np.asarray(hits_N, dtype=np.float64)[None], groups_N)[0]
    num_images, num_groups, share = len(groups_N), len(values_G), float(values_G.mean())
    variance = float(values_G.var(ddof=1)) / num_groups if num_groups > 1 else 0.0
    if not variance:
        return float(num_groups)
    tail = 0.5 + confidence / 2
    factor = float(stdtrit(num_images - 1, tail) / stdtrit(num_groups - 1, tail)) ** 2
    return min(float(num_images), max(1.0, share * (1 - share) / variance * factor))
