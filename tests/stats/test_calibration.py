from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from bakeoff.stats.calibration import calibrate, pool_bins
from bakeoff.stats.metrics import MetricError


def draw_predictions(num_images: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(num_classes, 0.4), num_images)
    labels = np.array([rng.choice(num_classes, p=row) for row in probabilities])
    return probabilities, labels


def test_reliability_table_agrees_with_scikit_learn() -> None:
    probabilities, labels = draw_predictions(500, 5, 0)
    found = calibrate(probabilities, labels)
    right = probabilities.argmax(1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(1), n_bins=15, strategy="uniform")
    filled = [b for b in found.bins if b.num_images]
    assert [b.accuracy for b in filled] == pytest.approx(list(accuracy))
    assert [b.confidence for b in filled] == pytest.approx(list(confidence))
    expected = sum(b.num_images * abs(a - c) for b, a, c in zip(filled, accuracy, confidence, strict=True)) / 500
    assert found.error == pytest.approx(expected)
    assert found.confidence == pytest.approx(probabilities.max(1).mean())


def test_by_hand() -> None:
    # Two bins: 0.9 twice, once right; 1.0 once, right, in the same bin: |2/3 - 2.8/3|; 0.5 in the lower, wrong.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [1.0, 0.0], [0.5, 0.5]])
    found = calibrate(probabilities, np.array([0, 1, 0, 1]), num_bins=2)
    assert found.error == pytest.approx((3 * abs(2 / 3 - 2.8 / 3) + 1 * 0.5) / 4)
    assert [(b.low, b.high, b.num_images) for b in found.bins] == [(0.0, 0.5, 1), (0.5, 1.0, 3)]


def test_empty_bins_have_no_accuracy() -> None:
    found = calibrate(np.eye(3), np.arange(3))
    assert found.error == 0
    assert len(found.bins) == 15
    assert (found.bins[0].accuracy, found.bins[0].confidence) == (None, None)
    assert (found.bins[-1].accuracy, found.bins[-1].confidence) == (1.0, 1.0)


def test_probability_that_rounds_above_one_is_in_the_last_bin() -> None:
    found = calibrate(np.array([[np.float32(1.0000001), 0]], dtype=np.float32), np.array([0]))
    assert found.bins[-1].num_images == 1


def test_pooled_bins_are_those_of_all_predictions_together() -> None:
    parts = [draw_predictions(num_images, 3, num_images) for num_images in (7, 120)]
    together = calibrate(np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts]))
    pooled = pool_bins([calibrate(*part) for part in parts])
    assert [b.num_images for b in pooled] == [b.num_images for b in together.bins]
    for found, expected in zip(pooled, together.bins, strict=True):
        assert (found.low, found.high) == (expected.low, expected.high)
        assert found.confidence == (None if expected.confidence is None else pytest.approx(expected.confidence))
        assert found.accuracy == (None if expected.accuracy is None else pytest.approx(expected.accuracy))


def test_bins_that_differ_are_not_pooled() -> None:
    probabilities, labels = draw_predictions(20, 3, 0)
    with pytest.raises(MetricError, match="same bins"):
        pool_bins([calibrate(probabilities, labels), calibrate(probabilities, labels, num_bins=5)])
    with pytest.raises(MetricError, match="some"):
        pool_bins([])
