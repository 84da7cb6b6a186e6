"""The worst mistakes of an arm: its most frequent confusions, and the most confident mistakes in each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_CONFUSIONS = 6
MOST_PICTURES = 24
_MOST_PER_CONFUSION = 8
_MOST_PER_PAGE = 96


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One image that was predicted as another class.

    Attributes:
        index: its number in its source split.
        probability: of the wrong class, averaged over the trials that predicted it.
        num_wrong: trials that predicted the wrong class.
        num_shown: trials that evaluated the image.
    """

    index: int
    probability: float
    num_wrong: int
    num_shown: int


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A class that was predicted as another.

    Attributes:
        true, predicted: indices of the classes.
        times: how often it happened, over all trials.
        num_images: number of images it happened to.
        mistakes: the worst ones, worst first.
    """

    true: int
    predicted: int
    times: int
    num_images: int
    mistakes: tuple[Mistake, ...]


def count_pictures(num_blocks: int) -> int:
    """Return how many pictures a block may show; fewer if there are many blocks, so that the page stays small."""
    return max(MOST_CONFUSIONS, min(MOST_PICTURES, _MOST_PER_PAGE // max(1, num_blocks)))


def list_confusions(
    runs: Collection[Mapping[str, npt.NDArray[Any]]], most_pictures: int = MOST_PICTURES
) -> tuple[Confusion, ...]:
    """Return the most frequent confusions of an arm, most frequent first, with the worst mistakes in each.

    A mistake is worse the higher the probability of the wrong class, averaged over all trials that evaluated the image,
    counting zero if they did not predict it. So confident mistakes that several trials share come first.

    Args:
        runs: the predictions of its trials: `probabilities` [N, C], `labels` [N], `indices` [N].
        most_pictures: maximum number of mistakes, over all confusions.
    """
    parts = [_find_mistakes(predictions) for predictions in runs]
    images_M, true_M, predicted_M, sure_M = (np.concatenate(column) for column in zip(*parts, strict=True))
    pairs, times = np.unique(np.stack([true_M, predicted_M]), axis=1, return_counts=True)
    chosen = np.argsort(-times, kind="stable")[:MOST_CONFUSIONS]
    if not len(chosen):
        return ()
    shown = dict(zip(*np.unique(np.concatenate([each["indices"] for each in runs]), return_counts=True), strict=True))
    most = min(_MOST_PER_CONFUSION, most_pictures // len(chosen))
    found = []
    for true, predicted in pairs.T[chosen]:
        mine = (true_M == true) & (predicted_M == predicted)
        mistakes = _rank(images_M[mine], sure_M[mine], shown)
        found.append(
            Confusion(
                true=int(true),
                predicted=int(predicted),
                times=int(mine.sum()),
                num_images=len(mistakes),
                mistakes=mistakes[:most],
            )
        )
    return tuple(found)


def _find_mistakes(predictions: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], ...]:
    """Return one trial's mistakes: image numbers, true and predicted classes, probabilities of the latter."""
    probabilities_NC, labels_N = predictions["probabilities"], predictions["labels"]
    predicted_N = probabilities_NC.argmax(axis=1)
    wrong = np.flatnonzero(predicted_N != labels_N)
    sure = probabilities_NC[wrong, predicted_N[wrong]].astype(np.float64)
    return predictions["indices"][wrong], labels_N[wrong], predicted_N[wrong], sure


def _rank(
    images_M: npt.NDArray[np.int64], sure_M: npt.NDArray[np.float64], shown: Mapping[int, int]
) -> tuple[Mistake, ...]:
    images, places, counts = np.unique(images_M, return_inverse=True, return_counts=True)
    sums = np.bincount(places, weights=sure_M)
    mistakes = [
        Mistake(index=int(image), probability=float(total / number), num_wrong=int(number), num_shown=int(shown[image]))
        for image, total, number in zip(images, sums, counts, strict=True)
    ]
    return tuple(sorted(mistakes, key=lambda each: (-each.probability * each.num_wrong / each.num_shown, each.index)))
