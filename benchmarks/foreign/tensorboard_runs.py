"""TensorBoard: event files of torch's SummaryWriter and of tensorboardX, old and new scalars, hyperparameters."""

from __future__ import annotations

import tensorboard
import tensorboardX
import torch
from digits_task import ARMS, SEEDS, Scores, get_folder, train
from torch.utils.tensorboard import SummaryWriter


def log_torch(tool: str, *, new_style: bool) -> None:
    folder, scores = get_folder(tool), Scores(tool, "val_accuracy")
    for arm in ARMS:
        for seed in SEEDS:
            with SummaryWriter(str(folder / f"{arm}_seed{seed}")) as writer:
                for epoch, metrics in enumerate(train(arm, seed)):
                    for name, value in metrics.items():
                        writer.add_scalar(name, value, epoch, new_style=new_style)
                writer.add_hparams({"optimizer": arm, "width": 24}, {"hparam/accuracy": metrics["val_accuracy"]})
            scores.add(arm, seed, metrics["val_accuracy"])
    scores.write()


def log_tensorboardx() -> None:
    folder, scores = get_folder("tensorboardx"), Scores("tensorboardx", "val_accuracy")
    for arm in ARMS:
        for seed in SEEDS:
            with tensorboardX.SummaryWriter(str(folder / arm / str(seed))) as writer:
                for epoch, metrics in enumerate(train(arm, seed)):
                    writer.add_scalar("val_accuracy", metrics["val_accuracy"], epoch)
                    writer.add_scalars("loss", {"train": metrics["train_loss"], "val": metrics["val_loss"]}, epoch)
            scores.add(arm, seed, metrics["val_accuracy"])
    scores.write()


log_torch("tensorboard", new_style=False)
log_torch("tensorboard-tensors", new_style=True)
log_tensorboardx()
print("tensorboard", tensorboard.__version__, "torch", torch.__version__, "tensorboardX", tensorboardX.__version__)
