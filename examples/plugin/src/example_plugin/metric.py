"""A metric: the squared error of the probabilities."""

import numpy as np

from bakeoff.stats.metrics import MetricRecord, Predictions


def measure_brier(predictions: Predictions) -> float:
    """Return the mean over images of the squared distance of probabilities from the right class."""
    right_NC = np.eye(predictions.probabilities_NC.shape[1])[predictions.labels_N]
    return float(np.square(predictions.probabilities_NC - right_NC).sum(axis=1).mean())


BRIER_SCORE = MetricRecord(
    name="brier_score",
    label="Brier score",
    summary="mean squared error of the probabilities",
    higher_is_better=False,
    is_share=False,
    source="Brier (1950)",
    compute=measure_brier,
    chance=lambda num_classes: 1 - 1 / num_classes,
)
