"""Published results: single figures, and curves of a search by generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.metric import Metric
from bakeoff.stats.metrics import find_metric

ClassMetric: TypeAlias = Literal["precision", "recall", "f1"]
"""Metrics of one class."""

CLASS_METRICS: tuple[ClassMetric, ...] = ("precision", "recall", "f1")

Split: TypeAlias = Literal["train", "validation", "test", "held-out"]
Value: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _check_unit(metric: str | None, values: Sequence[float]) -> None:
    """Refuse values from 0 to 1 that were given in percent."""
    is_share = metric is not None and (metric in CLASS_METRICS or find_metric(metric).is_share)
    outside = [value for value in values if not 0 <= value <= 1]
    if outside and is_share:
        message = "given {value}, but {metric} goes from 0 to 1: for 97.2% write 0.972"
        raise PydanticCustomError("share", message, {"value": f"{outside[0]:g}", "metric": metric})


class Figure(Record):
    """One published value."""

    block: str | None = Field(default=None, description="Label of the block; null if the study has only one.")
    arm: str = Field(description="Label of the arm or ensemble.")
    metric: Metric | ClassMetric = Field(description="The metric; precision, recall and f1 are per class.")
    split: Split = Field(default="test", description="Split it was measured on.")
    class_name: str | None = Field(default=None, description="The class, for a per-class precision, recall or f1.")
    value: Value = Field(description="Published value, in the metric's unit (accuracy: from 0 to 1).")
    note: str = Field(default="", max_length=500, description="Differences to consider in a comparison.")

    @model_validator(mode="after")
    def _check(self) -> Figure:
        is_of_class = self.metric in CLASS_METRICS
        if is_of_class and self.class_name is None:
            message = "{metric} is per class: give class_name, or use macro_{metric}"
            raise PydanticCustomError("figure", message, {"metric": self.metric})
        if not is_of_class and self.class_name is not None:
            message = "only precision, recall and f1 are per class, not {metric}: leave out class_name"
            raise PydanticCustomError("figure", message, {"metric": self.metric})
        return self

    @field_validator("value")
    @classmethod
    def _check_share(cls, value: float, info: ValidationInfo) -> float:
        _check_unit(info.data.get("metric"), (value,))
        return value


class Curve(Record):
    """A published learning curve of a search, by generation."""

    block: str | None = Field(default=None, description="Label of the block; null if the study has only one.")
    of: Literal["best", "mean"] = Field(
        description="best: the best genome of each generation; mean: the mean over the generation."
    )
    metric: Metric = Field(default="accuracy", description="The metric.")
    split: Split = Field(default="test", description="Split it was measured on.")
    points: tuple[tuple[Annotated[int, Field(strict=True, ge=0)], Value], ...] = Field(
        min_length=1, max_length=10_000, description="[generation, value] pairs; the first generation is 0."
    )
    note: str = Field(default="", max_length=500, description="Differences to consider in a comparison.")

    @model_validator(mode="after")
    def _check(self) -> Curve:
        generations = [generation for generation, _ in self.points]
        if generations != sorted(set(generations)):
            raise PydanticCustomError("curve", "generations must increase from point to point")
        return self

    @field_validator("points")
    @classmethod
    def _check_share(cls, points: tuple[tuple[int, float], ...], info: ValidationInfo) -> tuple[tuple[int, float], ...]:
        _check_unit(info.data.get("metric"), [value for _, value in points])
        return points


class Published(Record):
    """Published results, which the report compares with the measured ones."""

    source: str = Field(min_length=1, max_length=10_000, description="The publication, and remarks about it.")
    figures: tuple[Figure, ...] = Field(default=(), max_length=10_000, description="Published single values.")
    curves: tuple[Curve, ...] = Field(
        default=(), max_length=100, description="Published curves of a search, by generation."
    )
