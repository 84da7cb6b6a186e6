"""ROC curves of an arm: means over trials and classes, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from bakeoff.report.roc import MAX_POINTS, RocLine, describe_roc
from bakeoff.stats.classes import ClassReport, class_report

NAMES = ("cat", "dog", "bird")


def predict(seed: int, labels: np.ndarray) -> tuple[np.ndarray, ClassReport]:
    rng = np.random.default_rng(seed)
    scores = rng.random((len(labels), 3)) + 0.6 * np.eye(3)[labels]
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return probabilities, class_report(probabilities, labels, NAMES)


def area(line: RocLine) -> float:
    return float(oracle.auc(line.rates, line.heights))


@pytest.mark.parametrize("num_images", [60, 3_000])
def test_areas_are_scikit_learn_s_one_vs_rest_means_over_trials(num_images: int) -> None:
    labels = np.arange(num_images) % 3
    trials = [predict(seed, labels) for seed in range(3)]
    roc = describe_roc([report for _, report in trials])
    assert roc is not None
    macro = np.mean([oracle.roc_auc_score(labels, each, multi_class="ovr", average="macro") for each, _ in trials])
    assert roc.macro.auc == pytest.approx(macro)
    for number, line in enumerate(roc.classes):
        assert line is not None
        expected = np.mean([oracle.roc_auc_score(labels == number, each[:, number]) for each, _ in trials])
        assert line.auc == pytest.approx(expected)
        # What is drawn leaves the whole by no more than it says, and so does its area.
        assert area(line) == pytest.approx(expected, abs=1.5 * roc.error + 1e-4)
        assert len(line.rates) <= MAX_POINTS
    assert area(roc.macro) == pytest.approx(macro, abs=1.5 * roc.error + 1e-4)
    assert roc.error < 0.005


def test_one_trial_s_curve_goes_through_scikit_learn_s_points() -> None:
    labels = np.arange(60) % 3
    probabilities, report = predict(0, labels)
    roc = describe_roc([report])
    assert roc is not None
    assert roc.classes[1] is not None
    line = roc.classes[1]
    false, true, _ = oracle.roc_curve(labels == 1, probabilities[:, 1], drop_intermediate=False)
    whole = {(round(x, 5), round(y, 5)) for x, y in zip(false.tolist(), true.tolist(), strict=True)}
    assert set(zip(line.rates, line.heights, strict=True)) <= whole
    assert area(line) == pytest.approx(oracle.auc(false, true), abs=1e-5)


def test_a_class_that_never_occurs_has_no_curve() -> None:
    roc = describe_roc([predict(0, np.arange(60) % 2)[1]])
    assert roc is not None
    assert roc.classes[2] is None
    assert roc.macro.auc == pytest.approx(np.mean([line.auc for line in roc.classes if line is not None]))
    assert describe_roc([predict(0, np.zeros(9, dtype=np.int64))[1]]) is None
