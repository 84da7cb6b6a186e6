"""Numeric field types shared by the records of a recipe, with ranges and descriptions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import GrownRecord

LearningRate: TypeAlias = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
"""A learning rate above 0."""

Amount: TypeAlias = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A number from 0."""

Limit: TypeAlias = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
"""A length or a size above 0."""

Share: TypeAlias = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
"""A decay rate or momentum: from 0 up to but not including 1."""

Part: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
"""A fraction or a probability from 0 to 1, both included."""

Inside: TypeAlias = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
"""A fraction between 0 and 1, neither included."""

NumEpochs: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
"""A number of epochs from 1, or an epoch counted from 1."""

Switch: TypeAlias = Annotated[bool, Field(strict=True)]
"""True or false; 1 is neither."""

INCOMPATIBLE = "incompatible"
"""The type of the pydantic error for settings that are valid by themselves but not together."""

RATE = "Learning rate."
DECAY = "L2 penalty: the weights times this are added to the gradient; 0: none."
APART_DECAY = "Decoupled weight decay: each step subtracts the weights times learning rate times this; 0: none."
EPSILON = "Added to the denominator for numerical stability."
MEAN = "Decay rate of the running mean of the gradient."
MEAN_SQUARE = "Decay rate of the running mean of the squared gradient."
"""Descriptions shared by several optimizers."""


class OptimizerSettings(GrownRecord):
    """The settings that all optimizers share."""

    splits_matrices: ClassVar[bool] = False
    """Whether matrices before the head have groups of their own, with `is_matrix` true."""
    averages_itself: ClassVar[bool] = False
    """Whether it has `average_weights`, which are evaluated and kept instead of the parameters."""

    name: str
    learning_rate: LearningRate

    def find_rate(self, *, is_matrix: bool) -> float:
        """Return the learning rate of matrices before the head, or of other parameters."""
        return self.learning_rate

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the optimizer's class, with the learning rate as `lr`."""
        return {"lr": self.learning_rate}


class DecayingSettings(OptimizerSettings):
    """The settings that all optimizers with weight decay share."""

    later: ClassVar[tuple[str, ...]] = ("decay_norms_and_biases",)

    decay_norms_and_biases: Switch = Field(
        default=True,
        description="Whether weight decay applies to every parameter; false: not to those of one dimension, the scales "
        "and shifts of norms and all biases.",
    )
