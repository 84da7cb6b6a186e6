"""One-vs-rest ROC curves and the areas under them.

Shape suffixes: N images, C classes, P points of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.analysis.metrics import check_predictions

MAX_POINTS = 200
"""Points kept of a curve: more than a screen shows. The area is computed before any is dropped."""


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve from (0, 0) to (1, 1).

    Attributes:
        false_positive_rates: share of the other classes' images called this class, rising.
        true_positive_rates: share of this class's images called this class, rising.
        auc: area under the whole curve, 0..1: the chance that an image of this class has a higher probability of it
            than an image of another class (ties count half).
    """

    false_positive_rates: tuple[float, ...]
    true_positive_rates: tuple[float, ...]
    auc: float


def trace_roc_curves(
    probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer], *, max_points: int = MAX_POINTS
) -> tuple[RocCurve | None, ...]:
    """Trace the one-vs-rest ROC curve of every class; None where no image, or every image, is of that class.

    Fawcett (2006), "An introduction to ROC analysis"; the area by trapezoids, equal to Mann and Whitney's U / (n m).

    Args:
        probabilities_NC: [N, C].
        labels_N: [N], 0..C-1.
        max_points: at most this many points are kept of a curve, both ends among them; 2 or more.

    Raises:
        MetricError: predictions that `classification_metrics` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    num_classes = probabilities_NC.shape[1]
    return tuple(trace_roc_curve(probabilities_NC[:, c], labels_N == c, max_points) for c in range(num_classes))


def trace_roc_curve(
    scores_N: NDArray[np.floating], positive_N: NDArray[np.bool_], max_points: int = MAX_POINTS
) -> RocCurve | None:
    """Trace the ROC curve of one score; None unless there are both positive and other images."""
    num_positive = int(positive_N.sum())
    num_negative = len(positive_N) - num_positive
    if num_positive == 0 or num_negative == 0:
        return None
    order_N = np.argsort(-scores_N, kind="stable")
    # Images of equal score enter together: one point where the next score differs, and one at the end.
    ends_P = np.append(np.flatnonzero(np.diff(scores_N[order_N])), len(scores_N) - 1)
    hits_P = np.concatenate(([0], np.cumsum(positive_N[order_N])[ends_P]))
    alarms_P = np.concatenate(([0], 1 + ends_P)) - hits_P
    area = np.sum(np.diff(alarms_P) * (hits_P[1:] + hits_P[:-1])) / 2
    kept_P = _thin(hits_P, alarms_P, max_points)
    return RocCurve(
        tuple((alarms_P[kept_P] / num_negative).tolist()),
        tuple((hits_P[kept_P] / num_positive).tolist()),
        float(area / (num_positive * num_negative)),
    )


def _thin(hits_P: NDArray[np.int64], alarms_P: NDArray[np.int64], max_points: int) -> NDArray[np.int64]:
    """Return the points to keep: first the corners alone, then, where these are too many, evenly spaced ones."""
    turns = np.diff(hits_P)[:-1] * np.diff(alarms_P)[1:] != np.diff(hits_P)[1:] * np.diff(alarms_P)[:-1]
    corners = np.flatnonzero(np.concatenate(([True], turns, [True])))
    if len(corners) <= max_points:
        return corners
    return corners[np.round(np.linspace(0, len(corners) - 1, max_points)).astype(np.int64)]
