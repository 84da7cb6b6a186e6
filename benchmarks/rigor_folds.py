"""Verdicts from folds, whose training images overlap: simulated studies of equal arms.

    python benchmarks/rigor_folds.py --studies 2000

First the overlap that the corrected t assumes: any two folds correlate by n_test / (n_train + n_test). Then real
learners on real folds: the arms train the same learner on their own, equally good features, so that no arm is better on
average over datasets, and all folds of a dataset share training images. Last the same learners with all folds' models
scored on one common test set, which the corrected t does not take into account.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rigor_pairs import ERROR_RATE, NUM_ARMS, count_false, judge_all, percent, run_tables

from bakeoff.stats.family import adjust_holm

Row = dict[str, Any]
Learner = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

NUM_IMAGES = 200
VALIDATION = 0.1
"""Fraction of the images outside the held-out fold for validation, which the learners here do not use."""

NUM_FEATURES = 5
SHAPES = ((5, 1), (5, 2), (10, 1), (10, 3))
"""Numbers of folds and replicates."""


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
    """Judge equal arms that are trained on overlapping folds, with one small dataset per study."""
    rows = []
    for name, learn in LEARNERS.items():
        for num_folds, num_replicates in SHAPES:
            rng = np.random.default_rng([num_folds, num_replicates])
            studies = [train_study(rng, learn, num_folds, num_replicates).held_out for _ in range(num_studies)]
            rows.append(make_row(name, num_folds, num_replicates, studies, VALIDATION))
    return rows


def measure_common(num_studies: int) -> list[Row]:
    """Judge equal arms of 5 folds on one common test set, and on their held-out folds."""
    rows = []
    for name, learn in LEARNERS.items():
        for num_images, num_common, num_arms in ((200, 359, NUM_ARMS), (1_438, 359, NUM_ARMS), (1_438, 5_000, 2)):
            rng = np.random.default_rng([num_images, num_common])
            studies = [train_study(rng, learn, 5, 1, num_images, num_common, num_arms) for _ in range(num_studies)]
            for scored_on, share in (("common test set", 1 / 4), ("held-out folds", share_of(5, VALIDATION))):
                scores = [study.common if scored_on == "common test set" else study.held_out for study in studies]
                found = count_false([judge_all(each, test_share=share) for each in scores])
                about = {"scores": name, "arms": num_arms, "images": num_images, "test images": num_common}
                rows.append({**about, "judged on": scored_on, **found})
    return rows


def share_of(num_folds: int, validation: float = 0.0) -> float:
    """Return the ratio of images scored in a fold to images trained on."""
    return 1 / ((num_folds - 1) * (1 - validation))


def make_row(
    name: str, num_folds: int, num_replicates: int, studies: list[NDArray[np.float64]], validation: float = 0.0
) -> Row:
    """Count false winners with the plain and the corrected t, both with Holm's correction."""
    plain = [[pair.p or 1.0 for pair in judge_all(scores)] for scores in studies]
    corrected = [judge_all(scores, test_share=share_of(num_folds, validation)) for scores in studies]
    return {
        "folds": num_folds,
        "replicates": num_replicates,
        "scores": name,
        "false winner, plain t": percent(np.mean([min(adjust_holm(ps)) <= ERROR_RATE for ps in plain])),
        **count_false(corrected),
    }


# --- Real learners ------------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    """Accuracies [arms, replicates x folds] of one study, on held-out folds and on one common test set."""

    held_out: NDArray[np.float64]
    common: NDArray[np.float64]


def train_study(
    rng: np.random.Generator,
    learn: Learner,
    num_folds: int,
    num_replicates: int,
    num_images: int = NUM_IMAGES,
    num_common: int = 2,
    num_arms: int = NUM_ARMS,
) -> Scores:
    """Draw a dataset and a common test set; train every arm on every fold, without a validation split.

    Features are independent given the class, and distributed equally for all arms, so the arms are equal by symmetry.
    """
    total = num_images + num_common
    classes_N = rng.permuted(np.resize([-1.0, 1.0], total))
    features_ANF = rng.standard_normal((num_arms, total, NUM_FEATURES)) + 0.4 * classes_N[:, None]
    common_N = np.arange(num_images, total)
    held_out, common = [], []
    for _ in range(num_replicates):
        for test_N in np.array_split(rng.permutation(num_images), num_folds):
            rest_N = np.setdiff1d(np.arange(num_images), test_N, assume_unique=True)
            train_N = rng.permutation(rest_N)[round(VALIDATION * len(rest_N)) :]
            for scored_N, scores in ((test_N, held_out), (common_N, common)):
                answers_AN = learn(features_ANF[:, train_N], classes_N[train_N], features_ANF[:, scored_N])
                scores.append((np.sign(answers_AN) == classes_N[scored_N]).mean(axis=1))
    return Scores(np.stack(held_out, axis=1), np.stack(common, axis=1))


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
    """Nearest centroid: positive if class 1 is nearer."""
    low_AF, high_AF = (train_ANF[:, classes_N == value].mean(axis=1) for value in (-1, 1))
    middle_AF, axis_AF = (low_AF + high_AF) / 2, high_AF - low_AF
    return np.asarray(((test_ANF - middle_AF[:, None]) @ axis_AF[..., None])[..., 0])


def learn_neighbour(
    train_ANF: NDArray[np.float64], classes_N: NDArray[np.float64], test_ANF: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One nearest neighbour: unstable, so that folds differ more."""
    products_ANM = test_ANF @ train_ANF.transpose(0, 2, 1)
    nearest_AN = ((train_ANF**2).sum(axis=2)[:, None] - 2 * products_ANM).argmin(axis=2)
    return np.asarray(classes_N[nearest_AN])


LEARNERS: dict[str, Learner] = {
    "ridge": learn_ridge,
    "nearest centroid": learn_centroids,
    "nearest neighbour": learn_neighbour,
}

TABLES: dict[str, Callable[[int], list[Row]]] = {
    "folds as assumed": measure_model,
    "real folds": measure_learners,
    "a common test set": measure_common,
}

if __name__ == "__main__":
    main()
