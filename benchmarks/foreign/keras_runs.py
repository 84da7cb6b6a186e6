"""Keras: CSVLogger, and history.history as JSON, of networks trained with the torch backend."""

from __future__ import annotations

import json
import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from digits_task import EPOCHS, SEEDS, Scores, get_folder, split

OPTIMIZERS = {"adam": lambda: keras.optimizers.Adam(0.002), "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9)}
logs, histories = get_folder("keras-csvlogger"), get_folder("keras-history")
scores = [Scores(tool, "val_accuracy") for tool in ("keras-csvlogger", "keras-history")]

for arm, make in OPTIMIZERS.items():
    (logs / arm).mkdir()
    for seed in SEEDS:
        images, held_out, labels, held_out_labels = split(seed)
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.layers.Dense(24, activation="relu"), keras.layers.Dense(10)])
        model.compile(make(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        history = model.fit(
            images,
            labels,
            batch_size=64,
            epochs=EPOCHS,
            verbose=0,
            validation_data=(held_out, held_out_labels),
            callbacks=[keras.callbacks.CSVLogger(str(logs / arm / f"seed={seed}.csv"))],
        )
        (histories / f"{arm}_{seed}.json").write_text(json.dumps(history.history))
        for table in scores:
            table.add(arm, seed, history.history["val_accuracy"][-1])
for table in scores:
    table.write()
print("keras", keras.__version__)
