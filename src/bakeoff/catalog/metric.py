"""Fields for metrics and for differences between their values. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Lazily, Record, make_literal
from bakeoff.catalog.function_metric import FunctionMetric
from bakeoff.stats.metrics import METRICS, find_metric, make_top_accuracy


class TopAccuracy(Record):
    """Top-k accuracy: the right class is among the k most probable ones."""

    name: Literal["top_k"] = "top_k"
    k: int = Field(strict=True, ge=2, le=10_000, description="Number of classes that count as the answer, from 2.")


def make_metric_type(others: tuple[str, ...] = ()) -> Any:
    """Return the type of a field for a metric, or one of some other names."""
    names: Any = make_literal((*METRICS.names, *others))
    written = names | Annotated[str, Field(pattern=r"^top_[1-9][0-9]*_accuracy$")] | TopAccuracy | FunctionMetric
    return Annotated[names, WrapValidator(_read_metric, json_schema_input_type=written)]


def _read_metric(value: object, handler: ValidatorFunctionWrapHandler) -> str:
    """Return the name of a metric given by name, or by a mapping for a top-k accuracy or a function."""
    if isinstance(value, Mapping):
        if "function" in value:
            return FunctionMetric.model_validate(value).write_name()
        return make_top_accuracy(TopAccuracy.model_validate(value).k).name
    if isinstance(value, str) and METRICS.get(value) is not None:
        return value
    return str(handler(value))


Metric: TypeAlias = Annotated[str, Lazily(make_metric_type)]
"""The name of a metric: a registered one, `top_3_accuracy`, or a function's with its settings."""


def improvement(metric: Metric, value: float, best: float) -> float:
    """Return how much better `value` is than `best`, in the metric's unit; negative if it is worse."""
    return value - best if find_metric(metric).higher_is_better else best - value


Points: TypeAlias = str
"""A difference in percentage points, as in a study file: `0.5 points`."""

MOST_POINTS = 100

_POINTS = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*points?\s*")


def read_points(given: object, fields: Mapping[str, Any], metric_field: str) -> object:
    """Return `0.5 points` as 0.005; anything else unchanged.

    Args:
        given: the value in the study.
        fields: the record's fields before this one.
        metric_field: the field with the metric's name.

    Raises:
        PydanticCustomError: the metric is not given in percent, or 100 points or more were given.
    """
    if not isinstance(given, str) or (found := _POINTS.fullmatch(given)) is None:
        return given
    metric = fields.get(metric_field)
    if metric is not None and not find_metric(metric).is_share:
        message = "{metric} is not given in percent, so it has no points: write a plain number, such as 0.01"
        raise PydanticCustomError("points", message, {"metric": metric})
    points = Decimal(found[1])
    if points >= MOST_POINTS:
        message = "given {given}, allowed fewer than {most} points: no two values differ by more"
        raise PydanticCustomError("too_many_points", message, {"given": given.strip(), "most": MOST_POINTS})
    return float(points / 100)


def check_difference(difference: float, fields: Mapping[str, Any], metric_field: str) -> float:
    """Return a valid difference between two scores: below 1 for metrics from 0 to 1.

    Raises:
        PydanticCustomError: it is not below 1, most likely because percentage points were meant.
    """
    metric = fields.get(metric_field)
    if metric is not None and find_metric(metric).is_share and difference >= 1:
        points = format(Decimal(repr(difference)) / 100, "f")
        message = "given {given}, but {metric} goes from 0 to 1: for {given} points write {points}"
        context = {"given": f"{difference:g}", "metric": metric, "points": points}
        raise PydanticCustomError("share_difference", message, context)
    return difference
