"""How good a set of predictions is: accuracy, loss and the macro averages, from probabilities.

Shape suffixes: N images, C classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import BakeoffError, UnknownNameError, nearest
from bakeoff.registry import Implementation, Registry, bind


class MetricError(BakeoffError, code="BK310"):
    """A metric has an unknown name, or predictions cannot be scored."""


class UnknownMetricError(UnknownNameError, MetricError):
    """No metric or vote has this name."""


CLASSES_ABSENT = "classes_absent"
"""Beside the metrics: how many classes have no image, so that macro averages leave them out. Missing where none."""


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """One metric and how to read it.

    Attributes:
        name: as in a study file and the ledger.
        label: as a person reads it.
        summary: one line.
        higher_is_better: False for losses.
        is_share: a share in 0..1, shown as a percentage and compared in percentage points.
        source: where it is defined.
        compute: of `Predictions`, the score.
        chance: of the number of classes, what guessing scores on classes of equal size.
        contribute: of `Predictions`, what each image contributes, [N], with the score as its mean; empty where that is
            not known, and then nothing is said of how much of a difference the images may account for.
        counts_images: whether it is the share of images answered rightly, so that each counts 1 / N.
        always: whether every trial is scored by it; if not, those of studies that name it.
        unit: of a metric that is no share, for names of columns.
        needs_probabilities: whether it says nothing of predictions that are classes alone.
        is_column: whether it is a column of another tool's results: its label is the column's name, which tells, if
            anything does, which images it is of.
    """

    name: str
    label: str
    summary: str
    higher_is_better: bool
    is_share: bool
    source: str
    compute: Implementation
    chance: Implementation
    contribute: Implementation = ""
    counts_images: bool = False
    always: bool = True
    unit: str = "nats"
    needs_probabilities: bool = False
    is_column: bool = False

    @property
    def column(self) -> str:
        """Its name in tables: a function's without its settings, with the beginning of its code's hash."""
        name, _, settings = self.name.partition(" (")
        return re.sub(r"\W+", "_", name) + (f"_{settings.rpartition(' ')[2][:4]}" if settings else "")


@dataclass(frozen=True)
class Predictions:
    """What one model predicts, and what is right.

    Attributes:
        probabilities_NC: [N, C], 0..1, finite.
        labels_N: [N], 0..C-1.
    """

    probabilities_NC: NDArray[np.floating]
    labels_N: NDArray[np.integer]

    @cached_property
    def confusion_CC(self) -> NDArray[np.int64]:
        """The confusion matrix in counts: rows are true classes, columns the most probable ones."""
        return count_confusion(self.probabilities_NC, self.labels_N)


def share_of_classes(num_classes: int) -> float:
    """Return what classes named at random score in accuracy, macro precision, recall and F1."""
    return 1 / num_classes


def certain_guess(num_classes: int) -> float:
    """Return the share of images that guesses miss: the calibration error of one who is sure of them.

    It is also the Brier score of equal probabilities.
    """
    return 1 - 1 / num_classes


_CONTRIBUTIONS = "bakeoff.stats.contributions"
_FURTHER = "bakeoff.stats.further_metrics"

_OURS: tuple[MetricRecord, ...] = (
    MetricRecord(
        name="accuracy",
        label="accuracy",
        summary="share of images whose most probable class is the right one",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.accuracy_score",
        compute="bakeoff.stats.metrics:compute_accuracy",
        chance=share_of_classes,
        contribute=f"{_CONTRIBUTIONS}:contribute_hits",
        counts_images=True,
    ),
    MetricRecord(
        name="loss",
        label="loss",
        summary="mean negative log likelihood of the right class, in nats",
        higher_is_better=False,
        is_share=False,
        source="sklearn.metrics.log_loss, clipped at the smallest normal float32",
        compute="bakeoff.stats.metrics:compute_loss",
        chance=math.log,
        contribute=f"{_CONTRIBUTIONS}:contribute_losses",
        needs_probabilities=True,
    ),
    MetricRecord(
        name="macro_precision",
        label="macro precision",
        summary="precision of every class, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.precision_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
        compute="bakeoff.stats.metrics:compute_precision",
        chance=share_of_classes,
        contribute=f"{_CONTRIBUTIONS}:contribute_to_precision",
    ),
    MetricRecord(
        name="macro_recall",
        label="macro recall",
        summary="recall of every class, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.recall_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
        compute="bakeoff.stats.metrics:compute_recall",
        chance=share_of_classes,
        contribute=f"{_CONTRIBUTIONS}:contribute_to_recall",
    ),
    MetricRecord(
        name="macro_f1",
        label="macro F1",
        summary="harmonic mean of precision and recall, averaged with equal weight over the classes that occur",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.f1_score(labels=unique_labels(y_true), average='macro', zero_division=0)",
        compute="bakeoff.stats.metrics:compute_f1",
        chance=share_of_classes,
        contribute=f"{_CONTRIBUTIONS}:contribute_to_f1",
    ),
    MetricRecord(
        name="balanced_accuracy",
        label="balanced accuracy",
        summary="accuracy of every class, averaged with equal weight over the classes that occur: macro recall",
        higher_is_better=True,
        is_share=True,
        source="sklearn.metrics.balanced_accuracy_score",
        compute="bakeoff.stats.metrics:compute_recall",
        chance=share_of_classes,
        contribute=f"{_CONTRIBUTIONS}:contribute_to_recall",
        always=False,
    ),
    MetricRecord(
        name="roc_auc",
        label="ROC AUC",
        summary="area under the ROC curve of every class against the rest, averaged over the classes that occur",
        higher_is_better=True,
        is_share=False,
        source="sklearn.metrics.roc_auc_score(multi_class='ovr', average='macro')",
        compute=f"{_FURTHER}:compute_roc_auc",
        chance=lambda num_classes: 0.5,
        contribute=f"{_FURTHER}:contribute_roc_auc",
        always=False,
        unit="",
        needs_probabilities=True,
    ),
    MetricRecord(
        name="mcc",
        label="MCC",
        summary="Matthews correlation coefficient of true and predicted classes, -1 to 1",
        higher_is_better=True,
        is_share=False,
        source="sklearn.metrics.matthews_corrcoef",
        compute=f"{_FURTHER}:compute_mcc",
        chance=lambda num_classes: 0.0,
        contribute=f"{_FURTHER}:contribute_mcc",
        always=False,
        unit="",
    ),
    MetricRecord(
        name="log_loss",
        label="log loss",
        summary="mean negative log likelihood of the right class, in nats: another name of loss",
        higher_is_better=False,
        is_share=False,
        source="sklearn.metrics.log_loss, clipped at the smallest normal float32",
        compute="bakeoff.stats.metrics:compute_loss",
        chance=math.log,
        contribute=f"{_CONTRIBUTIONS}:contribute_losses",
        always=False,
        needs_probabilities=True,
    ),
    MetricRecord(
        name="brier",
        label="Brier score",
        summary="mean squared distance between the probabilities and the right class, 0 to 2",
        higher_is_better=False,
        is_share=False,
        source="sklearn.metrics.brier_score_loss(scale_by_half=False)",
        compute=f"{_FURTHER}:compute_brier",
        chance=certain_guess,
        contribute=f"{_FURTHER}:contribute_brier",
        always=False,
        unit="",
        needs_probabilities=True,
    ),
    MetricRecord(
        name="ece",
        label="ECE",
        summary="expected calibration error of the predicted class's probability, over 15 bins of equal width",
        higher_is_better=False,
        is_share=True,
        source="Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks",
        compute=f"{_FURTHER}:compute_ece",
        chance=certain_guess,
        contribute=f"{_FURTHER}:contribute_ece",
        always=False,
        needs_probabilities=True,
    ),
)


@cache
def make_top_accuracy(k: int) -> MetricRecord:
    """Return the metric of the right class being among the k most probable ones; k from 2."""
    return MetricRecord(
        name=f"top_{k}_accuracy",
        label=f"top-{k} accuracy",
        summary=f"share of images whose right class is among the {k} most probable ones",
        higher_is_better=True,
        is_share=True,
        source=f"sklearn.metrics.top_k_accuracy_score(k={k})",
        compute=_bind_later(f"{_FURTHER}:compute_top", k=k),
        chance=_bind_later(f"{_FURTHER}:chance_of_top", k=k),
        contribute=_bind_later(f"{_FURTHER}:hit_top", k=k),
        always=False,
        needs_probabilities=True,
    )


@cache
def make_function_metric(text: str) -> MetricRecord | None:
    """Return the metric that is a user's function, from its name as `catalog.metric` writes it; None for other names.

    The name holds all settings, and the hash of the function's code: ledgers, workers and reports need nothing else.
    """
    found = FUNCTION_METRIC.fullmatch(text)
    if found is None:
        return None
    function, goes, chance, code = found.groups()
    named = {"function": function, "code": code}
    return MetricRecord(
        name=text,
        label=function,
        summary=f"the function {function}",
        higher_is_better=goes == "higher",
        is_share=False,
        source=function,
        compute=_bind_later("bakeoff.catalog.function_metric:compute", **named),
        chance=lambda num_classes: float(chance),
        contribute=_bind_later("bakeoff.catalog.function_metric:contribute", **named),
        always=False,
        unit="",
    )


FUNCTION_METRIC = re.compile(
    r"([A-Za-z_][\w.]*:[A-Za-z_]\w*) \((higher|lower) is better, chance ([-+]?[\d.]+(?:e[-+]?\d+)?), "
    r"code ([0-9a-f]{16})\)"
)
_TOP_ACCURACY = re.compile(r"top_([1-9]\d{0,4})_accuracy")


def _bind_later(implementation: str, **named: object) -> Callable[..., object]:
    """Return an implementation with some arguments filled in, imported when first called."""
    return lambda *given: partial(bind(implementation), **named)(*given)


class _Metrics(Registry[MetricRecord]):
    """The metrics by name, with top-k accuracies of any k and users' functions, which are not listed."""

    def get(self, name: object) -> MetricRecord | None:
        if not isinstance(name, str):
            return None
        top = _TOP_ACCURACY.fullmatch(name)
        if top is not None and int(top[1]) > 1:
            return make_top_accuracy(int(top[1]))
        return super().get(name) or make_function_metric(name)


