"""Trackio: its local database."""

from __future__ import annotations

import os

from digits_task import ARMS, SEEDS, Scores, get_folder, train

os.environ["TRACKIO_DIR"] = str(get_folder("trackio"))

import trackio

scores = Scores("trackio", "val_accuracy")
for arm in ARMS:
    for seed in SEEDS:
        trackio.init(project="digits", name=f"{arm}-seed{seed}", config={"optimizer": arm, "seed": seed}, embed=False)
        for epoch, metrics in enumerate(train(arm, seed)):
            trackio.log(metrics, step=epoch)
        trackio.finish()
        scores.add(arm, seed, metrics["val_accuracy"])
scores.write()
print("trackio", trackio.__version__)
