"""PyTorch Lightning: `Trainer.fit` with a DataLoader, one model at a time, float32.

Needs lightning and torch. Loggers, checkpoints, bars and summaries are off: only what trains is left. `setting`: as the
DataLoader loop's.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from contenders.common import WARM_UP_BATCHES, Clock, Job, Measured, run_contender
from contenders.dataloader import build_network, build_optimizer, initialize, make_loader

INCLUDES = (
    "one model after another: Trainer.fit with a DataLoader, from the epoch's begin to its end, loss and accuracy "
    "logged per epoch; no evaluation, no set-up of the trainer"
)


class Classifier(lightning.LightningModule):
    """One arm; times its own epochs."""

    def __init__(self, job: Job, arm: str) -> None:
        super().__init__()
        self.job, self.model = job, build_network(job.network)
        initialize(self.model, arm)
        self.clock = Clock()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        outputs = self.model(images)
        loss = F.cross_entropy(outputs, labels)
        accuracy = (outputs.argmax(dim=1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.job.network, self.model)

    def on_train_epoch_start(self) -> None:
        self.clock.__enter__()

    def on_train_epoch_end(self) -> None:
        self.clock.__exit__()


def fit(model: Classifier, loader: Any, num_batches: int) -> float:
    """Train one epoch of `num_batches` batches; return its mean loss."""
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=num_batches,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
    return float(trainer.callback_metrics["loss"])


def train(job: Job, arms: Sequence[str], num_images: int, barrier: Callable[[], None]) -> Measured:
    """Train one model per arm, one after another."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(job.setting.get("threads", job.threads))
    torch.manual_seed(0)
    loader = make_loader(job, num_images)
    models = [Classifier(job, arm) for arm in arms]
    for model in models:
        fit(model, loader, WARM_UP_BATCHES)
    barrier()
    clock = Clock()
    for model in models:
        model.clock = clock
    losses = [fit(model, loader, num_images // job.batch_size) for model in models]
    return clock.measure(num_images * len(arms), losses=losses)


if __name__ == "__main__":
    run_contender(train, INCLUDES, ["lightning", "torch", "numpy"])