METRICS: Registry[MetricRecord] = _Metrics("metric", (*_OURS, make_top_accuracy(5)), "bakeoff.metrics")


def is_on_demand(name: str) -> bool:
    """Return whether only the trials of studies that name a metric are scored by it."""
    record = METRICS.get(name)
    return record is not None and not record.always


def find_metric(name: str) -> MetricRecord:
    """Return the metric called `name`.

    Raises:
        MetricError: no metric has this name; the message lists all and the nearest.
    """
    record = METRICS.get(name)
    if record is None:
        choices = METRICS.names
        raise UnknownMetricError(
            f"unknown metric '{name}'; choose one of {', '.join(choices)}.{nearest(name, choices)}"
        )
    return record


def score_by(metric: str, probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> float:
    """Return the score of predictions by one metric; arguments and errors as for `classification_metrics`."""
    check_predictions(probabilities_NC, labels_N)
    return float(bind(find_metric(metric).compute)(Predictions(probabilities_NC, labels_N)))


def classification_metrics(
    probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer], more: Iterable[str] = ()
) -> dict[str, float]:
    """Score predictions by every metric that is computed always, and by more.

    The predicted class is the most probable one (the first among equals). Macro averages run over the classes that
    occur; one of them that is never predicted has precision 0 (scikit-learn with `labels=numpy.unique(labels),
    zero_division=0`). Where some never occur, `classes_absent` says how many. The probability of the right class is
    clipped to [1.2e-38, 1], so one confident mistake costs at most 87.3 nats and the loss is always finite.

    Args:
        probabilities_NC: [N, C], 0..1, rows summing to 1 (not checked: rounding differs by numeric mode).
        labels_N: [N], 0..C-1.
        more: names of metrics that are computed on demand; others may be among them.

    Raises:
        MetricError: no images, shapes that do not match, labels out of range, or a probability that is NaN or
            infinite (a network that diverged has no score).
    """
    check_predictions(probabilities_NC, labels_N)
    predictions = Predictions(probabilities_NC, labels_N)
    num_absent = int((predictions.confusion_CC.sum(axis=1) == 0).sum())
    records = [record for record in METRICS if record.always]
    records += [find_metric(name) for name in dict.fromkeys(more) if is_on_demand(name)]
    scores = {record.name: float(bind(record.compute)(predictions)) for record in records}
    return {**scores, **({CLASSES_ABSENT: float(num_absent)} if num_absent else {})}


