"""What stored predictions say class by class: precision, recall, F1, AUC, confusion, top-k, calibration.

Shape suffixes: N images, C classes, M models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.calibration import Calibration, calibrate
from bakeoff.stats.curves import RocCurve, trace_roc_curves
from bakeoff.stats.metrics import MetricError, check_predictions, classification_metrics, count_confusion

TOP_K = (1, 3, 5)


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """How one class is recognised. Shares are 0..1; None where nothing defines them.

    Attributes:
        occurring: images of this class; `predicted`: images called this class; `hits`: both.
        precision: hits / predicted; None when the class is never predicted.
        recall: hits / occurring; None when it never occurs.
        f1: 2 hits / (occurring + predicted); None when it neither occurs nor is predicted.
        auc: area under its one-vs-rest ROC curve; None when no image, or every image, is of this class.
    """

    name: str
    occurring: int
    predicted: int
    hits: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 averaged over the classes that occur, as in the metrics of a trial.

    A precision that is undefined, of a class that is never predicted, counts as 0.
    """

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """All that one set of predictions says.

    Attributes:
        accuracy, loss: as `classification_metrics` gives them.
        top_k: k -> share of images whose class is among the k most probable ones; for the k of TOP_K up to C.
        classes: one per class, in their order.
        macro: averages with equal weight for every class that occurs; equal to the metrics of the trial.
        weighted: averages weighted by how often a class occurs.
        macro_auc: mean of the AUCs that are defined; None when none is.
        cells: int64 [n, 3], the confusion matrix where it is not zero: true class, predicted class, images; by rows.
        calibration: whether the probability of the predicted class is to be believed.
        curves: one-vs-rest ROC curve per class; None where the AUC is.
    """

    num_images: int
    accuracy: float
    loss: float
    top_k: dict[int, float]
    classes: tuple[ClassScores, ...]
    macro: Averages
    weighted: Averages
    macro_auc: float | None
    cells: NDArray[np.int64] = field(compare=False, repr=False)
    calibration: Calibration
    curves: tuple[RocCurve | None, ...]


def class_report(
    probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer], class_names: Sequence[str]
) -> ClassReport:
    """Score predictions class by class.

    Agrees with scikit-learn (`precision_recall_fscore_support`, `roc_auc_score(multi_class="ovr")`, `log_loss`,
    `confusion_matrix` over all C classes) where that defines a value; a class that never occurs has None instead of a
    warning, and is left out of `macro_auc`.

    Args:
        probabilities_NC: [N, C], 0..1, rows summing to 1 (not checked).
        labels_N: [N], 0..C-1.
        class_names: C names.

    Raises:
        MetricError: predictions that `classification_metrics` refuses, or another number of names than classes.
    """
    metrics = classification_metrics(probabilities_NC, labels_N)
    num_images, num_classes = probabilities_NC.shape
    if len(class_names) != num_classes:
        raise MetricError(f"{len(class_names)} class names do not fit {num_classes} classes; give one name for each")
    confusion_CC = count_confusion(probabilities_NC, labels_N)
    curves = trace_roc_curves(probabilities_NC, labels_N)
    classes = tuple(_score_class(name, confusion_CC, number, curves[number]) for number, name in enumerate(class_names))
    areas = [scores.auc for scores in classes if scores.auc is not None]
    return ClassReport(
        num_images=num_images,
        accuracy=metrics["accuracy"],
        loss=metrics["loss"],
        top_k={k: top_k_accuracy(probabilities_NC, labels_N, k) for k in TOP_K if k <= num_classes},
        classes=classes,
        macro=Averages(metrics["macro_precision"], metrics["macro_recall"], metrics["macro_f1"]),
        weighted=_weigh(classes),
        macro_auc=float(np.mean(areas)) if areas else None,
        cells=list_cells(confusion_CC),
        calibration=calibrate(probabilities_NC, labels_N),
        curves=curves,
    )


def list_cells(confusion_CC: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what of a confusion matrix is not zero, by rows: [n, 3] of true class, predicted class, images."""
    true, predicted = np.nonzero(confusion_CC)
    return np.stack([true, predicted, confusion_CC[true, predicted]], axis=1).astype(np.int64)


def top_k_accuracy(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer], k: int) -> float:
    """Return the share of images whose class is among the k most probable; the first among equals counts first.

    With k of C or more every image counts. scikit-learn's `top_k_accuracy_score` differs only in that the last among
    equals counts first there.

    Raises:
        MetricError: k below 1, or predictions that `classification_metrics` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    if k < 1:
        raise MetricError(f"k must be at least 1, not {k}")
    right_N1 = np.take_along_axis(probabilities_NC, labels_N[:, None].astype(np.int64), axis=1)
    earlier_NC = np.arange(probabilities_NC.shape[1]) < labels_N[:, None]
    before_N = (probabilities_NC > right_N1).sum(axis=1) + ((probabilities_NC == right_N1) & earlier_NC).sum(axis=1)
    return float((before_N < k).mean())


def average_votes(probabilities_MNC: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average the probabilities of several models into one vote: [N, C] float64.

    Every model weighs the same (soft voting). Meant for the models of the folds, evaluated on images that none of them
    trained on.

    Raises:
        MetricError: no model, another shape than [M, N, C], or a probability that is NaN or infinite.
    """
    if probabilities_MNC.ndim != 3 or 0 in probabilities_MNC.shape:
        raise MetricError(
            f"probabilities of shape {probabilities_MNC.shape} are no votes; give models x images x classes, none empty"
        )
    if not np.isfinite(probabilities_MNC).all():
        raise MetricError("some predicted probabilities are NaN or infinite: a model that diverged has no vote")
    return np.asarray(probabilities_MNC.mean(axis=0, dtype=np.float64))


def _score_class(name: str, confusion_CC: NDArray[np.int64], number: int, curve: RocCurve | None) -> ClassScores:
    hits = int(confusion_CC[number, number])
    occurring, predicted = int(confusion_CC[number].sum()), int(confusion_CC[:, number].sum())
    return ClassScores(
        name=name,
        occurring=occurring,
        predicted=predicted,
        hits=hits,
        precision=hits / predicted if predicted else None,
        recall=hits / occurring if occurring else None,
        f1=2 * hits / (occurring + predicted) if occurring + predicted else None,
        auc=None if curve is None else curve.auc,
    )


def _weigh(classes: Sequence[ClassScores]) -> Averages:
    weights = [scores.occurring for scores in classes]
    return Averages(
        precision=float(np.average([scores.precision or 0.0 for scores in classes], weights=weights)),
        recall=float(np.average([scores.recall or 0.0 for scores in classes], weights=weights)),
        f1=float(np.average([scores.f1 or 0.0 for scores in classes], weights=weights)),
    )
