"""Wilson's interval of a share, such as one model's accuracy on its test images."""

from __future__ import annotations


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share, such as the accuracy of one model on n test images.

    Two-sided. Assumes independent images. Unlike p +- z sd it stays within 0..1 and holds near the ends (Wilson 1927,
    "Probable inference, the law of succession, and statistical inference"; Brown, Cai and DasGupta 2001). It speaks of
    the images, not of the seed. For a mean accuracy over replicates give n times that mean: the interval is
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
