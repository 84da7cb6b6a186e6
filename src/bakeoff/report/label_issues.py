"""Labels to check: images whose label disagrees with models that were not trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.stats.measure import Split

LEAST_IMAGES = 10
"""Fewer images are not examined: thresholds of the classes would be noise."""

SURE = 0.9
"""Mean probability of another class from which a label is worth a look: weak models disagree with many."""

Predictions = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """An image whose label is worth a look.

    Attributes:
        split: of the predictions: `test`, or `validation` or `held-out` for training images.
        index: its number in its source split.
        label, suggested: its class as given, and the most probable one.
        label_probability, suggested_probability: of both, averaged over the models.
        num_models: models that predicted it and were not trained on it.
    """

    split: Split
    index: int
    label: int
    suggested: int
    label_probability: float
    suggested_probability: float
    num_models: int


def find_label_issues(split: Split, runs: Iterable[Predictions]) -> tuple[LabelIssue, ...]:
    """Return the images whose labels are worth a look, the least likely label first.

    Confident learning (Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset
    labels", JAIR 70, section 3.1) on the mean probabilities of all models that predicted an image: an image counts as
    of the most probable class among those whose probability reaches the class's mean over the images labelled so. Of
    those that count as of another class, the ones of which the models are `SURE` are returned. It settles nothing by
    itself: a person has to look.

    Args:
        split: of the predictions.
        runs: predictions of one or several models on images that did not train them: `probabilities` [N, C], `labels`
            and `indices` [N].
    """
    listed = list(runs)
    if not listed:
        return ()
    indices_M, labels_M, probabilities_MC, counts_M = _average(listed)
    if len(indices_M) < LEAST_IMAGES or len(np.unique(labels_M)) < 2:
        return ()
    ranked = _rank(labels_M, probabilities_MC)
    suggested_M = probabilities_MC.argmax(axis=1)
    return tuple(
        LabelIssue(
            split=split,
            index=int(indices_M[n]),
            label=int(labels_M[n]),
            suggested=int(suggested_M[n]),
            label_probability=float(probabilities_MC[n, labels_M[n]]),
            suggested_probability=float(probabilities_MC[n, suggested_M[n]]),
            num_models=int(counts_M[n]),
        )
        for n in ranked
        if suggested_M[n] != labels_M[n] and probabilities_MC[n, suggested_M[n]] >= SURE
    )


def _average(
    runs: list[Predictions],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return image numbers, labels, mean probabilities and numbers of models, a row per image."""
    indices = np.concatenate([each["indices"] for each in runs])
    labels = np.concatenate([each["labels"] for each in runs])
    probabilities = np.concatenate([each["probabilities"] for each in runs]).astype(np.float64)
    images_M, first_M, places = np.unique(indices, return_index=True, return_inverse=True)
    counts_M = np.bincount(places)
    sums_MC = np.zeros((len(images_M), probabilities.shape[1]))
    np.add.at(sums_MC, places, probabilities)
    means_MC = sums_MC / counts_M[:, np.newaxis]
    return images_M, labels[first_M], means_MC / means_MC.sum(axis=1, keepdims=True), counts_M


def _rank(labels_M: npt.NDArray[np.int64], probabilities_MC: npt.NDArray[np.float64]) -> list[int]:
    """Return the numbers of the images that count as of another class, the least likely label first."""
    present = np.unique(labels_M)
    thresholds_C = np.full(probabilities_MC.shape[1], np.inf)
    thresholds_C[present] = [probabilities_MC[labels_M == label, label].mean() for label in present]
    confident_MC = np.where(probabilities_MC >= thresholds_C, probabilities_MC, -1.0)
    is_other = (confident_MC.max(axis=1) >= 0) & (confident_MC.argmax(axis=1) != labels_M)
    own_M = probabilities_MC[np.arange(len(labels_M)), labels_M]
    found = np.flatnonzero(is_other)
    return [int(number) for number in found[np.argsort(own_M[found], kind="stable")]]
