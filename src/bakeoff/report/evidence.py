"""What stored predictions add to a study's scores: results by class, and the sampling error of differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.report.averages import average, mean_defined
from bakeoff.report.mistakes import Confusion, count_pictures, list_confusions
from bakeoff.report.roc import RocLines, describe_roc
from bakeoff.report.tables import verdicts_against
from bakeoff.stats.calibration import ReliabilityBin, pool_bins
from bakeoff.stats.classes import ClassReport, average_votes, class_report, list_cells
from bakeoff.stats.contributions import contribute
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import classification_metrics, find_metric
from bakeoff.stats.results import BlockAnswer, MeanSd, Summary, TrialResult
from bakeoff.stats.sampling_error import SamplingError, describe_error
from bakeoff.stats.wilson import count_effective, wilson_interval

MOST_CONFUSED = 60
"""A confusion matrix shows at most this many classes, those confused most."""

Predictions = Mapping[str, npt.NDArray[Any]]
Load = Callable[[str, str], Predictions | None]
"""(trial id, split) -> probabilities, labels, indices; None if not stored."""


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """Scores of one class, averaged over the trials of an arm for which they are defined; None if they never are."""

    name: str
    occurring: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


@dataclass(frozen=True, kw_only=True)
class BlockEvidence:
    """What the predictions of one block's best arm show, and of its closest rival.

    Attributes:
        arm: the best arm; all figures except the last two are about it, averaged over its trials.
        num_trials: its trials with stored predictions.
        averages: macro and weighted precision, recall and F1, macro AUC, log loss, top-k accuracy and expected
            calibration error, by name.
        accuracy_interval: Wilson's interval of the mean accuracy: the sampling error of the images only. Images in
            groups count as the independent images that say as much.
        confusion: images by true class (rows) and predicted class, summed over trials; with many classes, only those
            confused most.
        confused: indices of the classes in `confusion`; None if it has all.
        cells: the nonzero cells of the whole matrix: int64 [n, 3] of true class, predicted class, images.
        reliability: accuracy by confidence, pooled over trials.
        roc: ROC curves, averaged over trials; None if undefined.
        confusions: the most frequent confusions with the worst mistakes of each, without pictures.
        vote: accuracy of the folds' models voting together on the common test split, mean and sd over replicates; None
            without folds or before the final test.
        rival: the closest arm it is compared with; None if there is none.
        error: how much of the difference to the rival is due to seeds and to images; None if not known.
    """

    block: str
    split: Split
    arm: str
    num_trials: int
    classes: tuple[ClassRow, ...]
    averages: Mapping[str, float]
    accuracy_interval: tuple[float, float]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    roc: RocLines | None = None
    confusions: tuple[Confusion, ...] = ()
    vote: MeanSd | None = None
    rival: str | None = None
    error: SamplingError | None = None
    confused: tuple[int, ...] | None = None
    cells: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), np.int64), compare=False, repr=False)

    @property
    def confusion_names(self) -> tuple[str, ...]:
        """Names of the classes in the matrix."""
        shown = range(len(self.classes)) if self.confused is None else self.confused
        return tuple(self.classes[number].name for number in shown)

    @property
    def confusion_images(self) -> tuple[int, ...]:
        """Number of images of each of these classes, over all trials and predictions."""
        if self.confused is None:
            return tuple(map(sum, self.confusion))
        images_C = np.bincount(self.cells[:, 0], weights=self.cells[:, 2], minlength=len(self.classes))
        return tuple(int(images_C[number]) for number in self.confused)


def gather_evidence(
    results: Sequence[TrialResult], summary: Summary, class_names: Mapping[str, Sequence[str]], load: Load
) -> tuple[BlockEvidence, ...]:
    """Gather the evidence from the predictions of every block's best arm and its rival."""
    found = (_gather_block(block, results, summary, class_names[block], load) for block in summary.blocks)
    return tuple(evidence for evidence in found if evidence is not None)


