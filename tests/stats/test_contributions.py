from __future__ import annotations

import numpy as np
import pytest

from bakeoff.stats.contributions import contribute
from bakeoff.stats.metrics import METRICS, score_by


def predict(seed: int, num_images: int = 120, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(num_classes, num_images, p=[0.55, 0.25, 0.15, 0.05])
    logits = rng.normal(size=(num_images, num_classes))
    logits[np.arange(num_images), labels] += 1.5
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("record", METRICS, ids=lambda record: record.name)
def test_mean_is_the_score(record: object) -> None:
    name = record.name  # type: ignore[attr-defined]
    for seed in range(6):
        probabilities, labels = predict(seed)
        if seed == 5:  # a class that is called but does not occur
            probabilities, labels = probabilities[labels != 1], labels[labels != 1]
        found = contribute(name, probabilities, labels)
        assert found is not None
        score = score_by(name, probabilities, labels)
        assert found.mean(dtype=np.float64) == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("name", ["macro_precision", "macro_recall", "macro_f1", "roc_auc", "mcc", "ece"])
def test_influence_is_the_change_when_an_image_counts_a_little_more(name: str) -> None:
    probabilities, labels = predict(0)
    found, extra = contribute(name, probabilities, labels), 12
    assert found is not None
    before = score_by(name, probabilities, labels)
    for image in (0, 7, 60):
        # All images 1,000 times, one of them 12 times more: the derivative by its weight.
        many = np.concatenate([np.tile(np.arange(120), 1_000), np.full(extra, image)])
        after = score_by(name, probabilities[many], labels[many])
        assert (after - before) / (extra / 120_000) == pytest.approx(found[image] - before, rel=0.01, abs=1e-4)


@pytest.mark.parametrize("name", ["macro_precision", "macro_recall", "macro_f1", "roc_auc", "mcc"])
def test_variance_over_images_is_the_bootstrap_s(name: str) -> None:
    probabilities, labels = predict(1, num_images=600)
    found, rng = contribute(name, probabilities, labels), np.random.default_rng(0)
    assert found is not None
    scores = []
    for _ in range(400):
        drawn = rng.integers(0, 600, 600)
        scores.append(score_by(name, probabilities[drawn], labels[drawn]))
    assert np.std(scores) == pytest.approx(found.std() / 600**0.5, rel=0.15)


def test_small_types_and_unknown_metrics() -> None:
    probabilities, labels = predict(2)
    right, loss = contribute("accuracy", probabilities, labels), contribute("loss", probabilities, labels)
    assert right is not None
    assert loss is not None
    assert (right.dtype, loss.dtype) == (np.bool_, np.float32)
    assert contribute("brightness", probabilities, labels) is None
