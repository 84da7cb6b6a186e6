"""Votes against closed forms and scikit-learn's VotingClassifier."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder

from bakeoff.stats.ensembles import VOTES, cast_vote, find_vote
from bakeoff.stats.metrics import MetricError, classification_metrics


def make_models(num_models: int = 5, num_images: int = 200, num_classes: int = 4, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.ones(num_classes), size=(num_models, num_images))


class Fixed:
    """A fitted classifier whose probabilities are known, as scikit-learn sees one."""

    def __init__(self, probabilities_NC: NDArray[np.float64]) -> None:
        self.probabilities_NC = probabilities_NC

    def predict_proba(self, images: Any) -> NDArray[np.float64]:
        return self.probabilities_NC

    def predict(self, images: Any) -> NDArray[np.int64]:
        return np.asarray(self.probabilities_NC.argmax(axis=1))


def vote_as_sklearn(models: NDArray[np.float64], voting: str) -> VotingClassifier:
    voter = VotingClassifier([(str(number), None) for number in range(len(models))], voting=voting)
    voter.estimators_ = [Fixed(model) for model in models]
    voter.le_ = LabelEncoder().fit(np.arange(models.shape[2]))
    voter.classes_ = voter.le_.classes_
    return voter


def test_a_soft_vote_is_that_of_sklearn() -> None:
    models = make_models()
    voter = vote_as_sklearn(models, "soft")
    np.testing.assert_allclose(cast_vote(models, "soft"), voter.predict_proba(np.zeros(200)), rtol=1e-12)


def test_a_hard_vote_is_that_of_sklearn_where_no_tie_is() -> None:
    models = make_models(num_models=5)
    voices = (models.argmax(axis=2)[:, :, None] == np.arange(4)).sum(axis=0)
    clear = np.sort(voices, axis=1)[:, -1] > np.sort(voices, axis=1)[:, -2]
    expected = vote_as_sklearn(models, "hard").predict(np.zeros(200))
    assert clear.sum() > 50
    np.testing.assert_array_equal(cast_vote(models, "hard").argmax(axis=1)[clear], expected[clear])


def test_a_tie_of_voices_goes_to_the_larger_mean_probability() -> None:
    models = np.array([[[0.6, 0.4, 0.0]], [[0.1, 0.9, 0.0]]])
    vote = cast_vote(models, "hard")
    assert vote.argmax() == 1
    np.testing.assert_allclose(vote, [[(1 + 0.35) / 3, (1 + 0.65) / 3, 0.0]])


def test_one_voice_more_always_wins() -> None:
    # Two barely say 0, one is sure of 1: the mean probability of 1 is the larger by far.
    models = np.array([[[0.501, 0.499]], [[0.501, 0.499]], [[0.0, 1.0]]])
    assert cast_vote(models, "soft").argmax() == 1
    assert cast_vote(models, "hard").argmax() == 0


def test_the_mean_of_logits_is_the_normalised_geometric_mean() -> None:
    logits = np.random.default_rng(1).normal(0, 3, size=(4, 50, 6))
    models = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    mean = logits.mean(axis=0)
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cast_vote(models, "logits"), expected, rtol=1e-9)
    np.testing.assert_allclose(cast_vote(np.array([[[0.9, 0.1]], [[0.5, 0.5]]]), "logits"), [[0.75, 0.25]])


def test_logits_of_sure_models_stay_finite() -> None:
    models = np.array([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(cast_vote(models, "logits"), [[0.5, 0.5]])


def test_a_weighted_vote_is_the_weighted_mean() -> None:
    models = make_models(num_models=3)
    weights = np.array([0.5, 0.3, 0.2])
    expected = 0.5 * models[0] + 0.3 * models[1] + 0.2 * models[2]
    np.testing.assert_allclose(cast_vote(models, "weighted", weights), expected, rtol=1e-12)


@pytest.mark.parametrize("by", [record.name for record in VOTES])
def test_every_vote_gives_probabilities_that_can_be_scored(by: str) -> None:
    models = make_models().astype(np.float32)
    weights = np.full(5, 0.2) if find_vote(by).is_fitted else None
    vote = cast_vote(models, by, weights)
    assert vote.dtype == np.float64
    np.testing.assert_allclose(vote.sum(axis=1), 1.0, rtol=1e-6)
    assert np.isfinite(classification_metrics(vote, np.zeros(200, dtype=np.int64))["loss"])


@pytest.mark.parametrize("by", [record.name for record in VOTES])
def test_a_model_votes_as_itself_when_it_is_alone(by: str) -> None:
    models = make_models(num_models=1)
    vote = cast_vote(models, by, np.ones(1) if find_vote(by).is_fitted else None)
    np.testing.assert_array_equal(vote.argmax(axis=1), models[0].argmax(axis=1))


def test_what_cannot_vote_is_refused() -> None:
    models = make_models()
    with pytest.raises(MetricError, match=r"'sfot'.*'soft'"):
        cast_vote(models, "sfot")
    with pytest.raises(MetricError, match=r"needs .*weights"):
        cast_vote(models, "greedy")
    with pytest.raises(MetricError, match="no weights"):
        cast_vote(models, "soft", np.full(5, 0.2))
    models[2, 3, 1] = np.nan
    with pytest.raises(MetricError, match="diverged"):
        cast_vote(models, "logits")


def test_names_are_listed_once() -> None:
    assert len({record.name for record in VOTES}) == len(VOTES)
