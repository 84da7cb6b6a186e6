"""Verdicts from folds, which overlap in the images they train on: simulated studies of equal arms.

    python benchmarks/rigor_folds.py --studies 2000

First the overlap as the corrected t assumes it: any two folds correlate by n_test / (n_train + n_test). Then real
learners on real folds: the arms train the same learner on features of their own, of which all arms have equally
good ones, so that no arm is better on average over data sets, and all folds of a data set share training images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, NUM_ARMS, count_false, judge_all, percent, run_tables

from bakeoff.analysis.family import adjust_holm

Row = dict[str, Any]
Learner = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

NUM_IMAGES = 200
NUM_FEATURES = 5
SHAPES = ((5, 1), (5, 2), (10, 1), (10, 3))
"""Folds, and replicates of them."""


def main() -> dict[str, list[Row]]:
    """Measure, print, and return the tables as JSON values."""
    return run_tables(__doc__ or "", TABLES)


def measure_model(num_studies: int) -> list[Row]:
    """Judge equal arms whose folds correlate as the corrected t assumes."""
    rows = []
    for num_folds, num_replicates in SHAPES:
        rng = np.random.default_rng([num_folds, num_replicates])
        correlation = 1 / num_folds
        studies = [
            math.sqrt(correlation) * rng.standard_normal((NUM_ARMS, 1))
            + math.sqrt(1 - correlation) * rng.standard_normal((NUM_ARMS, num_folds * num_replicates))
            for _ in range(num_studies)
        ]
        rows.append(make_row("correlation 1 / folds", num_folds, num_replicates, studies))
    return rows


def measure_learners(num_studies: int) -> list[Row]:
    """Judge equal arms that are trained on overlapping folds of one small data set a study."""
    rows = []
    for name, learn in LEARNERS.items():
        for num_folds, num_replicates in SHAPES:
            rng = np.random.default_rng([num_folds, num_replicates])
            studies = [train_study(rng, learn, num_folds, num_replicates) for _ in range(num_studies)]
            rows.append(make_row(name, num_folds, num_replicates, studies))
    return rows


def make_row(name: str, num_folds: int, num_replicates: int, studies: list[NDArray[np.float64]]) -> Row:
    """Count false winners by the plain and by the corrected t, both with Holm."""
    plain = [[pair.p or 1.0 for pair in judge_all(scores)] for scores in studies]
    corrected = [judge_all(scores, test_share=1 / (num_folds - 1)) for scores in studies]
    return {
        "folds": num_folds,
        "replicates": num_replicates,
        "scores": name,
        "false winner, plain t": percent(np.mean([min(adjust_holm(ps)) <= ERROR_RATE for ps in plain])),
        **count_false(corrected),
    }


# --- Real learners ------------------------------------------------------------------------------------------------


def train_study(rng: np.random.Generator, learn: Learner, num_folds: int, num_replicates: int) -> NDArray[np.float64]:
    """Draw a data set, train every arm on every fold of it; accuracies [arms, replicates x folds].

    Features are independent given the class and alike in all arms' groups, so the arms are equal by symmetry.
    """
    classes_N = rng.permuted(np.repeat([-1.0, 1.0], NUM_IMAGES // 2))
    features_ANF = rng.standard_normal((NUM_ARMS, NUM_IMAGES, NUM_FEATURES)) + 0.4 * classes_N[:, None]
    scores = []
    for _ in range(num_replicates):
        for test_N in np.array_split(rng.permutation(NUM_IMAGES), num_folds):
            train_N = np.setdiff1d(np.arange(NUM_IMAGES), test_N, assume_unique=True)
            answers_AN = learn(features_ANF[:, train_N], classes_N[train_N], features_ANF[:, test_N])
            scores.append((np.sign(answers_AN) == classes_N[test_N]).mean(axis=1))
    return np.stack(scores, axis=1)


def learn_ridge(
    train_ANF: NDArray[np.float64], classes_N: NDArray[np.float64], test_ANF: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ridge regression on the classes -1 and 1."""
    gram_AFF = train_ANF.transpose(0, 2, 1) @ train_ANF + np.eye(train_ANF.shape[2])
    weights_AF1 = np.linalg.solve(gram_AFF, train_ANF.transpose(0, 2, 1) @ classes_N[:, None])
    return np.asarray((test_ANF @ weights_AF1)[..., 0])


def learn_centroids(
    train_ANF: NDArray[np.float64], classes_N: NDArray[np.float64], test_ANF: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Nearest centroid: positive where the class 1 is nearer."""
    low_AF, high_AF = (train_ANF[:, classes_N == value].mean(axis=1) for value in (-1, 1))
    middle_AF, axis_AF = (low_AF + high_AF) / 2, high_AF - low_AF
    return np.asarray(((test_ANF - middle_AF[:, None]) @ axis_AF[..., None])[..., 0])


def learn_neighbour(
    train_ANF: NDArray[np.float64], classes_N: NDArray[np.float64], test_ANF: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One nearest neighbour: unstable, so that folds share more than their images."""
    products_ANM = test_ANF @ train_ANF.transpose(0, 2, 1)
    nearest_AN = ((train_ANF**2).sum(axis=2)[:, None] - 2 * products_ANM).argmin(axis=2)
    return np.asarray(classes_N[nearest_AN])


LEARNERS: dict[str, Learner] = {
    "ridge": learn_ridge,
    "nearest centroid": learn_centroids,
    "nearest neighbour": learn_neighbour,
}

TABLES: dict[str, Callable[[int], list[Row]]] = {"folds as assumed": measure_model, "real folds": measure_learners}

if __name__ == "__main__":
    main()
