"""Adam and its relatives, as records without torch. optimizers.py registers them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bakeoff.training.fields import (
    APART_DECAY,
    DECAY,
    EPSILON,
    MEAN,
    MEAN_SQUARE,
    RATE,
    Amount,
    LearningRate,
    OptimizerSettings,
    Share,
)


class _AdamFamily(OptimizerSettings):
    """What all of the family have, with Adam's defaults."""

    learning_rate: LearningRate = Field(default=0.001, description=RATE)
    beta1: Share = Field(default=0.9, description=MEAN)
    beta2: Share = Field(default=0.999, description=MEAN_SQUARE)
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class in `torch.optim`."""
        return {
            "lr": self.learning_rate,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Adam(_AdamFamily):
    """Adam: steps scaled by running means of the gradient and of its square."""

    name: Literal["adam"] = "adam"


class AdamW(_AdamFamily):
    """Adam whose weight decay stands apart from the gradient and its scaling."""

    name: Literal["adamw"] = "adamw"
    weight_decay: Amount = Field(default=0.01, description=APART_DECAY)


class NAdam(_AdamFamily):
    """Adam that looks ahead by its momentum, as Nesterov's does."""

    name: Literal["nadam"] = "nadam"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    momentum_decay: Amount = Field(default=0.004, description="How fast beta1 rises from half of itself to itself.")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.NAdam`."""
        return {**super().arguments(), "momentum_decay": self.momentum_decay}


class RAdam(_AdamFamily):
    """Adam that takes plain momentum steps until its mean squared gradient can be trusted: a warm-up of its own."""

    name: Literal["radam"] = "radam"


class Adamax(_AdamFamily):
    """Adam that scales by the largest recent gradient instead of the mean square."""

    name: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    beta2: Share = Field(default=0.999, description="Share of itself that the largest gradient keeps each step.")
