"""One-vs-rest ROC curves and the areas under them.

Shape suffixes: N images, C classes, P points of a curve.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.metrics import check_predictions

MOST_PLACES = 4_000
"""Places at which curves are averaged, more than a screen shows; the area is averaged by itself."""

_MANY_CURVES, _LEAST_PLACES = 500, 400
"""Of more curves than this the mean is smooth, and looked at in fewer places."""

_FEW_POSITIVES = 16
"""Images of a class up to which counting the others for each of them is faster than sorting all."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """A ROC curve from (0, 0) to (1, 1), by its corners.

    Attributes:
        false_positive_rates: float64 [P], share of the other classes' images called this class, rising.
        true_positive_rates: float64 [P], share of this class's images called this class, rising.
        auc: area under the whole curve, 0..1: the chance that an image of this class has a higher probability of it
            than an image of another class (ties count half).
    """

    false_positive_rates: NDArray[np.float64]
    true_positive_rates: NDArray[np.float64]
    auc: float


def trace_roc_curves(
    probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> tuple[RocCurve | None, ...]:
    """Trace the one-vs-rest ROC curve of every class; None where no image, or every image, is of that class.

    Fawcett (2006), "An introduction to ROC analysis"; the area by trapezoids, equal to Mann and Whitney's U / (n m).

    Args:
        probabilities_NC: [N, C].
        labels_N: [N], 0..C-1.

    Raises:
        MetricError: predictions that `classification_metrics` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    scores_CN = np.ascontiguousarray(probabilities_NC.T)
    return tuple(trace_roc_curve(scores_N, labels_N == c) for c, scores_N in enumerate(scores_CN))


def trace_roc_curve(scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_]) -> RocCurve | None:
    """Trace the ROC curve of one score; None unless there are both positive and other images."""
    num_positive = int(positive_N.sum())
    num_negative = len(positive_N) - num_positive
    if num_positive == 0 or num_negative == 0:
        return None
    count = _count_by_positives if num_positive <= _FEW_POSITIVES else _count_by_sorting
    alarms_P, hits_P = count(scores_N, positive_N)
    area = np.sum(np.diff(alarms_P) * (hits_P[1:] + hits_P[:-1])) / 2
    turns = np.diff(hits_P)[:-1] * np.diff(alarms_P)[1:] != np.diff(hits_P)[1:] * np.diff(alarms_P)[:-1]
    corners_P = np.flatnonzero(np.concatenate(([True], turns, [True])))
    return RocCurve(
        alarms_P[corners_P] / num_negative,
        hits_P[corners_P] / num_positive,
        float(area / (num_positive * num_negative)),
    )


