"""timm: summary.csv as its own `update_summary` writes it, with args.yaml, in the folders of its training script."""

from __future__ import annotations

import timm
import yaml
from digits_task import ARMS, SEEDS, Scores, get_folder, train
from timm.utils import get_outdir, update_summary

folder, scores = get_folder("timm"), Scores("timm", "eval_top1")
for arm in ARMS:
    for seed in SEEDS:
        run = get_outdir(str(folder), f"{arm}-s{seed}")
        with open(f"{run}/args.yaml", "w") as file:
            yaml.safe_dump({"opt": arm, "seed": seed, "model": "mlp", "img_size": None}, file, default_flow_style=False)
        for epoch, metrics in enumerate(train(arm, seed)):
            evaluated = {"loss": metrics["val_loss"], "top1": 100 * metrics["val_accuracy"]}
            update_summary(
                epoch,
                {"loss": metrics["train_loss"]},
                evaluated,
                f"{run}/summary.csv",
                lr=0.01,
                write_header=epoch == 0,
            )
        scores.add(arm, seed, evaluated["top1"])
scores.write()
print("timm", timm.__version__)
