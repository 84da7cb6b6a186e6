"""What the programs here train, two arms of five seeds on scikit-learn's digits, and the scores as they saw them."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

ARMS = {"adam": {"solver": "adam", "learning_rate_init": 0.002}, "sgd": {"solver": "sgd", "learning_rate_init": 0.05}}
SEEDS = range(5)
EPOCHS = 6

Array = npt.NDArray[np.float32]


def split(seed: int) -> tuple[Array, Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return training and validation images, then their labels; images are [N, 64] in 0..1."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        (images / 16).astype(np.float32), labels.astype(np.int64), test_size=0.4, random_state=seed, stratify=labels
    )
    return tuple(parts)


def train(arm: str, seed: int) -> Iterator[dict[str, float]]:
    """Train a small network in scikit-learn; yield its scores after each epoch."""
    images, held_out, labels, held_out_labels = split(seed)
    model = MLPClassifier((24,), random_state=seed, batch_size=64, **ARMS[arm])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(EPOCHS):
            model.partial_fit(images, labels, classes=range(10))
            yield {
                "val_accuracy": float(model.score(held_out, held_out_labels)),
                "train_loss": float(model.loss_),
                "val_loss": float(log_loss(held_out_labels, model.predict_proba(held_out))),
            }


def get_folder(tool: str) -> Path:
    """Return the new folder for a tool's files, below the folder named on the command line."""
    folder = Path(sys.argv[1]).absolute() / tool
    folder.mkdir(parents=True)
    return folder


class Scores:
    """The scores that a program saw itself, written to TOOL.csv beside the folder of its tool's own files."""

    def __init__(self, tool: str, metric: str) -> None:
        self.path = Path(sys.argv[1]) / f"{tool}.csv"
        self.rows: list[tuple[object, ...]] = [("arm", "seed", metric)]

    def add(self, arm: str, seed: int, score: float) -> None:
        self.rows.append((arm, seed, repr(float(score))))

    def write(self) -> None:
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows(self.rows)
