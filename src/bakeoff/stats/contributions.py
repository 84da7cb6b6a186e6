"""What each image contributes to a model's score, so that a difference's variance over images can be measured.

A score is the mean of its images' contributions: exactly for accuracy and loss. Macro averages are not means over
images; there an image contributes the score plus its influence on it (the infinitesimal jackknife; Efron 1982, "The
jackknife, the bootstrap and other resampling plans", chapter 6), whose mean is the score and whose variance over images
is, to first order, N times the score's.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bakeoff.registry import bind
from bakeoff.stats.metrics import METRICS, Predictions


def contribute(
    metric: str, probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]
) -> NDArray[np.generic] | None:
    """Return what each image contributes to one model's score: [N], with the score as its mean.

    Small types, for many models are held at once: bool for accuracy, float32 for the others. None for a metric of
    which it is not known.

    Args:
        metric: a name of METRICS.
        probabilities_NC: [N, C], finite.
        labels_N: [N], 0..C-1.
    """
    record = METRICS.get(metric)
    if record is None or not record.contribute:
        return None
    contributions_N: NDArray[np.generic] = bind(record.contribute)(Predictions(probabilities_NC, labels_N))
    return contributions_N


def contribute_hits(predictions: Predictions) -> NDArray[np.bool_]:
    """Return which images are called rightly."""
    return np.asarray(predictions.probabilities_NC.argmax(axis=1) == predictions.labels_N)


def contribute_losses(predictions: Predictions) -> NDArray[np.float32]:
    """Return every image's negative log likelihood."""
    labels_N = predictions.labels_N
    right_N = predictions.probabilities_NC[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return np.asarray(-np.log(np.clip(right_N, np.finfo(np.float32).tiny, 1.0)), dtype=np.float32)


def contribute_to_recall(predictions: Predictions) -> NDArray[np.float32]:
    """Return what images contribute to the mean of hits by images of the class."""
    return _contribute_to_ratio(1, 1, 0, predictions)


def contribute_to_precision(predictions: Predictions) -> NDArray[np.float32]:
    """Return what images contribute to the mean of hits by images called so."""
    return _contribute_to_ratio(1, 0, 1, predictions)


def contribute_to_f1(predictions: Predictions) -> NDArray[np.float32]:
    """Return what images contribute to the mean of twice the hits by images of the class and images called so."""
    return _contribute_to_ratio(2, 1, 1, predictions)


def _contribute_to_ratio(
    of_hits: int, of_occurring: int, of_called: int, predictions: Predictions
) -> NDArray[np.float32]:
    """Contribute to the mean over classes of `h hits / (o occurring + q called)`."""
    probabilities_NC, labels_N = predictions.probabilities_NC, predictions.labels_N
    confusion_CC = predictions.confusion_CC.astype(np.float64)
    called_N = probabilities_NC.argmax(axis=1)
    hits_C, occurring_C, predicted_C = confusion_CC.diagonal(), confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    size_C = np.maximum(of_occurring * occurring_C + of_called * predicted_C, 1)
    ratio_C = of_hits * hits_C / size_C
    counted_C = occurring_C > 0
    # The derivative of every class's ratio by the image's weight; an image moves its own class and the one called.
    own_N = (of_hits * (called_N == labels_N) - of_occurring * ratio_C[labels_N]) / size_C[labels_N]
    other_N = of_called * ratio_C[called_N] / size_C[called_N]
    influence_N = own_N * counted_C[labels_N] - other_N * counted_C[called_N]
    score = float(ratio_C[counted_C].mean())
    return np.asarray(score + len(labels_N) / counted_C.sum() * influence_N, dtype=np.float32)
