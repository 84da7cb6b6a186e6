"""How good a set of predictions is: accuracy, loss and the macro averages, from probabilities.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import BakeoffError, nearest


class MetricError(BakeoffError):
    """A metric has an unknown name, or predictions cannot be scored."""


CLASSES_ABSENT = "classes_absent"
"""Beside the metrics: how many classes have no image, so that macro averages leave them out. Missing where none."""


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """One metric and how to read it.

    Attributes:
        name: as a study file and the ledger spell it.
        label: as a person reads it.
        summary: one line.
        higher_is_better: False for losses.
        is_share: a share in 0..1, shown as a percentage and compared in percentage points.
        source: where it is defined.
    """

    name: str
    label: str
    summary: str
    higher_is_better: bool
    is_share: bool
    source: str


METRICS: tuple[MetricRecord, ...] = (
    MetricRecord(
        name="accuracy",
        label="accuracy",
        summary="share of images whose most probable class is the right one",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.accuracy_score",
    ),
    MetricRecord(
        name="loss",
        label="loss",
        summary="mean negative log likelihood of the right class, in nats",
        higher_is_better=False,
        is_share=False,
        source="sklearn.metrics.log_loss, clipped at the smallest normal float32",
    ),
    MetricRecord(
        name="macro_precision",
        label="macro precision",
        summary="precision of every class, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.precision_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
    ),
    MetricRecord(
        name="macro_recall",
        label="macro recall",
        summary="recall of every class, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.recall_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
    ),
    MetricRecord(
        name="macro_f1",
        label="macro F1",
        summary="harmonic mean of precision and recall, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.f1_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
    ),
)


def find_metric(name: str) -> MetricRecord:
    """Return the metric called `name`.

    Raises:
        MetricError: no metric has this name; the message lists all and the nearest.
    """
    for record in METRICS:
        if record.name == name:
            return record
    choices = [record.name for record in METRICS]
    raise MetricError(f"unknown metric '{name}'; choose one of {', '.join(choices)}.{nearest(name, choices)}")


def classification_metrics(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> dict[str, float]:
    """Score predictions by every metric of METRICS.

    The predicted class is the most probable one (the first among equals). Macro averages run over the classes that
    occur; one of them that is never predicted has precision 0 (scikit-learn with `labels=numpy.unique(labels),
    zero_division=0`). Where some never occur, `classes_absent` says how many. The probability of the right class is
    clipped to [1.2e-38, 1], so one confident mistake costs at most 87.3 nats and the loss is always finite.

    Args:
        probabilities_NC: [N, C], 0..1, rows summing to 1 (not checked: rounding differs by numeric mode).
        labels_N: [N], 0..C-1.

    Raises:
        MetricError: no images, shapes that do not match, labels out of range, or a probability that is NaN or
            infinite (a network that diverged has no score).
    """
    check_predictions(probabilities_NC, labels_N)
    num_images = len(labels_N)
    confusion_CC = count_confusion(probabilities_NC, labels_N)
    hits_C = confusion_CC.diagonal().astype(np.float64)
    occurring_C, predicted_C = confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    occurs_C = occurring_C > 0
    num_absent = len(occurs_C) - int(occurs_C.sum())
    right_N = probabilities_NC[np.arange(num_images), labels_N].astype(np.float64)
    return {
        "accuracy": float(hits_C.sum() / num_images),
        "loss": float(-np.log(np.clip(right_N, np.finfo(np.float32).tiny, 1.0)).mean() + 0.0),
        "macro_precision": _mean_ratio(hits_C, predicted_C, occurs_C),
        "macro_recall": _mean_ratio(hits_C, occurring_C, occurs_C),
        "macro_f1": _mean_ratio(2 * hits_C, occurring_C + predicted_C, occurs_C),
        **({CLASSES_ABSENT: float(num_absent)} if num_absent else {}),
    }


def count_confusion(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the confusion matrix in counts: rows are true classes, columns the most probable ones.

    Unchecked: see `check_predictions`.
    """
    num_classes = probabilities_NC.shape[1]
    # int64 first: labels of a small integer type would overflow in the product.
    cells_N = labels_N.astype(np.int64) * num_classes + probabilities_NC.argmax(axis=1)
    return np.bincount(cells_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def _mean_ratio(
    numerators_C: NDArray[np.float64], denominators_C: NDArray[np.integer], occurs_C: NDArray[np.bool_]
) -> float:
    """Return the mean over the classes that occur."""
    # A zero denominator always has a zero numerator, so dividing by 1 gives the 0 that zero_division=0 asks for.
    return float((numerators_C / np.maximum(denominators_C, 1))[occurs_C].mean())


def check_predictions(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> None:
    """Refuse predictions that have no score; see `classification_metrics`.

    Raises:
        MetricError: naming what is wrong.
    """
    if probabilities_NC.ndim != 2 or labels_N.shape != probabilities_NC.shape[:1]:
        raise MetricError(
            f"probabilities of shape {probabilities_NC.shape} do not fit labels of shape {labels_N.shape}; "
            "give one row of class probabilities for each label"
        )
    if 0 in probabilities_NC.shape:
        raise MetricError("there is no image to score; give at least one image and one class")
    num_classes = probabilities_NC.shape[1]
    if labels_N.min() < 0 or labels_N.max() >= num_classes:
        raise MetricError(
            f"labels run from {labels_N.min()} to {labels_N.max()}, outside 0..{num_classes - 1}; "
            "give one probability for every class"
        )
    if not np.isfinite(probabilities_NC).all():
        raise MetricError("some predicted probabilities are NaN or infinite: the network diverged and has no score")