def _count_by_sorting(scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """Return the other images and those of the class that lie above each score, from none to all."""
    order_N = np.argsort(-scores_N, kind="stable")
    # Images of equal score enter together: one point where the next score differs, and one at the end.
    ends_P = np.append(np.flatnonzero(np.diff(scores_N[order_N])), len(scores_N) - 1)
    hits_P = np.concatenate(([0], np.cumsum(positive_N[order_N])[ends_P]))
    return np.concatenate(([0], 1 + ends_P)) - hits_P, hits_P


def _count_by_positives(scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """Return the same at the scores of the class's own images alone: a curve turns nowhere else.

    Of thousands of classes each has few images, and sorting all others for every class takes minutes.
    """
    own, sizes = np.unique(scores_N[positive_N], return_counts=True)
    above = [int(np.count_nonzero(scores_N > score)) for score in own[::-1]]
    level = [int(np.count_nonzero(scores_N == score)) for score in own[::-1]]
    hits = np.concatenate(([0], np.cumsum(sizes[::-1])))
    # Before and after the images of every score enter.
    hits_P = np.concatenate((np.stack([hits[:-1], hits[1:]], axis=1).ravel(), hits[-1:]))
    entered = np.stack([above, np.add(above, level)], axis=1).ravel()
    alarms_P = np.concatenate((entered, [len(scores_N)])) - hits_P
    points = np.concatenate(([[0, 0]], np.stack([alarms_P, hits_P], axis=1)))
    points = points[np.concatenate(([True], (np.diff(points, axis=0) != 0).any(axis=1)))]
    return points[:, 0], points[:, 1]


def average_roc_curves(curves: Sequence[RocCurve]) -> RocCurve:
    """Average one curve or more vertically: at every false positive rate the mean of their true positive rates.

    Where a curve rises steeply the foot and the top are averaged apart, so the area under the mean curve is the mean of
    the areas. With more corners than MOST_PLACES, evenly chosen ones are looked at, and fewer for over 500 curves; the
    area stays exact. Fawcett (2006), section 8.1.
    """
    places_P = np.unique(np.concatenate([curve.false_positive_rates for curve in curves]))
    most = max(_LEAST_PLACES, MOST_PLACES * _MANY_CURVES // max(len(curves), _MANY_CURVES))
    if len(places_P) > most:
        places_P = places_P[np.round(np.linspace(0, len(places_P) - 1, most)).astype(np.int64)]
    means_2P = np.zeros((2, len(places_P)))
    for curve in curves:  # one by one: thousands of classes do not fit beside each other
        means_2P += _read_curve(curve, places_P)
    means_2P /= len(curves)
    rates_P, heights_P = np.repeat(places_P, 2), means_2P.T.ravel()
    return RocCurve(rates_P, heights_P, float(np.mean([curve.auc for curve in curves])))


def thin_roc_curve(curve: RocCurve, max_points: int) -> tuple[RocCurve, float]:
    """Keep the points that matter most, by Ramer, Douglas and Peucker.

    Args:
        curve: what is thinned; its area stays.
        max_points: at most so many points are kept, both ends among them; 2 or more.

    Returns:
        The thinned curve, and how far the whole one leaves it at most: 0..1, in the unit of the rates.
    """
    points_P2 = np.stack([curve.false_positive_rates, curve.true_positive_rates], axis=1)
    kept = {0, len(points_P2) - 1}
    open_spans = [_find_farthest(points_P2, 0, len(points_P2) - 1)]
    while open_spans[0][0] < 0 and len(kept) < max_points:
        _, start, middle, end = heapq.heappop(open_spans)
        kept.add(middle)
        heapq.heappush(open_spans, _find_farthest(points_P2, start, middle))
        heapq.heappush(open_spans, _find_farthest(points_P2, middle, end))
    rates_P, heights_P = points_P2[sorted(kept)].T
    return RocCurve(rates_P, heights_P, curve.auc), -open_spans[0][0]


def _read_curve(curve: RocCurve, places_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the foot and the top of a curve at every place, [2, P]: the same but where it rises steeply."""
    rates, heights = curve.false_positive_rates, curve.true_positive_rates
    before_P = np.searchsorted(rates, places_P, side="left") - 1
    after_P = np.searchsorted(rates, places_P, side="right")
    is_corner_P = after_P - before_P > 1
    left_P, right_P = np.maximum(before_P, 0), np.minimum(after_P, len(rates) - 1)
    width_P = np.where(is_corner_P, 1.0, rates[right_P] - rates[left_P])
    share_P = (places_P - rates[left_P]) / width_P
    between_P = heights[left_P] + share_P * (heights[right_P] - heights[left_P])
    foot_P = np.where(is_corner_P, heights[np.minimum(before_P + 1, len(rates) - 1)], between_P)
    top_P = np.where(is_corner_P, heights[after_P - 1], between_P)
    return np.stack([foot_P, top_P])


def _find_farthest(points_P2: NDArray[np.float64], start: int, end: int) -> tuple[float, int, int, int]:
    """Return (minus the distance, start, point, end) of the point between two that is farthest from their line."""
    (x, y), (dx, dy) = points_P2[start], points_P2[end] - points_P2[start]
    inner_P2 = points_P2[start + 1 : end]
    length = float(np.hypot(dx, dy))
    if not len(inner_P2) or length == 0:
        return 0.0, start, start, end
    distances = np.abs((inner_P2[:, 0] - x) * dy - (inner_P2[:, 1] - y) * dx) / length
    farthest = int(distances.argmax())
    # Less than rounding makes of a straight line is none.
    distance = float(distances[farthest])
    return (-distance if distance > 1e-12 else 0.0), start, start + 1 + farthest, end
