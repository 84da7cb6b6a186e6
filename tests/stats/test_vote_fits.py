"""Fitted votes against closed forms, optimality conditions and exhaustive search."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bakeoff.stats.ensembles import VOTES, cast_vote
from bakeoff.stats.metrics import MetricError, classification_metrics
from bakeoff.stats.vote_fits import cross_vote, fit_vote, fit_weights, select_greedily

FITTED = [record.name for record in VOTES if record.is_fitted]


def make_models(
    num_models: int = 4, num_images: int = 120, num_classes: int = 3, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Models that know the labels to a degree of their own, each with its own mistakes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_images)
    skill = np.linspace(0.5, 2.0, num_models)[:, None, None]
    logits = rng.normal(0, 1.5, size=(num_models, num_images, num_classes)) + skill * np.eye(num_classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), labels


def loss_of(models: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    return classification_metrics(cast_vote(models, "weighted", weights), labels)["loss"]


@pytest.mark.parametrize("seed", range(8))
def test_weights_satisfy_the_conditions_of_the_optimum(seed: int) -> None:
    # On the simplex the least log loss has the derivative 1 for every model that takes part, and at most 1 for others.
    models, labels = make_models(num_models=6, seed=seed)
    weights = fit_weights(models, labels)
    right = models[:, np.arange(len(labels)), labels]
    derivative = (right / (weights @ right)).mean(axis=1)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(derivative[weights > 1e-4], 1.0, atol=1e-3)
    assert derivative.max() <= 1 + 1e-3


def test_weights_of_two_models_in_closed_form() -> None:
    # The first is right on 3 of 4 images, surely; the second on the other, surely: weights are these shares.
    models = np.array([[[1.0, 0.0]] * 3 + [[0.0, 1.0]], [[0.0, 1.0]] * 3 + [[1.0, 0.0]]])
    np.testing.assert_allclose(fit_weights(models, np.zeros(4, dtype=np.int64)), [0.75, 0.25], atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_weights_are_never_worse_than_equal_ones_or_one_model(seed: int) -> None:
    models, labels = make_models(num_models=5, num_images=10, seed=seed)
    rivals = [np.full(5, 0.2), *np.eye(5)]
    assert loss_of(models, labels, fit_weights(models, labels)) <= min(loss_of(models, labels, w) for w in rivals)


@pytest.mark.parametrize("metric", ["accuracy", "loss", "macro_f1"])
@pytest.mark.parametrize("seed", range(6))
def test_greedy_selection_is_never_worse_than_its_best_member(metric: str, seed: int) -> None:
    models, labels = make_models(num_models=7, num_images=40, seed=seed)
    weights = select_greedily(models, labels, metric=metric)
    sign = -1 if metric == "loss" else 1
    alone = [sign * classification_metrics(model, labels)[metric] for model in models]
    together = sign * classification_metrics(cast_vote(models, "greedy", weights), labels)[metric]
    assert together >= max(alone) - 1e-12
    assert weights.sum() == pytest.approx(1)


def test_greedy_selection_finds_the_best_small_set_by_loss() -> None:
    models, labels = make_models(num_models=3, num_images=60, seed=3)
    found = loss_of(models, labels, select_greedily(models, labels, metric="loss"))
    sets = [np.bincount(chosen, minlength=3) / 4 for chosen in combinations_with_replacement(range(3), 4)]
    assert found <= min(loss_of(models, labels, weights) for weights in sets) + 2e-3


def test_greedy_selection_takes_a_model_several_times() -> None:
    # A model that is right but unsure against one that is surely wrong on one image: only 2 : 1 is right on all.
    right, wrong = [0.7, 0.3], [0.15, 0.85]
    models = np.array([[right, right, [0.45, 0.55]], [right, wrong, [0.95, 0.05]]])
    labels = np.zeros(3, dtype=np.int64)
    assert classification_metrics(cast_vote(models, "soft"), labels)["accuracy"] < 1
    weights = select_greedily(models, labels)
    assert classification_metrics(cast_vote(models, "greedy", weights), labels)["accuracy"] == 1
    assert 0.5 < weights[0] < 1


def test_greedy_selection_keeps_one_model_that_others_only_harm() -> None:
    labels = np.array([0, 1, 0, 1])
    good, bad = np.eye(2)[labels] * 0.98 + 0.01, np.eye(2)[1 - labels] * 0.98 + 0.01
    np.testing.assert_array_equal(select_greedily(np.array([bad, good, bad]), labels), [0, 1, 0])


def test_a_way_without_weights_is_not_fitted() -> None:
    models, labels = make_models()
    assert fit_vote(models, labels, "soft") is None
    with pytest.raises(MetricError, match="unknown vote"):
        fit_vote(models, labels, "best")
    np.testing.assert_array_equal(cross_vote(models, labels, "hard"), cast_vote(models, "hard"))


@pytest.mark.parametrize("by", FITTED)
def test_a_cross_vote_does_not_see_the_labels_it_is_judged_by(by: str) -> None:
    models, labels = make_models(num_images=50)
    votes = cross_vote(models, labels, by)
    np.testing.assert_allclose(votes.sum(axis=1), 1.0)
    # Images 0..9 of every class in order: the first five of the stable order open the five parts.
    order = np.argsort(labels, kind="stable")
    part = order[::5]
    rest = np.setdiff1d(np.arange(50), part)
    weights = fit_vote(models[:, rest], labels[rest], by)
    np.testing.assert_allclose(votes[part], cast_vote(models[:, part], by, weights), rtol=1e-12)


@pytest.mark.parametrize("by", FITTED)
def test_a_fitted_vote_of_pure_chance_is_not_flattered(by: str) -> None:
    # Twenty models that know nothing: fitted and judged on the same images they seem to, out of fit they do not.
    rng = np.random.default_rng(5)
    models, labels = rng.dirichlet(np.ones(2), size=(20, 100)), rng.integers(2, size=100)
    seen = classification_metrics(cast_vote(models, by, fit_vote(models, labels, by)), labels)["accuracy"]
    unseen = classification_metrics(cross_vote(models, labels, by), labels)["accuracy"]
    assert seen > 0.6 > unseen


@pytest.mark.parametrize("by", FITTED)
def test_fitting_is_deterministic_and_follows_the_models(by: str) -> None:
    models, labels = make_models(num_models=4, seed=2)
    weights = fit_vote(models, labels, by)
    assert weights is not None
    again, turned = fit_vote(models, labels, by), fit_vote(models[::-1], labels, by)
    np.testing.assert_array_equal(weights, again)
    np.testing.assert_allclose(weights, np.asarray(turned)[::-1], atol=1e-4)


def test_one_image_is_too_few() -> None:
    models, _ = make_models(num_images=1)
    with pytest.raises(MetricError, match="one image"):
        cross_vote(models, np.zeros(1, dtype=np.int64), "greedy")


@pytest.mark.parametrize("seed", range(4))
def test_more_rounds_never_lose_what_fewer_found(seed: int) -> None:
    models, labels = make_models(num_models=4, num_images=30, seed=seed)
    losses = [loss_of(models, labels, select_greedily(models, labels, metric="loss", rounds=n)) for n in range(25)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(losses))
