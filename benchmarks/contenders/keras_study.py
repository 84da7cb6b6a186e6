"""The weight-initializer question as a Keras program: one trial after another, early stopping, metrics, a table.

    python -m contenders.keras_study '{"pixels": ..., "labels": ..., "test_pixels": ..., "test_labels": ..., ...}'

What `weight-init` asks of LeNet on CIFAR-10, written as a Keras user writes it: `fit` with `EarlyStopping` on a
validation split of a tenth, best weights restored, then `predict` on the three splits, accuracy and macro precision,
recall and F1. One line of JSON a trial, then the table.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from contenders.common import Job
from contenders.keras_tensorflow import build_model

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def main() -> None:
    """Train every arm for every replicate; print each trial, then the table."""
    job = json.loads(sys.argv[1])
    if job.get("threads"):
        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    inputs, labels = load(job["pixels"], job["labels"], job["limit"])
    test = load(job["test_pixels"], job["test_labels"], job["limit"])
    trials = []
    for seed in job["seeds"]:
        for arm in job["arms"]:
            trials.append(run_trial(job, arm, seed, (inputs, labels), test))
            print(json.dumps(trials[-1]), flush=True)
    for trial in sorted(trials, key=lambda trial: -trial["metrics"]["test"]["accuracy"]):
        print(f"{trial['arm']:<18}{trial['metrics']['test']['accuracy']:.4f}", file=sys.stderr)


def load(pixels: str, labels: str, limit: int | None) -> Split:
    """Return scaled images and their labels."""
    return np.asarray(np.load(pixels)[:limit], np.float32) / 255, np.load(labels)[:limit]


def run_trial(job: dict[str, Any], arm: str, seed: int, whole: Split, test: Split) -> dict[str, Any]:
    """Train one model and evaluate it."""
    started = time.perf_counter()
    keras.utils.set_random_seed(seed)
    train, validation = split(*whole, seed)
    model = build_model(Job(network=job["network"], pixels="", labels="", setting={}), arm, train[0].shape[1:])
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=job["patience"], restore_best_weights=True)
    history = model.fit(
        *train,
        batch_size=32,
        epochs=job["epochs"],
        validation_data=validation,
        callbacks=[stopping],
        verbose=0,
    )
    splits = {"train": train, "validation": validation, "test": test}
    metrics = {
        name: measure(model.predict(images, batch_size=128, verbose=0), labels)
        for name, (images, labels) in splits.items()
    }
    return {
        "arm": arm,
        "seed": seed,
        "epochs": len(history.history["loss"]),
        "seconds": time.perf_counter() - started,
        "metrics": metrics,
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def split(inputs: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], seed: int) -> tuple[Split, Split]:
    """Hold out a tenth of every class."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held[members[: len(members) // 10]] = True
    return (inputs[~held], labels[~held]), (inputs[held], labels[held])


def measure(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return accuracy and macro precision, recall and F1."""
    guesses = probabilities.argmax(axis=1)
    counts = np.zeros((probabilities.shape[1],) * 2)
    np.add.at(counts, (labels, guesses), 1)
    hits = np.diag(counts)
    precision = hits / np.maximum(counts.sum(0), 1)
    recall = hits / np.maximum(counts.sum(1), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {
        "accuracy": float((guesses == labels).mean()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


if __name__ == "__main__":
    main()
