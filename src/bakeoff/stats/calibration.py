"""Whether a probability of 0.9 is right nine times in ten: expected calibration error and the reliability table.

Shape suffixes: N images, C classes, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.metrics import MetricError, check_predictions

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The images whose predicted class has a probability above `low` and up to `high` (the first holds 0, too).

    Attributes:
        confidence: mean probability of the predicted class; None for an empty bin.
        accuracy: share of them that is right; None for an empty bin.
    """

    low: float
    high: float
    num_images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Calibration of the predicted class's probability.

    Attributes:
        error: expected calibration error, 0..1: the mean over images of |accuracy - confidence| of their bin.
        confidence: mean probability of the predicted class over all images; above the accuracy, the model is too
            sure of itself.
        bins: the reliability table.
    """

    error: float
    confidence: float
    bins: tuple[ReliabilityBin, ...]


def calibrate(
    probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer], *, num_bins: int = NUM_BINS
) -> Calibration:
    """Measure the expected calibration error over bins of equal width.

    Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", equation 3, with their 15 bins
    ((b - 1) / B, b / B]. An estimate from few images is biased upwards: chance alone keeps a bin's accuracy from its
    confidence.

    Raises:
        MetricError: predictions that `classification_metrics` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    confidence_N = probabilities_NC.max(axis=1).astype(np.float64)
    right_N = probabilities_NC.argmax(axis=1) == labels_N
    edges = np.linspace(0, 1, num_bins + 1)
    bin_N = np.searchsorted(edges[1:-1], confidence_N, side="left")
    count_B = np.bincount(bin_N, minlength=num_bins)
    confidence_B = np.bincount(bin_N, weights=confidence_N, minlength=num_bins)
    right_B = np.bincount(bin_N, weights=right_N, minlength=num_bins)
    bins = tuple(
        ReliabilityBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            num_images=int(count_B[b]),
            confidence=float(confidence_B[b] / count_B[b]) if count_B[b] else None,
            accuracy=float(right_B[b] / count_B[b]) if count_B[b] else None,
        )
        for b in range(num_bins)
    )
    error = float(np.abs(right_B - confidence_B).sum() / len(labels_N))
    return Calibration(error, float(confidence_N.mean()), bins)


def pool_bins(calibrations: Sequence[Calibration]) -> tuple[ReliabilityBin, ...]:
    """Return the reliability table of several models' predictions together; all of them have the same bins.

    Raises:
        MetricError: no model, or other bins.
    """
    edges = {tuple((each.low, each.high) for each in calibration.bins) for calibration in calibrations}
    if len(edges) != 1:
        raise MetricError("reliability tables can only be pooled where there are some, all with the same bins")
    return tuple(map(_pool, zip(*(calibration.bins for calibration in calibrations), strict=True)))


def _pool(bins: Sequence[ReliabilityBin]) -> ReliabilityBin:
    num_images = sum(each.num_images for each in bins)
    confidence = sum((each.confidence or 0.0) * each.num_images for each in bins)
    right = sum((each.accuracy or 0.0) * each.num_images for each in bins)
    return ReliabilityBin(
        low=bins[0].low,
        high=bins[0].high,
        num_images=num_images,
        confidence=confidence / num_images if num_images else None,
        accuracy=right / num_images if num_images else None,
    )
