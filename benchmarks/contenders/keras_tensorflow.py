"""Keras on TensorFlow: `model.fit` on NumPy arrays, one model at a time, float32.

Needs tensorflow and no torch. `setting`: {"jit_compile": "auto", true or false, "steps_per_execution": batches per
call into the graph, "dtype": a dtype policy, "float32" or "mixed_bfloat16"}. Augmentation is by Keras' own layers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, load_images, run_contender

INCLUDES = (
    "one model after another: model.fit on float32 arrays, already scaled (shuffle, running loss and accuracy), "
    "timed from the epoch's begin to its end; no evaluation, no compilation, no conversion of the arrays"
)


class EpochClock(keras.callbacks.Callback):
    """Times the epochs themselves, without what fit does around them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.clock.__enter__()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.clock.__exit__()


def build_layers(network: str, initializer: str) -> list[Any]:
    """Return the hidden layers of LeNet, ModNet1 or ModNet2."""

    def convolve(filters: int, kernel: int, activation: str, padding: str = "valid") -> Any:
        return layers.Conv2D(filters, kernel, activation=activation, padding=padding, kernel_initializer=initializer)

    if network == "lenet":
        return [
            *(convolve(6, 5, "tanh"), layers.AveragePooling2D(2), convolve(16, 5, "tanh"), layers.AveragePooling2D(2)),
            *(layers.Flatten(), layers.Dense(120, activation="tanh"), layers.Dense(84, activation="tanh")),
        ]
    if network == "modnet1":
        blocks = [
            layer for filters in (32, 64, 128) for layer in (convolve(filters, 3, "relu"), layers.MaxPooling2D(2))
        ]
        return [
            *(*blocks, layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(0.5)),
            *(layers.Dense(128, activation="relu"), layers.Dropout(0.5)),
        ]
    return [
        *(convolve(64, 3, "relu", "same"), convolve(64, 3, "relu"), layers.MaxPooling2D(2), layers.Dropout(0.5)),
        *(convolve(128, 3, "relu", "same"), convolve(128, 3, "relu"), layers.MaxPooling2D(2), layers.Dropout(0.5)),
        *(layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5)),
    ]


def build_model(job: Job, arm: str, shape: tuple[int, int, int] = (32, 32, 3)) -> Any:
    """Return one compiled model."""
    keras.mixed_precision.set_dtype_policy(job.setting.get("dtype", "float32"))
    augmentation = [
        *(layers.ZeroPadding2D(4), layers.RandomCrop(32, 32)),
        *(layers.RandomFlip("horizontal"), layers.RandomRotation(15 / 360, fill_mode="constant")),
    ]
    head = [layers.Dense(10, activation="softmax", dtype="float32")]
    body = [*(augmentation if job.augment else []), *build_layers(job.network, arm)]
    model = keras.Sequential([layers.Input(shape), *body, *head])
    optimizer = keras.optimizers.Adam(0.001) if job.network == "lenet" else keras.optimizers.SGD(0.001, momentum=0.9)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=job.setting.get("jit_compile", "auto"),
        steps_per_execution=job.setting.get("steps_per_execution", 1),
    )
    return model


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train one model per arm, one after another."""
    if job.processes > 1:
        # Alone on the machine, TensorFlow's own choice of threads is the best known.
        tf.config.threading.set_intra_op_parallelism_threads(job.threads)
        tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    keras.utils.set_random_seed(0)
    pixels, labels = load_images(job, num_images)
    inputs = np.asarray(pixels, dtype=np.float32) / 255
    warm_up = WARM_UP_BATCHES * job.batch_size
    models = [build_model(job, arm) for arm in arms]
    for model in models:
        model.fit(inputs[:warm_up], labels[:warm_up], batch_size=job.batch_size, verbose=0)
    barrier()
    timer, losses = EpochClock(), []
    for model in models:
        history = model.fit(inputs, labels, batch_size=job.batch_size, verbose=0, callbacks=[timer])
        losses.append(history.history["loss"][0])
    return timer.clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["tensorflow", "tensorflow-cpu", "keras", "numpy"])