def keep_leaders(results: Sequence[TrialResult], metric: str, load: Load) -> Load:
    """Return a reader that caches the predictions of the arm with the best mean test score in each block.

    These are read twice: for contributions, as of all trials, and for evidence. It saves most for ensembles, whose
    votes are computed from all their members at each reading.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for result in results:
        if result.state == "done" and metric in result.metrics.get("test", {}):
            scores.setdefault(result.block, {}).setdefault(result.arm, []).append(result.metrics["test"][metric])
    sign = 1 if find_metric(metric).higher_is_better else -1
    leaders = {(block, max(arms, key=lambda arm: sign * float(np.mean(arms[arm])))) for block, arms in scores.items()}
    leading = {result.trial_id for result in results if (result.block, result.arm) in leaders}
    kept: dict[tuple[str, str], Predictions | None] = {}

    def read(trial_id: str, split: str) -> Predictions | None:
        if trial_id not in leading:
            return load(trial_id, split)
        if (trial_id, split) not in kept:
            kept[trial_id, split] = load(trial_id, split)
        return kept[trial_id, split]

    return read


@dataclass(frozen=True)
class ImageScores:
    """What test images contribute to scores.

    Attributes:
        by_trial: trial id -> contribution of every image.
        groups: block -> the group of every image; only of blocks whose images come in groups.
    """

    by_trial: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    groups: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def gather_contributions(results: Sequence[TrialResult], metric: str, load: Load) -> ImageScores:
    """Return each test image's contribution to each trial's score; see `contribute`.

    Trials without stored test predictions are left out, as are those with other images than the block's first trial.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    images: dict[str, npt.NDArray[Any]] = {}
    groups: dict[str, npt.NDArray[Any]] = {}
    for result in results:
        if result.state != "done" or metric not in result.metrics.get("test", {}):
            continue
        predictions = load(result.trial_id, "test")
        if predictions is None:
            continue
        first = images.setdefault(result.block, predictions["indices"])
        contributions = contribute(metric, predictions["probabilities"], predictions["labels"])
        if contributions is not None and np.array_equal(first, predictions["indices"]):
            found[result.trial_id] = contributions
            if "groups" in predictions:
                groups[result.block] = predictions["groups"]
    return ImageScores(found, groups)


def _gather_block(
    block: str, results: Sequence[TrialResult], summary: Summary, names: Sequence[str], load: Load
) -> BlockEvidence | None:
    answer = next(answer for answer in summary.answers if answer.block == block)
    if answer.best is None:
        return None
    own = _read(block, answer.best, results, summary.split, load)
    if not own:
        return None
    whole = _join_folds(own) if summary.split == "held-out" else list(own.values())
    reports = [class_report(each["probabilities"], each["labels"], names) for each in whole]
    rival = _find_rival(answer)
    verdict = None if rival is None else verdicts_against(summary, block, rival).get(answer.best)
    return BlockEvidence(
        block=block,
        split=summary.split,
        arm=answer.best,
        num_trials=len(own),
        **_describe_classes(reports, list(whole)),
        **_confuse(reports),
        reliability=pool_bins([report.calibration for report in reports]),
        roc=describe_roc(reports),
        confusions=list_confusions(tuple(own.values()), count_pictures(len(summary.blocks))),
        vote=_vote(block, answer.best, results, load) if summary.split == "held-out" else None,
        rival=rival,
        error=None if verdict is None else describe_error(verdict, summary.measure, summary),
    )


def _find_rival(answer: BlockAnswer) -> str | None:
    """Return the closest arm that the best one is compared with; with a baseline, only that one."""
    others = [arm for arm in (*answer.better, *answer.not_worse, *answer.worse) if arm != answer.best]
    if answer.baseline is None or answer.best == answer.baseline:
        return next(iter(others), None)
    return answer.baseline if answer.baseline not in answer.missing else None


def _read(
    block: str, arm: str, results: Sequence[TrialResult], split: Split, load: Load
) -> dict[tuple[int, int], Predictions]:
    """Return predictions by replicate and fold."""
    mine = [r for r in results if r.block == block and r.arm == arm and r.state == "done"]
    loaded = {(r.replicate, r.fold or 0): load(r.trial_id, split) for r in mine}
    return {run: predictions for run, predictions in loaded.items() if predictions is not None}


