"""Optimizers that are named less often, as records without torch. optimizers.py registers them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from bakeoff.networks.choices import Record
from bakeoff.training.fields import APART_DECAY, DECAY, EPSILON, MEAN, MEAN_SQUARE, RATE, Amount, LearningRate, Share


class NAdam(Record):
    """Adam that looks ahead by its momentum, as Nesterov's does."""

    torch_name: ClassVar[str] = "NAdam"
    fused: ClassVar[bool] = False

    name: Literal["nadam"] = "nadam"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    beta1: Share = Field(default=0.9, description=MEAN)
    beta2: Share = Field(default=0.999, description=MEAN_SQUARE)
    momentum_decay: Amount = Field(default=0.004, description="How fast beta1 rises from half of itself to itself.")
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.NAdam`."""
        return {
            "lr": self.learning_rate,
            "betas": (self.beta1, self.beta2),
            "momentum_decay": self.momentum_decay,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class RAdam(Record):
    """Adam that takes plain momentum steps until its mean squared gradient can be trusted: a warm-up of its own."""

    torch_name: ClassVar[str] = "RAdam"
    fused: ClassVar[bool] = False

    name: Literal["radam"] = "radam"
    learning_rate: LearningRate = Field(default=0.001, description=RATE)
    beta1: Share = Field(default=0.9, description=MEAN)
    beta2: Share = Field(default=0.999, description=MEAN_SQUARE)
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.RAdam`."""
        return {
            "lr": self.learning_rate,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Adamax(Record):
    """Adam that scales by the largest recent gradient instead of the mean square."""

    torch_name: ClassVar[str] = "Adamax"
    fused: ClassVar[bool] = False

    name: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    beta1: Share = Field(default=0.9, description=MEAN)
    beta2: Share = Field(default=0.999, description="Share of itself that the largest gradient keeps each step.")
    epsilon: Amount = Field(default=1e-8, description=EPSILON)
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.Adamax`."""
        return {
            "lr": self.learning_rate,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Adadelta(Record):
    """Adadelta: steps in the weights' own unit, scaled by how large recent steps and gradients were."""

    torch_name: ClassVar[str] = "Adadelta"
    fused: ClassVar[bool] = False

    name: Literal["adadelta"] = "adadelta"
    learning_rate: LearningRate = Field(default=1.0, description="Factor on the step; 1 is the published method.")
    smoothing: Share = Field(default=0.9, description="Share of their past that both mean squares keep.")
    epsilon: Amount = Field(default=1e-6, description="Added to both mean squares; the first steps come from it.")
    weight_decay: Amount = Field(default=0.0, description=DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.Adadelta`."""
        return {
            "lr": self.learning_rate,
            "rho": self.smoothing,
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


class Lion(Record):
    """Lion: steps of one size in every weight, along the sign of a running mean of the gradient."""

    torch_name: ClassVar[str] = "Lion"
    fused: ClassVar[bool] = False

    name: Literal["lion"] = "lion"
    learning_rate: LearningRate = Field(default=0.0001, description="Step size; 3 to 10 times smaller than AdamW's.")
    beta1: Share = Field(default=0.9, description="Share of the mean gradient in the direction of a step.")
    beta2: Share = Field(default=0.99, description=MEAN)
    weight_decay: Amount = Field(default=0.0, description=APART_DECAY)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `bakeoff.training.lion.Lion`."""
        return {"lr": self.learning_rate, "betas": (self.beta1, self.beta2), "weight_decay": self.weight_decay}
