"""The fixed side of a study: what is the same for every arm."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field
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
