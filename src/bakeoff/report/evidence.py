"""What stored predictions add to a study's scores: class by class, and how far a difference is to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.report.mistakes import Confusion, count_pictures, list_confusions
from bakeoff.report.roc import RocLines, describe_roc
from bakeoff.stats.calibration import ReliabilityBin, pool_bins
from bakeoff.stats.classes import ClassReport, average_votes, class_report, list_cells
from bakeoff.stats.contributions import contribute
from bakeoff.stats.measure import Split
from bakeoff.stats.metrics import classification_metrics, find_metric
from bakeoff.stats.results import BlockAnswer, MeanSd, Summary, TrialResult
from bakeoff.stats.sampling_error import SamplingError, describe_error
from bakeoff.stats.wilson import wilson_interval

MOST_CONFUSED = 60
"""Classes that a confusion matrix shows; of more, those that are confused most."""

Predictions = Mapping[str, npt.NDArray[Any]]
Load = Callable[[str, str], Predictions | None]
"""(trial id, split) -> probabilities, labels, indices; None where they are not on disk."""


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class, averaged over the trials of an arm in which the value is defined; None where it never is."""

    name: str
    occurring: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


@dataclass(frozen=True, kw_only=True)
class BlockEvidence:
    """What the predictions of one block's best arm, and of the arm nearest to it, say.

    Attributes:
        arm: the best arm; all figures but the last two are its own, means over its trials.
        num_trials: its trials whose predictions were read.
        averages: macro and weighted precision, recall and F1, macro AUC, log loss, top-k accuracy and expected
            calibration error, by name.
        accuracy_interval: Wilson's, of the mean accuracy: the sampling error of the images alone.
        confusion: images by true class (rows) and predicted class, summed over trials; of many classes, of those that
            are confused most.
        confused: the numbers of these classes; None: the matrix shows all.
        cells: the whole of it where it is not zero, by rows: int64 [n, 3] of true class, predicted class, images.
        reliability: whether the probability of the predicted class is to be believed, over all trials' predictions.
        roc: ROC curves, averaged over trials; None where nothing defines one.
        confusions: the most frequent confusions and the worst mistakes in each; no pictures.
        vote: accuracy of the folds' models voting together on the common test split, mean and sd over replicates; None
            without folds, and where the test split is closed.
        rival: the nearest other arm that it is compared with; None when there is none.
        error: what the difference to it owes to seeds and images; None where nothing is known of the images.
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
        """Names of the classes that the matrix shows."""
        shown = range(len(self.classes)) if self.confused is None else self.confused
        return tuple(self.classes[number].name for number in shown)

    @property
    def confusion_images(self) -> tuple[int, ...]:
        """Images of each of these classes, over all trials, whatever they were taken for."""
        if self.confused is None:
            return tuple(map(sum, self.confusion))
        images_C = np.bincount(self.cells[:, 0], weights=self.cells[:, 2], minlength=len(self.classes))
        return tuple(int(images_C[number]) for number in self.confused)


def gather_evidence(
    results: Sequence[TrialResult], summary: Summary, class_names: Mapping[str, Sequence[str]], load: Load
) -> tuple[BlockEvidence, ...]:
    """Read the predictions of every block's best arm and its rival, and say what they show.

    Args:
        results: the study's trials.
        summary: what they say.
        class_names: block -> names of its classes.
        load: reads one trial's predictions.
    """
    found = (_gather_block(block, results, summary, class_names[block], load) for block in summary.blocks)
    return tuple(evidence for evidence in found if evidence is not None)


def keep_leaders(results: Sequence[TrialResult], metric: str, load: Load) -> Load:
    """Return a reader that keeps what it has read of the arm with the best mean test score in each block.

    Contributions are wanted of all trials, evidence of the best arm's: as a rule each is read once for both. A vote,
    which is counted anew from all its members at each reading, gains the most.
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


