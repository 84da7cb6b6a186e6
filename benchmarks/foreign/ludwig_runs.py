"""Ludwig: its folders of results, of small networks on the digits' pixels."""

from __future__ import annotations

import logging

import ludwig
import numpy as np
import pandas as pd
from digits_task import SEEDS, Scores, get_folder, split
from ludwig.api import LudwigModel
from sklearn.datasets import load_digits

# Ludwig refuses pixels that are constant, and takes a minute per run with all others.
USED = np.flatnonzero(load_digits().data.std(0) > 0.5)[::4]
COLUMNS = [f"pixel{i}" for i in USED]
folder, scores = get_folder("ludwig"), Scores("ludwig", "test_accuracy_micro")


def make_frame(images, labels):
    frame = pd.DataFrame(images[:, USED].astype(float), columns=COLUMNS)
    return frame.assign(digit=[f"d{label}" for label in labels])


for arm, rate in (("adam", 0.002), ("sgd", 0.05)):
    for seed in list(SEEDS)[:3]:
        images, held_out, labels, held_out_labels = split(seed)
        config = {
            "input_features": [{"name": name, "type": "number"} for name in COLUMNS],
            "output_features": [{"name": "digit", "type": "category"}],
            "combiner": {"type": "concat", "num_fc_layers": 1, "output_size": 24},
            "trainer": {"epochs": 3, "optimizer": {"type": arm}, "learning_rate": rate, "batch_size": 64},
        }
        test = make_frame(held_out, held_out_labels)
        half = len(test) // 2
        model = LudwigModel(config, logging_level=logging.ERROR)
        model.experiment(
            training_set=make_frame(images, labels),
            validation_set=test[:half],
            test_set=test[half:],
            output_directory=str(folder),
            model_name=arm,
            random_seed=seed,
            skip_save_processed_input=True,
            skip_save_progress=True,
        )
        predictions, _ = model.predict(test[half:])
        right = predictions["digit_predictions"].to_numpy() == test[half:]["digit"].to_numpy()
        scores.add(arm, seed, float(np.mean(right)))
scores.write()
print("ludwig", ludwig.globals.LUDWIG_VERSION)
