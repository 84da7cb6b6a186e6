from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from bakeoff.errors import BakeoffError
from bakeoff.stats.calibration import calibrate
from bakeoff.stats.metrics import METRICS, MetricError, classification_metrics, find_metric, score_by


def draw_predictions(num_images: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(num_classes, 0.5), num_images), rng.integers(0, num_classes, num_images)


@pytest.mark.parametrize(("num_images", "num_classes", "seed"), [(200, 10, 0), (7, 10, 1), (1, 3, 2), (50, 2, 3)])
def test_metrics_agree_with_scikit_learn(num_images: int, num_classes: int, seed: int) -> None:
    probabilities, labels = draw_predictions(num_images, num_classes, seed)
    found = classification_metrics(probabilities, labels)
    classes, predicted = range(num_classes), probabilities.argmax(1)
    macro = {"labels": np.unique(labels), "average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert found["loss"] == pytest.approx(oracle.log_loss(labels, probabilities, labels=classes))
    assert found["macro_precision"] == pytest.approx(oracle.precision_score(labels, predicted, **macro))
    assert found["macro_recall"] == pytest.approx(oracle.recall_score(labels, predicted, **macro))
    assert found["macro_f1"] == pytest.approx(oracle.f1_score(labels, predicted, **macro))


def test_a_class_that_never_occurs_is_left_out_and_counted() -> None:
    perfect = classification_metrics(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1]))
    assert perfect == {
        "accuracy": 1.0,
        "loss": 0.0,
        "macro_precision": 1.0,
        "macro_recall": 1.0,
        "macro_f1": 1.0,
        "classes_absent": 1.0,
    }
    # Called a class that does not occur: a miss for the class it is of, no class of its own.
    called, labels = np.array([0, 2, 1, 0]), np.array([0, 0, 1, 1])
    found = classification_metrics(np.eye(4)[called], labels)
    assert found["classes_absent"] == 2
    assert found["macro_recall"] == 0.5
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found["macro_recall"] == oracle.balanced_accuracy_score(labels, called)
    assert "classes_absent" not in classification_metrics(np.eye(2), np.arange(2))


@pytest.mark.parametrize(("num_images", "num_classes", "seed"), [(200, 10, 0), (60, 2, 3), (90, 7, 4)])
def test_metrics_on_demand_agree_with_scikit_learn(num_images: int, num_classes: int, seed: int) -> None:
    probabilities, labels = draw_predictions(num_images, num_classes, seed)
    called, classes = probabilities.argmax(1), range(num_classes)
    one_hot = np.eye(num_classes)[labels]
    expected = {
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, called),
        "roc_auc": oracle.roc_auc_score(one_hot, probabilities, average="macro"),
        "mcc": oracle.matthews_corrcoef(labels, called),
        "log_loss": oracle.log_loss(labels, probabilities, labels=classes),
        "brier": np.square(probabilities - one_hot).sum(axis=1).mean(),
        "ece": calibrate(probabilities, labels).error,
    }
    if num_classes > 2:
        expected["roc_auc"] = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", labels=classes)
        for k in (2, 5):
            name = f"top_{k}_accuracy"
            expected[name] = oracle.top_k_accuracy_score(labels, probabilities, k=k, labels=classes)
    found = classification_metrics(probabilities, labels, expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-12)
        assert score_by(name, probabilities, labels) == found[name]
    assert "brier" not in classification_metrics(probabilities, labels)


def test_roc_auc_is_of_the_classes_that_occur_and_counts_ties_half() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.7, 0.2]])
    assert score_by("roc_auc", probabilities, np.array([0, 1, 1])) == pytest.approx((0.75 + 0.75) / 2)
    assert score_by("roc_auc", probabilities, np.array([1, 1, 1])) == 0.5


def test_mcc_of_one_answer_for_all_is_0() -> None:
    assert score_by("mcc", np.eye(3)[[0, 0, 0]], np.array([0, 1, 2])) == 0


def test_top_k_takes_the_first_of_equals_as_accuracy_does() -> None:
    equal = np.full((4, 4), 0.25)
    assert score_by("top_2_accuracy", equal, np.arange(4)) == 0.5
    assert find_metric("top_3_accuracy").name == "top_3_accuracy"
    for name in ("top_1_accuracy", "top_0_accuracy", "top_x_accuracy"):
        with pytest.raises(MetricError):
            find_metric(name)


def test_certain_and_right_loses_nothing() -> None:
    loss = classification_metrics(np.eye(3), np.arange(3))["loss"]
    assert loss == 0
    assert np.copysign(1, loss) == 1


def test_certain_and_wrong_is_clipped_to_a_finite_loss() -> None:
    loss = classification_metrics(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))["loss"]
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_first_of_equally_probable_classes_is_predicted() -> None:
    assert classification_metrics(np.full((2, 4), 0.25), np.array([0, 1]))["accuracy"] == 0.5


def test_labels_of_a_small_integer_type_do_not_overflow() -> None:
    labels = np.arange(100, dtype=np.uint8)
    assert classification_metrics(np.eye(100), labels)["macro_f1"] == 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.array([[np.nan, 1.0]]), np.array([0]), "NaN or infinite"),
        (np.array([[np.inf, 1.0]]), np.array([0]), "NaN or infinite"),
        (np.empty((0, 3)), np.empty(0, dtype=int), "no image"),
        (np.ones((2, 3)), np.array([0]), "do not fit"),
        (np.ones(3), np.array([0, 1, 2]), "do not fit"),
        (np.ones((1, 3)), np.array([3]), "outside 0..2"),
        (np.ones((1, 3)), np.array([-1]), "outside 0..2"),
    ],
)
def test_input_without_a_score_is_refused(probabilities: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        classification_metrics(probabilities, labels)


def test_every_metric_is_registered_once_and_computed() -> None:
    names = [record.name for record in METRICS]
    assert len(set(names)) == len(names)
    assert set(classification_metrics(*draw_predictions(5, 3, 0))) == {each.name for each in METRICS if each.always}
    assert set(classification_metrics(*draw_predictions(5, 3, 0), names)) == set(names)
    assert not find_metric("loss").higher_is_better


def test_unknown_metric_is_answered_by_the_nearest() -> None:
    with pytest.raises(BakeoffError, match=r"'acuracy'.*'accuracy'\?"):
        find_metric("acuracy")
