"""Adam and its relatives, as records without torch. optimizers.py registers them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bakeoff.catalog.fields import (
    APART_DECAY,
    DECAY,
    EPSILON,
    MEAN,
    MEAN_SQUARE,
    RATE,
    Amount,
    DecayingSettings,
    LearningRate,
    Share,
)


class _AdamFamily(DecayingSettings):
    """The settings of the family, with Adam's defaults."""

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
    """Adam: steps from running means of the gradient and of its square."""

    name: Literal["adam"] = "adam"


class AdamW(_AdamFamily):
    """AdamW: Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    weight_decay: Amount = Field(default=0.01, description=APART_DECAY)


class NAdam(_AdamFamily):
    """NAdam: Adam with Nesterov momentum."""

    name: Literal["nadam"] = "nadam"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    momentum_decay: Amount = Field(
        default=0.004,
        description="Decay rate of the momentum schedule, in which beta1 rises from half its value to its full value.",
    )

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.optim.NAdam`."""
        return {**super().arguments(), "momentum_decay": self.momentum_decay}


class RAdam(_AdamFamily):
    """RAdam: Adam with a rectified step size, which acts as a built-in warm-up."""

    name: Literal["radam"] = "radam"


class Adamax(_AdamFamily):
    """Adamax: Adam with the infinity norm of recent gradients instead of their mean square."""

    name: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = Field(default=0.002, description=RATE)
    beta2: Share = Field(
        default=0.999, description="Decay rate of the running maximum of the gradient (infinity norm)."
    )
