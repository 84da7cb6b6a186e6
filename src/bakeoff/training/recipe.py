"""The recipe: every choice that makes one training run. Records without torch."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from bakeoff.networks.choices import Record
from bakeoff.networks.initializers import InitializerChoice
from bakeoff.networks.named import NetworkChoice
from bakeoff.training.optimizers import Adam, Amount, OptimizerChoice

Metric: TypeAlias = Literal["accuracy", "loss", "macro_f1", "macro_precision", "macro_recall"]
"""What a trained network is judged by. Loss should fall, the others rise."""


class EarlyStopping(Record):
    """Stop when validation no longer improves, and keep the weights of the best epoch."""

    monitor: Metric = Field(default="loss", description="The validation metric that is watched.")
    patience: int = Field(
        strict=True, ge=1, le=1_000_000, description="Epochs without improvement after which training stops."
    )
    min_delta: Amount = Field(
        default=0.0, description="Smallest change that counts as an improvement, in the metric's unit."
    )


class Recipe(Record):
    """Every choice that makes one training run; all that an arm may change."""

    network: NetworkChoice = Field(description="The layers between image and prediction.")
    initializer: InitializerChoice = Field(default=InitializerChoice(), description="How the first weights are drawn.")
    optimizer: OptimizerChoice = Field(default=Adam(), description="How gradients become steps.")
    batch_size: int = Field(default=32, strict=True, ge=1, le=1_000_000, description="Images per step.")
    epochs: int = Field(
        default=10, strict=True, ge=1, le=1_000_000, description="Passes over the training images, at most."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="When to stop before the last epoch, on the best weights; null means never."
    )
