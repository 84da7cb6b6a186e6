"""Metrics that are computed for the studies that name them: top-k accuracy, ROC AUC, MCC, Brier score, ECE.

What an image contributes to a score that is no mean over images is the score plus its influence on it, the
infinitesimal jackknife; see `contributions`.

Shape suffixes: N images, C classes, B bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.calibration import NUM_BINS
from bakeoff.stats.metrics import Predictions

Floats = NDArray[np.float64]


def chance_of_top(num_classes: int, k: int) -> float:
    """Return the share of images whose right class is among k classes named at random."""
    return min(1.0, k / num_classes)


def hit_top(predictions: Predictions, k: int) -> NDArray[np.bool_]:
    """Return which images have the right class among the k most probable ones, the first among equals."""
    probabilities_NC, labels_N = predictions.probabilities_NC, predictions.labels_N
    right_N1 = probabilities_NC[np.arange(len(labels_N)), labels_N][:, None]
    classes_C = np.arange(probabilities_NC.shape[1])
    is_before_NC = (probabilities_NC > right_N1) | ((probabilities_NC == right_N1) & (classes_C < labels_N[:, None]))
    return np.asarray(is_before_NC.sum(axis=1) < k)


def compute_top(predictions: Predictions, k: int) -> float:
    """Return the share of images whose right class is among the k most probable ones."""
    return float(hit_top(predictions, k).mean())


def contribute_brier(predictions: Predictions) -> NDArray[np.float32]:
    """Return every image's squared distance between the probabilities and the right class, 0 to 2."""
    return _square_errors(predictions).astype(np.float32)


def compute_brier(predictions: Predictions) -> float:
    """Return the mean squared distance between the probabilities and the right class, 0 to 2 (Brier 1950)."""
    return float(_square_errors(predictions).mean())


def _square_errors(predictions: Predictions) -> Floats:
    probabilities_NC, labels_N = predictions.probabilities_NC.astype(np.float64), predictions.labels_N
    right_N = probabilities_NC[np.arange(len(labels_N)), labels_N]
    errors_N: Floats = np.square(probabilities_NC).sum(axis=1) - np.square(right_N) + np.square(1 - right_N)
    return errors_N


def compute_ece(predictions: Predictions) -> float:
    """Return the expected calibration error over the bins of `calibration.calibrate`."""
    return float(_calibration_gaps(predictions).mean())


def contribute_ece(predictions: Predictions) -> NDArray[np.float32]:
    """Return every image's gap between right (1 or 0) and confidence, with the sign of its bin's gap."""
    return _calibration_gaps(predictions).astype(np.float32)


def _calibration_gaps(predictions: Predictions) -> Floats:
    probabilities_NC, labels_N = predictions.probabilities_NC, predictions.labels_N
    confidence_N = probabilities_NC.max(axis=1).astype(np.float64)
    gap_N = (probabilities_NC.argmax(axis=1) == labels_N) - confidence_N
    bin_N = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], confidence_N, side="left")
    sign_B = np.sign(np.bincount(bin_N, weights=gap_N, minlength=NUM_BINS))
    gaps_N: Floats = sign_B[bin_N] * gap_N
    return gaps_N


def compute_roc_auc(predictions: Predictions) -> float:
    """Return the area under the ROC curve of each class against the rest, averaged over the classes that occur.

    Classes without images, or with all of them, have no curve; 0.5 if none has one.
    """
    areas = [area for area, _, _ in _compare_with_rest(predictions)]
    return float(np.mean(areas)) if areas else 0.5


def contribute_roc_auc(predictions: Predictions) -> NDArray[np.float32]:
    """Return the score plus every image's influence on it.

    Source: DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated receiver
        operating characteristic curves: their structural components.
    """
    found = _compare_with_rest(predictions)
    num_images = len(predictions.labels_N)
    if not found:
        return np.full(num_images, 0.5, dtype=np.float32)
    influence_N = np.zeros(num_images)
    for area, wins_N, is_own_N in found:
        num_own = is_own_N.sum()
        influence_N += (wins_N - area) * num_images / np.where(is_own_N, num_own, num_images - num_own)
    score = np.mean([area for area, _, _ in found])
    return np.asarray(score + influence_N / len(found), dtype=np.float32)


def _compare_with_rest(predictions: Predictions) -> list[tuple[float, Floats, NDArray[np.bool_]]]:
    """Return for each class its AUC, the share of the other side that each image is on the right side of, and its own.

    An image of the class is right of one of the rest with a smaller probability; equal ones count half.
    """
    from scipy.stats import rankdata  # imported late: few studies need it

    labels_N, num_images = predictions.labels_N, len(predictions.labels_N)
    found = []
    for label in np.unique(labels_N):
        is_own_N = labels_N == label
        num_own = int(is_own_N.sum())
        if num_own == num_images:
            continue
        scores_N = predictions.probabilities_NC[:, label]
        rank_N, own_rank_N = rankdata(scores_N), np.empty(num_images)
        own_rank_N[is_own_N], own_rank_N[~is_own_N] = rankdata(scores_N[is_own_N]), rankdata(scores_N[~is_own_N])
        below_N = rank_N - own_rank_N  # how many of the other side have a smaller score
        wins_N = np.where(is_own_N, below_N / (num_images - num_own), 1 - below_N / num_own)
        found.append((float(wins_N[is_own_N].mean()), wins_N, is_own_N))
    return found


def compute_mcc(predictions: Predictions) -> float:
    """Return the Matthews correlation coefficient of true and predicted classes, -1 to 1; 0 if one does not vary.

    Source: Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.
    """
    covariance, predicted, true = _covary(predictions.confusion_CC.astype(np.float64))
    return float(covariance / np.sqrt(predicted * true)) if predicted * true > 0 else 0.0


def contribute_mcc(predictions: Predictions) -> NDArray[np.float32]:
    """Return the score plus every image's influence on it: its derivative by the image's weight."""
    confusion_CC, labels_N = predictions.confusion_CC.astype(np.float64), predictions.labels_N
    num_images, score = len(labels_N), compute_mcc(predictions)
    _, predicted, true = _covary(confusion_CC)
    if predicted * true <= 0:
        return np.full(num_images, score, dtype=np.float32)
    called_N = predictions.probabilities_NC.argmax(axis=1)
    predicted_C, true_C = confusion_CC.sum(axis=0), confusion_CC.sum(axis=1)
    hits = confusion_CC.trace()
    covariance_N = num_images * (called_N == labels_N) + hits - predicted_C[labels_N] - true_C[called_N]
    predicted_N, true_N = 2 * (num_images - predicted_C[called_N]), 2 * (num_images - true_C[labels_N])
    influence_N = covariance_N / np.sqrt(predicted * true) - score * (predicted_N / predicted + true_N / true) / 2
    return np.asarray(score + num_images * influence_N, dtype=np.float32)


def _covary(confusion_CC: Floats) -> tuple[float, float, float]:
    """Return N**2 times the covariance of true and predicted classes, and the variances of predicted and true ones."""
    predicted_C, true_C, total = confusion_CC.sum(axis=0), confusion_CC.sum(axis=1), confusion_CC.sum()
    covariance = confusion_CC.trace() * total - predicted_C @ true_C
    return float(covariance), float(total**2 - predicted_C @ predicted_C), float(total**2 - true_C @ true_C)
