"""Gradient clipping, per member."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.fields import INCOMPATIBLE, Limit


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
            raise PydanticCustomError(INCOMPATIBLE, "clip needs either a norm or a value")
        return self
