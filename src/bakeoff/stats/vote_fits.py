"""The weights of a vote, fitted on validation images: by log loss, or by greedy selection.

Shape suffixes: M models, N images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.stats.classes import average_votes
from bakeoff.stats.ensembles import TINY, Votes, cast_vote, find_vote
from bakeoff.stats.metrics import MetricError, check_predictions, classification_metrics, find_metric

ROUNDS = 50
"""Models that greedy selection adds at most, beside those it begins with."""

PATIENCE = 10
"""Rounds without anything better after which greedy selection ends."""

NUM_PARTS = 5
"""Parts of the validation images for `cross_vote`."""

_NO_VOICE = 1e-9
"""Fitted weights up to this are rounding, and count as 0."""

_Score: TypeAlias = tuple[float, float]
"""The metric, higher is better, and the negative log loss that tells equal ones apart."""


def fit_vote(
    probabilities_MNC: NDArray[np.floating], labels_N: NDArray[np.integer], by: str, metric: str = "accuracy"
) -> Votes | None:
    """Choose the weights of a fitted vote on images that no model trained on; None for a way that has none.

    Args:
        probabilities_MNC: [M, N, C].
        labels_N: [N], 0..C-1.
        by: a name of VOTES.
        metric: what greedy selection raises.

    Raises:
        MetricError: an unknown way or metric, or predictions that cannot be scored.
    """
    if by == "weighted":
        return fit_weights(probabilities_MNC, labels_N)
    if by == "greedy":
        return select_greedily(probabilities_MNC, labels_N, metric=metric)
    find_vote(by)
    return None


def fit_weights(probabilities_MNC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> Votes:
    """Return the weights [M], 0..1, summing to 1, whose weighted mean of probabilities has the least log loss.

    The loss is convex in the weights, so the least one is the least of all. Found by sequential quadratic programming;
    never worse than equal weights or than the best single model.

    Raises:
        MetricError: no model, or predictions that cannot be scored.
    """
    from scipy.optimize import LinearConstraint, minimize

    average_votes(probabilities_MNC)
    check_predictions(probabilities_MNC[0], labels_N)
    num_models, num_images = len(probabilities_MNC), len(labels_N)
    right_MN = np.maximum(probabilities_MNC[:, np.arange(num_images), labels_N].astype(np.float64), TINY)
    # Scaling an image's probabilities moves the loss by a constant only, and keeps confident mistakes from overflowing.
    right_MN = right_MN / right_MN.max(axis=0)

    def loss_and_gradient(weights_M: Votes) -> tuple[float, Votes]:
        pooled_N = np.maximum(weights_M @ right_MN, TINY)
        return float(-np.log(pooled_N).mean()), -(right_MN / pooled_N).mean(axis=1)

    equal_M = np.full(num_models, 1 / num_models)
    found = minimize(
        loss_and_gradient,
        equal_M,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * num_models,
        constraints=LinearConstraint(np.ones((1, num_models)), 1.0, 1.0),
        options={"ftol": 1e-12, "maxiter": 500},
    )
    fitted_M = np.where(found.x > _NO_VOICE, found.x, 0.0)
    candidates = [fitted_M / fitted_M.sum(), equal_M, *np.eye(num_models)]
    return min(candidates, key=lambda weights_M: loss_and_gradient(weights_M)[0])


def select_greedily(
    probabilities_MNC: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    *,
    metric: str = "accuracy",
    rounds: int = ROUNDS,
) -> Votes:
    """Return weights [M] in multiples of 1 / size: how often each model was selected.

    Selection begins with the best models, as many of them as serve best together, and goes on by adding, with
    replacement, the model with which the mean of probabilities scores best. The best set on the way is kept, the
    smallest among equals. The way passes the best single model, so on these images the set is never worse than that.
    Equal scores are told apart by log loss, then by the order of models. We stop after `PATIENCE` rounds without
    anything better, and leave out bagging (section 2.4).

    Args:
        probabilities_MNC: [M, N, C].
        labels_N: [N], 0..C-1.
        metric: of METRICS.
        rounds: models added at most.

    Raises:
        MetricError: no model, an unknown metric, or predictions that cannot be scored.
    """
    average_votes(probabilities_MNC)
    models = [model_NC.astype(np.float64) for model_NC in probabilities_MNC]
    chosen, best = _begin_sorted(models, labels_N, metric)
    selected = list(chosen)
    total_NC = np.sum([models[number] for number in selected], axis=0)
    for _ in range(rounds):
        scores = [_score((total_NC + model_NC) / (len(selected) + 1), labels_N, metric) for model_NC in models]
        added = max(range(len(models)), key=scores.__getitem__)
        selected.append(added)
        total_NC = total_NC + models[added]
        if scores[added] > best:
            chosen, best = list(selected), scores[added]
        elif len(selected) - len(chosen) >= PATIENCE:
            break
    return np.bincount(chosen, minlength=len(models)) / len(chosen)


def cross_vote(
    probabilities_MNC: NDArray[np.floating], labels_N: NDArray[np.integer], by: str, metric: str = "accuracy"
) -> Votes:
    """Let models vote on the images that a fitted vote's weights are chosen on: every image by weights that did not see
    it.

    The images of every class are dealt to `NUM_PARTS` parts in turn; each part is voted on with the weights fitted on
    the others. What is scored is thus the way of voting, not the one set of weights that all images choose; a score of
    these would be too good. Nothing is drawn. A way that is not fitted votes as `cast_vote` does.

    Args:
        probabilities_MNC: [M, N, C].
        labels_N: [N], 0..C-1.
        by: a name of VOTES.
        metric: what greedy selection raises.

    Raises:
        MetricError: an unknown way or metric, predictions that cannot be scored, or a single image for a fitted way.
    """
    if not find_vote(by).is_fitted:
        return cast_vote(probabilities_MNC, by)
    part_N = _deal(labels_N)
    if len(labels_N) < 2:
        raise MetricError("weights cannot be fitted and judged on one image: keep more for validation")
    votes_NC = np.empty(probabilities_MNC.shape[1:])
    for part in np.unique(part_N):
        out_N = part_N == part
        weights_M = fit_vote(probabilities_MNC[:, ~out_N], labels_N[~out_N], by, metric)
        votes_NC[out_N] = cast_vote(probabilities_MNC[:, out_N], by, weights_M)
    return votes_NC


def _begin_sorted(models: Sequence[Votes], labels_N: NDArray[np.integer], metric: str) -> tuple[list[int], _Score]:
    """Return the best models, as many as serve best together, and their score (Caruana et al. 2004, section 2.3)."""
    alone = [_score(model_NC, labels_N, metric) for model_NC in models]
    order = sorted(range(len(models)), key=alone.__getitem__, reverse=True)
    chosen, best = order[:1], alone[order[0]]
    total_NC = models[order[0]]
    for size in range(2, len(order) + 1):
        total_NC = total_NC + models[order[size - 1]]
        found = _score(total_NC / size, labels_N, metric)
        if found > best:
            chosen, best = order[:size], found
    return chosen, best


def _score(votes_NC: Votes, labels_N: NDArray[np.integer], metric: str) -> _Score:
    metrics = classification_metrics(votes_NC, labels_N, (metric,))
    return (metrics[metric] if find_metric(metric).higher_is_better else -metrics[metric]), -metrics["loss"]


def _deal(labels_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the part of every image: a class is dealt in turn, going on where the class before stopped."""
    part_N = np.empty(len(labels_N), dtype=np.int64)
    part_N[np.argsort(labels_N, kind="stable")] = np.arange(len(labels_N)) % NUM_PARTS
    return part_N
