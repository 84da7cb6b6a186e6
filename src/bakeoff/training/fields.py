"""Numbers that the records of a recipe share: their ranges, and what is said of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

from bakeoff.networks.choices import Record

LearningRate: TypeAlias = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
"""A step size above 0."""

Amount: TypeAlias = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A number from 0."""

Limit: TypeAlias = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
"""A length or a size above 0."""

Share: TypeAlias = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
"""How much of its past a running mean keeps: from 0 up to, not including, 1."""

Part: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
"""A share or a probability from 0 to 1, both included."""

Inside: TypeAlias = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
"""A share between 0 and 1, neither included."""

NumEpochs: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
"""A number of epochs from 1, or an epoch counted from 1."""

Switch: TypeAlias = Annotated[bool, Field(strict=True)]
"""True or false; 1 is neither."""

INCOMPATIBLE = "incompatible"
"""The type of the pydantic error that a record raises when settings, each right by itself, do not go together."""

RATE = "Step size."
DECAY = "Pull of the weights towards zero, added to the gradient (L2)."
APART_DECAY = "Share of the weights, times step size, lost each step."
EPSILON = "Added to the divisor, so that it is never zero."
MEAN = "Share of its past that the mean gradient keeps."
MEAN_SQUARE = "Share of its past that the mean squared gradient keeps."
"""What several optimizers say of the same setting."""


class OptimizerSettings(Record):
    """The settings of an optimizer: what all of them have."""

    name: str
    learning_rate: LearningRate

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class, the learning rate among them as `lr`."""
        return {"lr": self.learning_rate}
