"""Votes of several models over the same images, from their stored probabilities: nothing is trained.

Shape suffixes: M models, N images, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import nearest
from bakeoff.stats.classes import average_votes
from bakeoff.stats.metrics import MetricError, UnknownMetricError, check_predictions, count_confusion

Votes: TypeAlias = NDArray[np.float64]
"""Probabilities [N, C] of a vote, or the weights [M] of its models."""

TINY = float(np.finfo(np.float32).tiny)
"""Probabilities are clipped here before their logarithm is taken, as in the loss of a trial."""


@dataclass(frozen=True, kw_only=True)
class VoteRecord:
    """One way to vote.

    Attributes:
        name: as in a study file.
        label: as a person reads it.
        summary: one line.
        is_fitted: whether weights are chosen on the validation images.
        source: where it is defined.
    """

    name: str
    label: str
    summary: str
    is_fitted: bool
    source: str


VOTES: tuple[VoteRecord, ...] = (
    VoteRecord(
        name="soft",
        label="soft vote",
        summary="mean of the probabilities",
        is_fitted=False,
        source="sklearn.ensemble.VotingClassifier(voting='soft')",
    ),
    VoteRecord(
        name="logits",
        label="vote by logits",
        summary="mean of the log probabilities, normalised again",
        is_fitted=False,
        source="Genest and Zidek 1986, Combining probability distributions, section 3 (logarithmic pool)",
    ),
    VoteRecord(
        name="hard",
        label="hard vote",
        summary="the class that most models name; ties go to the larger mean probability",
        is_fitted=False,
        source="sklearn.ensemble.VotingClassifier(voting='hard'), which breaks ties by the order of classes",
    ),
    VoteRecord(
        name="weighted",
        label="weighted vote",
        summary="mean of the probabilities, with the weights of least log loss on the validation images",
        is_fitted=True,
        source="Genest and Zidek 1986, section 2 (linear pool)",
    ),
    VoteRecord(
        name="greedy",
        label="greedy selection",
        summary="models added one by one, with replacement, whichever helps most on the validation images",
        is_fitted=True,
        source="Caruana et al. 2004, Ensemble selection from libraries of models, sections 2.1 to 2.3",
    ),
)


def find_vote(name: str) -> VoteRecord:
    """Return the way to vote called `name`.

    Raises:
        MetricError: there is none of this name; the message lists all and the nearest.
    """
    for record in VOTES:
        if record.name == name:
            return record
    choices = [record.name for record in VOTES]
    raise UnknownMetricError(f"unknown vote '{name}'; choose one of {', '.join(choices)}.{nearest(name, choices)}")


def cast_vote(probabilities_MNC: NDArray[np.floating], by: str, weights_M: Votes | None = None) -> Votes:
    """Let models vote: [N, C] float64, rows summing to 1, whose largest value names the vote's class.

    A hard vote gives the share of voices for every class, where the mean probability counts as one more voice. It can
    break a tie of the others and nothing else, and it keeps the loss finite.

    Args:
        probabilities_MNC: [M, N, C], 0..1, rows summing to 1 (not checked).
        by: a name of VOTES.
        weights_M: for the fitted ways: [M], 0..1, summing to 1; see `stats.vote_fits`.

    Raises:
        MetricError: an unknown way, weights that are missing or not asked for, or probabilities that `average_votes`
            refuses.
    """
    if find_vote(by).is_fitted != (weights_M is not None):
        raise MetricError(f"a vote by '{by}' {'needs its weights' if weights_M is None else 'has no weights'}")
    mean_NC = average_votes(probabilities_MNC)
    if weights_M is not None:
        return np.asarray(np.tensordot(weights_M, probabilities_MNC.astype(np.float64), axes=1))
    if by == "logits":
        return _pool_logits(probabilities_MNC)
    return _count_voices(probabilities_MNC, mean_NC) if by == "hard" else mean_NC


def score_classes(probabilities_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> Votes:
    """Return precision, recall and F1 of every class: [C, 3], 0..1; NaN where nothing defines one.

    They agree with `class_report`, without its curves and calibration.

    Raises:
        MetricError: predictions that `classification_metrics` refuses.
    """
    check_predictions(probabilities_NC, labels_N)
    confusion_CC = count_confusion(probabilities_NC, labels_N)
    hits_C = confusion_CC.diagonal()
    occurring_C, predicted_C = confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    ratios = ((hits_C, predicted_C), (hits_C, occurring_C), (2 * hits_C, occurring_C + predicted_C))
    return np.stack([np.where(below > 0, above / np.maximum(below, 1), np.nan) for above, below in ratios], axis=1)


def _pool_logits(probabilities_MNC: NDArray[np.floating]) -> Votes:
    mean_NC = np.log(np.maximum(probabilities_MNC.astype(np.float64), TINY)).mean(axis=0)
    # Logits differ from log probabilities by a constant for each image and model, which normalising takes out again.
    odds_NC = np.exp(mean_NC - mean_NC.max(axis=1, keepdims=True))
    return np.asarray(odds_NC / odds_NC.sum(axis=1, keepdims=True))


def _count_voices(probabilities_MNC: NDArray[np.floating], mean_NC: Votes) -> Votes:
    named_MN = probabilities_MNC.argmax(axis=2)
    voices_NC = (named_MN[:, :, None] == np.arange(probabilities_MNC.shape[2])).sum(axis=0)
    return np.asarray((voices_NC + mean_NC) / (len(probabilities_MNC) + 1))