def _join_folds(own: Mapping[tuple[int, int], Predictions]) -> list[Predictions]:
    """Join the folds of each replicate: every image once, scored by a model that has not seen it."""
    by_replicate: dict[int, list[Predictions]] = {}
    for (replicate, _), predictions in own.items():
        by_replicate.setdefault(replicate, []).append(predictions)
    return [
        {name: np.concatenate([fold[name] for fold in folds]) for name in folds[0]} if len(folds) > 1 else folds[0]
        for folds in by_replicate.values()
    ]


def _describe_classes(reports: Sequence[ClassReport], whole: Sequence[Predictions]) -> dict[str, Any]:
    accuracy = float(np.mean([report.accuracy for report in reports]))
    num_images = min([float(reports[0].num_images), *map(_count_independent, whole)])
    averages = {
        **{
            f"{kind}_{score}": mean_defined([getattr(getattr(report, kind), score) for report in reports])
            for kind in ("macro", "weighted")
            for score in ("precision", "recall", "f1")
        },
        "macro_auc": mean_defined([report.macro_auc for report in reports]),
        "loss": mean_defined([report.loss for report in reports]),
        "expected_calibration_error": mean_defined([report.calibration.error for report in reports]),
        **{f"top_{k}_accuracy": mean_defined([report.top_k[k] for report in reports]) for k in reports[0].top_k},
    }
    return {
        "classes": tuple(_average_class(reports, number) for number in range(len(reports[0].classes))),
        "averages": {name: value for name, value in averages.items() if value is not None},
        "accuracy_interval": wilson_interval(accuracy * num_images, num_images),
    }


def _count_independent(predictions: Predictions) -> float:
    """Return as how many independent images these count: all, unless they come in groups."""
    labels_N, groups_N = predictions["labels"], predictions.get("groups")
    if groups_N is None:
        return float("inf")
    return count_effective(predictions["probabilities"].argmax(axis=1) == labels_N, groups_N)


def _confuse(reports: Sequence[ClassReport]) -> dict[str, Any]:
    """Sum the trials' confusion matrices; of many classes, select those confused most."""
    num_classes = len(reports[0].classes)
    total_CC = np.zeros((num_classes, num_classes), dtype=np.int64)
    for report in reports:
        true, predicted, number = report.cells.T
        total_CC[true, predicted] += number
    confused = None
    shown = np.arange(num_classes)
    if num_classes > MOST_CONFUSED:
        mistakes_C = total_CC.sum(axis=1) + total_CC.sum(axis=0) - 2 * total_CC.diagonal()
        shown = np.sort(np.argsort(-mistakes_C, kind="stable")[:MOST_CONFUSED])
        confused = tuple(shown.tolist())
    return {
        "confusion": tuple(map(tuple, total_CC[np.ix_(shown, shown)].tolist())),
        "confused": confused,
        "cells": list_cells(total_CC),
    }


def _average_class(reports: Sequence[ClassReport], number: int) -> ClassRow:
    scores = [report.classes[number] for report in reports]
    return ClassRow(
        name=scores[0].name,
        occurring=scores[0].occurring,
        **{
            score: mean_defined([getattr(each, score) for each in scores])
            for score in ("precision", "recall", "f1", "auc")
        },
    )


def _vote(block: str, arm: str, results: Sequence[TrialResult], load: Load) -> MeanSd | None:
    """Return the accuracy of each replicate's fold models voting together on the test split, which they share."""
    tested = [result for result in results if "test" in result.metrics]
    own = _read(block, arm, tested, "test", load)
    if not own:
        return None
    accuracies = []
    for replicate in sorted({run[0] for run in own}):
        folds = [predictions for run, predictions in own.items() if run[0] == replicate]
        votes = average_votes(np.stack([fold["probabilities"] for fold in folds]))
        accuracies.append(classification_metrics(votes, folds[0]["labels"])["accuracy"])
    return average(accuracies)
