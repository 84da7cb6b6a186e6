"""Temperature scaling: probabilities that fit frequencies, by one number fitted on validation images.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from bakeoff.stats.metrics import check_predictions

TINY = float(np.finfo(np.float32).tiny)
"""Probabilities are clipped here before their logarithm is taken, as in the loss of a trial."""

RANGE = (0.05, 20.0)
"""Temperatures that are considered: beyond them the validation images were all right, or all chance."""


def fit_temperature(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> float:
    """Return the temperature of least log loss: above 1 for a model that is too sure of itself.

    Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks", section 4.2. The loss is convex
    in the inverse temperature, so the minimum is unique.

    Args:
        probabilities_NC: predicted on images that did not train the model, rows summing to 1.
        labels_N: true classes.

    Raises:
        MetricError: shapes or values that `check_predictions` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    logits_NC = _log(probabilities_NC)
    rows = np.arange(len(labels_N))

    def loss(log_temperature: float) -> float:
        scaled_NC = logits_NC / np.exp(log_temperature)
        return float(np.mean(_sum_exponentials(scaled_NC) - scaled_NC[rows, labels_N]))

    low, high = np.log(RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def scale(probabilities_NC: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return the softmax of the probabilities' logarithms divided by a temperature, [N, C]; the order stays."""
    scaled_NC = _log(probabilities_NC) / temperature
    found: NDArray[np.float64] = np.exp(scaled_NC - _sum_exponentials(scaled_NC)[:, np.newaxis])
    return found


def _log(probabilities_NC: NDArray[np.floating]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log(np.maximum(probabilities_NC.astype(np.float64), TINY))
    return found


def _sum_exponentials(logits_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = logsumexp(logits_NC, axis=1)
    return found