def compute_accuracy(predictions: Predictions) -> float:
    """Return the share of images whose most probable class is the right one."""
    return float(predictions.confusion_CC.diagonal().astype(np.float64).sum() / len(predictions.labels_N))


def compute_loss(predictions: Predictions) -> float:
    """Return the mean negative log likelihood of the right class, in nats."""
    labels_N = predictions.labels_N
    right_N = predictions.probabilities_NC[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return float(-np.log(np.clip(right_N, np.finfo(np.float32).tiny, 1.0)).mean() + 0.0)


def compute_precision(predictions: Predictions) -> float:
    """Return the mean over the classes that occur of hits by images called so."""
    confusion_CC = predictions.confusion_CC
    return _mean_ratio(confusion_CC, 1, confusion_CC.sum(axis=0))


def compute_recall(predictions: Predictions) -> float:
    """Return the mean over the classes that occur of hits by images of the class."""
    confusion_CC = predictions.confusion_CC
    return _mean_ratio(confusion_CC, 1, confusion_CC.sum(axis=1))


def compute_f1(predictions: Predictions) -> float:
    """Return the mean over the classes that occur of the harmonic means of precision and recall."""
    confusion_CC = predictions.confusion_CC
    return _mean_ratio(confusion_CC, 2, confusion_CC.sum(axis=1) + confusion_CC.sum(axis=0))


def count_confusion(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the confusion matrix in counts: rows are true classes, columns the most probable ones.

    Unchecked: see `check_predictions`.
    """
    num_classes = probabilities_NC.shape[1]
    # int64 first: labels of a small integer type would overflow in the product.
    cells_N = labels_N.astype(np.int64) * num_classes + probabilities_NC.argmax(axis=1)
    return np.bincount(cells_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def _mean_ratio(confusion_CC: NDArray[np.int64], of_hits: int, denominators_C: NDArray[np.integer]) -> float:
    """Return the mean over the classes that occur of `of_hits` times their hits by the denominators."""
    numerators_C, occurs_C = of_hits * confusion_CC.diagonal().astype(np.float64), confusion_CC.sum(axis=1) > 0
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