def gather_contributions(results: Sequence[TrialResult], metric: str, load: Load) -> dict[str, npt.NDArray[Any]]:
    """Return what each test image contributes to each trial's score, by trial id; see `contribute`.

    Trials without stored predictions of the test split are left out, and so are those of a block whose images are not
    the same as those of the block's first.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    images: dict[str, npt.NDArray[Any]] = {}
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
    return found


def _gather_block(
    block: str, results: Sequence[TrialResult], summary: Summary, names: Sequence[str], load: Load
) -> BlockEvidence | None:
    answer = next(answer for answer in summary.answers if answer.block == block)
    if answer.best is None:
        return None
    own = _read(block, answer.best, results, summary.split, load)
    if not own:
        return None
    whole = _join_folds(own) if summary.split == "held-out" else own.values()
    reports = [class_report(each["probabilities"], each["labels"], names) for each in whole]
    evidence = _describe_arm(block, summary.split, answer.best, reports) | {"num_trials": len(own)}
    confusions = list_confusions(tuple(own.values()), count_pictures(len(summary.blocks)))
    fields: dict[str, Any] = {"vote": _vote(block, answer.best, results, load) if summary.split == "held-out" else None}
    rival = _find_rival(answer)
    if rival is not None:
        found = [v.seen_from(answer.best) for v in summary.verdicts_of(block) if {v.a, v.b} == {answer.best, rival}]
        fields |= {"rival": rival, "error": describe_error(found[0], summary.measure, summary) if found else None}
    return BlockEvidence(**evidence, confusions=confusions, **fields)


def _find_rival(answer: BlockAnswer) -> str | None:
    """Return the arm nearest to the best one that the study compares it with; with a baseline that alone."""
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
    """Put the folds of each replicate together: every image once, scored by a model that has not seen it."""
    by_replicate: dict[int, list[Predictions]] = {}
    for (replicate, _), predictions in own.items():
        by_replicate.setdefault(replicate, []).append(predictions)
    return [
        {name: np.concatenate([fold[name] for fold in folds]) for name in folds[0]} if len(folds) > 1 else folds[0]
        for folds in by_replicate.values()
    ]


def _describe_arm(block: str, split: Split, arm: str, reports: Sequence[ClassReport]) -> dict[str, Any]:
    accuracy = float(np.mean([report.accuracy for report in reports]))
    num_images = reports[0].num_images
    averages = {
        "macro_precision": _mean([r.macro.precision for r in reports]),
        "macro_recall": _mean([r.macro.recall for r in reports]),
        "macro_f1": _mean([r.macro.f1 for r in reports]),
        "weighted_precision": _mean([r.weighted.precision for r in reports]),
        "weighted_recall": _mean([r.weighted.recall for r in reports]),
        "weighted_f1": _mean([r.weighted.f1 for r in reports]),
        "macro_auc": _mean([r.macro_auc for r in reports]),
        "loss": _mean([r.loss for r in reports]),
        "expected_calibration_error": _mean([r.calibration.error for r in reports]),
        **{f"top_{k}_accuracy": _mean([r.top_k[k] for r in reports]) for k in reports[0].top_k},
    }
    return {
        "block": block,
        "split": split,
        "arm": arm,
        "classes": tuple(_average_class(reports, number) for number in range(len(reports[0].classes))),
        "averages": {name: value for name, value in averages.items() if value is not None},
        "accuracy_interval": wilson_interval(accuracy * num_images, num_images),
        **_confuse(reports),
        "reliability": pool_bins([r.calibration for r in reports]),
        "roc": describe_roc(reports),
    }


def _confuse(reports: Sequence[ClassReport]) -> dict[str, Any]:
    """Add the trials' confusion matrices up; show the classes that are confused most, where there are many."""
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
        precision=_mean([each.precision for each in scores]),
        recall=_mean([each.recall for each in scores]),
        f1=_mean([each.f1 for each in scores]),
        auc=_mean([each.auc for each in scores]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _vote(block: str, arm: str, results: Sequence[TrialResult], load: Load) -> MeanSd | None:
    """Return the accuracy of each replicate's fold models voting together, on the one split all of them were shown."""
    tested = [result for result in results if "test" in result.metrics]
    own = _read(block, arm, tested, "test", load)
    if not own:
        return None
    accuracies = []
    for replicate in sorted({run[0] for run in own}):
        folds = [predictions for run, predictions in own.items() if run[0] == replicate]
        votes = average_votes(np.stack([fold["probabilities"] for fold in folds]))
        accuracies.append(classification_metrics(votes, folds[0]["labels"])["accuracy"])
    sd = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return MeanSd(float(np.mean(accuracies)), sd)
