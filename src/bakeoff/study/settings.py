"""The fixed side of a study: what is the same for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bakeoff.data.registry import find_dataset
from bakeoff.errors import DataError
from bakeoff.networks.choices import Record
from bakeoff.training.recipe import Metric

NumericMode: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""What the arithmetic runs in. `auto` is decided once per study, by a probe, for all arms."""


def _check_dataset(name: str) -> str:
    try:
        find_dataset(name)
    except DataError as error:
        raise PydanticCustomError("unknown_name", "{message}", {"message": str(error)}) from None
    return name


class DataSettings(Record):
    """Which images, and how the publisher's training split is divided."""

    name: Annotated[str, AfterValidator(_check_dataset)] = Field(
        default="digits", description="The dataset; `bakeoff list datasets` names them."
    )
    validation: float = Field(
        default=0.1,
        strict=True,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of the training images kept for validation, stratified, drawn by the replicate's seed.",
    )
    folds: int | None = Field(
        default=None,
        strict=True,
        ge=2,
        le=100,
        description="Train once for every fold, held out in turn for validation; takes the place of `validation`.",
    )

    @model_validator(mode="after")
    def _check_folds(self) -> DataSettings:
        if self.folds is not None and "validation" in self.model_fields_set:
            raise PydanticCustomError("folds", "give folds or validation, not both: each fold is held out in turn")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_validation(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """With folds there is no validation share: what is written out can be read back."""
        fields: dict[str, Any] = handler(self)
        if self.folds is not None:
            fields.pop("validation", None)
        return fields

    @property
    def held_out(self) -> float:
        """Share of the training images that one trial does not train on."""
        return self.validation if self.folds is None else 1 / self.folds


class Race(Record):
    """Replicates until the question is settled, and no more than needed."""

    at_least: int = Field(
        default=3, strict=True, ge=3, le=1_000, description="Replicates of every arm before any is judged."
    )
    at_most: int = Field(default=20, strict=True, ge=3, le=1_000, description="Replicates after which the race ends.")

    @model_validator(mode="after")
    def _check_order(self) -> Race:
        if self.at_most < self.at_least:
            raise PydanticCustomError("race", "at_most is smaller than at_least")
        return self


def _tell_replicates(value: object) -> str:
    return "race" if isinstance(value, Mapping | Race) else "count"


Replicates: TypeAlias = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=1_000), Tag("count")] | Annotated[Race, Tag("race")],
    Discriminator(_tell_replicates),
]
"""A fixed number of replicates, or a race."""


class Decide(Record):
    """What decides between two arms."""

    metric: Metric = Field(default="accuracy", description="What arms are compared by.")
    margin: float | None = Field(
        default=None,
        strict=True,
        gt=0,
        allow_inf_nan=False,
        description="Differences smaller than this do not matter, in the metric's unit; null: none is too small.",
    )
    confidence: float = Field(
        default=0.95, strict=True, gt=0.5, lt=1, allow_inf_nan=False, description="Confidence of every interval."
    )
    against: str | None = Field(
        default=None,
        description="The arm all others are compared against; null: every pair is compared. Fewer pairs, more power.",
    )


class Figure(Record):
    """One published figure."""

    block: str | None = Field(default=None, description="The block's label; null where a study has one block.")
    arm: str = Field(description="The arm's label.")
    metric: Metric = Field(description="What was measured.")
    split: Literal["train", "validation", "test"] = Field(default="test", description="On which images.")
    value: float = Field(strict=True, allow_inf_nan=False, description="The figure, in the metric's unit.")


class Published(Record):
    """What others found; the report sets it beside what was measured."""

    source: str = Field(min_length=1, max_length=10_000, description="Who published it, and what is known of it.")
    figures: tuple[Figure, ...] = Field(default=(), max_length=10_000, description="The published figures.")
