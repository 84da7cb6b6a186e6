"""Gradient clipping, per member."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.networks.choices import Record
from bakeoff.training.fields import INCOMPATIBLE, Limit

if TYPE_CHECKING:
    from torch import nn


class Clip(Record):
    """Gradient clipping: by the norm of the whole gradient or by the value of each element, one of the two."""

    norm: Limit | None = Field(
        default=None, description="Maximum L2 norm of the gradient; a larger one is scaled down to it."
    )
    value: Limit | None = Field(
        default=None, description="Maximum absolute value of each gradient element; larger ones are clipped."
    )

    @model_validator(mode="after")
    def _require_one(self) -> Clip:
        if (self.norm is None) == (self.value is None):
            raise PydanticCustomError(INCOMPATIBLE, "clip needs a norm or a value, and not both")
        return self


def clip(parameters: Iterable[nn.Parameter], choice: Clip) -> None:
    """Clip the gradients of one member, in place.

    Args:
        parameters: all of the member's parameters: the norm is the L2 norm of its whole gradient.
        choice: the limit.

    Non-finite gradients stay so: the member then fails by its own loss, which is reported.

    Source: Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks, section 3.2.
    """
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_  # the record above must stay free of torch

    if choice.norm is not None:
        clip_grad_norm_(parameters, choice.norm)
    elif choice.value is not None:
        clip_grad_value_(parameters, choice.value)
