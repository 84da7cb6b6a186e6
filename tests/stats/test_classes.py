from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from bakeoff.stats.classes import average_votes, class_report, top_k_accuracy
from bakeoff.stats.metrics import MetricError, classification_metrics


def draw_predictions(num_images: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    probabilities = rng.dirichlet(np.full(num_classes, 0.5), num_images)
    probabilities[np.arange(num_images), labels] += 0.3
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


def names(num_classes: int) -> list[str]:
    return [f"class {number}" for number in range(num_classes)]


@pytest.mark.parametrize(("num_images", "num_classes", "seed"), [(300, 10, 0), (60, 3, 1), (40, 2, 2)])
def test_report_agrees_with_scikit_learn(num_images: int, num_classes: int, seed: int) -> None:
    probabilities, labels = draw_predictions(num_images, num_classes, seed)
    predicted, classes = probabilities.argmax(1), range(num_classes)
    found = class_report(probabilities, labels, names(num_classes))
    precision, recall, f1, occurring = oracle.precision_recall_fscore_support(labels, predicted, labels=classes)
    assert [c.precision for c in found.classes] == pytest.approx(list(precision))
    assert [c.recall for c in found.classes] == pytest.approx(list(recall))
    assert [c.f1 for c in found.classes] == pytest.approx(list(f1))
    assert [c.occurring for c in found.classes] == list(occurring)
    for average, averages in (("macro", found.macro), ("weighted", found.weighted)):
        expected = oracle.precision_recall_fscore_support(labels, predicted, labels=classes, average=average)
        assert dataclasses.astuple(averages) == pytest.approx(expected[:3])
    confusion = oracle.confusion_matrix(labels, predicted, labels=classes)
    assert {(true, called): number for true, called, number in found.cells.tolist()} == {
        (row, column): number for (row, column), number in np.ndenumerate(confusion) if number
    }
    assert found.accuracy == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert found.loss == pytest.approx(oracle.log_loss(labels, probabilities, labels=classes))
    areas = [oracle.roc_auc_score(labels == c, probabilities[:, c]) for c in classes]
    assert [c.auc for c in found.classes] == pytest.approx(areas)
    assert found.macro_auc == pytest.approx(np.mean(areas))


def test_macro_auc_agrees_with_scikit_learn() -> None:
    probabilities, labels = draw_predictions(300, 10, 4)
    expected = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert class_report(probabilities, labels, names(10)).macro_auc == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    probabilities, labels = draw_predictions(200, 10, 5)
    expected = oracle.top_k_accuracy_score(labels, probabilities, k=k, labels=range(10))
    assert top_k_accuracy(probabilities, labels, k) == pytest.approx(expected)


def test_top_k_of_level_probabilities_takes_the_first() -> None:
    level, labels = np.full((4, 4), 0.25), np.arange(4, dtype=np.uint8)
    assert [top_k_accuracy(level, labels, k) for k in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    probabilities, labels = draw_predictions(50, 6, 6)
    coarse = np.round(probabilities, 1)
    assert top_k_accuracy(coarse, labels, 1) == classification_metrics(coarse, labels)["accuracy"]
    with pytest.raises(MetricError, match="at least 1"):
        top_k_accuracy(level, np.arange(4), 0)


def test_top_k_is_reported_up_to_the_number_of_classes() -> None:
    assert set(class_report(*draw_predictions(20, 2, 0), names(2)).top_k) == {1}
    report = class_report(*draw_predictions(20, 10, 0), names(10))
    assert set(report.top_k) == {1, 3, 5}
    assert report.top_k[1] == report.accuracy


def test_class_that_never_occurs_has_stated_answers() -> None:
    # Class 2 neither occurs nor is predicted; class 3 is predicted once but never occurs; class 0 is never predicted.
    labels = np.array([0, 1, 1])
    probabilities = np.eye(4)[[1, 1, 3]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = class_report(probabilities, labels, names(4))
    zero, one, two, three = report.classes
    assert (zero.precision, zero.recall, zero.f1) == (None, 0.0, 0.0)
    assert (one.precision, one.recall, one.f1) == (0.5, 0.5, 0.5)
    assert (two.precision, two.recall, two.f1, two.auc) == (None, None, None, None)
    assert (three.precision, three.recall, three.f1, three.auc) == (0.0, None, 0.0, None)
    assert report.curves[2] is report.curves[3] is None
    assert report.macro.f1 == pytest.approx(0.25), "over the two classes that occur"
    assert report.macro_auc == pytest.approx((zero.auc + one.auc) / 2)  # type: ignore[operator]


def test_averages_are_those_of_the_trial() -> None:
    probabilities, labels = draw_predictions(30, 8, 7)
    metrics, macro = classification_metrics(probabilities, labels), class_report(probabilities, labels, names(8)).macro
    assert dataclasses.astuple(macro) == (metrics["macro_precision"], metrics["macro_recall"], metrics["macro_f1"])


def test_one_image_and_one_class_are_enough() -> None:
    single = class_report(np.array([[0.3, 0.7]]), np.array([1]), names(2))
    assert (single.accuracy, single.macro_auc) == (1.0, None)
    lonely = class_report(np.ones((3, 1)), np.zeros(3, dtype=int), names(1))
    assert (lonely.accuracy, lonely.classes[0].auc, lonely.calibration.error) == (1.0, None, 0.0)


def test_every_number_is_finite_or_none() -> None:
    report = class_report(np.eye(3, dtype=np.float32)[[0, 0, 0]], np.zeros(3, dtype=np.int64), names(3))

    def check(value: object) -> None:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                check(part)
        elif isinstance(value, np.ndarray):
            assert value.dtype == np.int64
        elif value is not None and not isinstance(value, str):
            assert type(value) in (int, float)
            assert math.isfinite(value)  # type: ignore[arg-type]

    check(list(dataclasses.asdict(report).values()))


def test_input_without_a_score_is_refused() -> None:
    with pytest.raises(MetricError, match="no image"):
        class_report(np.empty((0, 3)), np.empty(0, dtype=int), names(3))
    with pytest.raises(MetricError, match="2 class names do not fit 3 classes"):
        class_report(np.ones((1, 3)), np.array([0]), names(2))


def test_votes_are_averaged_per_image() -> None:
    votes = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]]], dtype=np.float32)
    found = average_votes(votes)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[0.6, 0.4], [0.3, 0.7]]))
    for bad, message in ((votes[0], "no votes"), (votes[:0], "no votes"), (votes * np.nan, "no vote")):
        with pytest.raises(MetricError, match=message):
            average_votes(bad)
