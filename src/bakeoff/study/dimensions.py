"""Dimensions of a search space: a range of numbers, or a list of any values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, to_jsonable_python

from bakeoff.errors import nearest
from bakeoff.study.explain import shorten

DIMENSIONS = ("int", "float", "categorical")
"""The types of a dimension; a study file may leave them out, because they can be inferred."""


def _list_conditions(when: Any) -> Any:
    """Return `when` as plain values, with a tuple of values for every field."""
    if not isinstance(when, Mapping):
        return when
    plain = to_jsonable_python(dict(when))
    return {field: tuple(allowed) if isinstance(allowed, list) else (allowed,) for field, allowed in plain.items()}


def _check_conditions(when: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    empty = next((field for field, allowed in when.items() if not allowed), None)
    if empty is not None:
        raise PydanticCustomError("when", "{field}: an empty list: name at least one value", {"field": empty})
    return when


When: TypeAlias = Annotated[
    dict[str, tuple[Any, ...]],
    BeforeValidator(_list_conditions, json_schema_input_type=dict[str, Any]),
    AfterValidator(_check_conditions),
]
"""Other fields of the space, and the values for which this one is chosen at all."""


class _Dimension(BaseModel):
    """One field of the recipe that a search may choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: When = Field(
        default={},
        description="Condition: the field is sampled only if these other fields of the space have this value, or "
        "one of these values.",
    )


class IntRange(_Dimension):
    """Whole numbers from low to high, both included."""

    type: Literal["int"] = "int"
    low: int = Field(strict=True, description="Smallest value, included.")
    high: int = Field(strict=True, description="Largest value, included.")
    step: int = Field(default=1, strict=True, ge=1, description="Distance between neighbouring values.")
    log: bool = Field(default=False, strict=True, description="Whether to sample on a logarithmic scale.")

    @model_validator(mode="after")
    def _check(self) -> IntRange:
        _check_range(self.low, self.high, None if self.step == 1 else self.step, self.log)
        return self

    @property
    def count(self) -> int:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def list_values(self) -> Sequence[int]:
        """Return every value, the smallest first."""
        return range(self.low, self.high + 1, self.step)

    def has(self, value: object) -> bool:
        """Return whether a value is one of these."""
        return isinstance(value, int) and not isinstance(value, bool) and value in self.list_values()


class FloatRange(_Dimension):
    """Numbers from low to high, both included."""

    type: Literal["float"] = "float"
    low: float = Field(strict=True, allow_inf_nan=False, description="Smallest value, included.")
    high: float = Field(strict=True, allow_inf_nan=False, description="Largest value, included.")
    step: float | None = Field(
        default=None,
        strict=True,
        gt=0,
        allow_inf_nan=False,
        description="Distance between neighbouring values; null: continuous.",
    )
    log: bool = Field(default=False, strict=True, description="Whether to sample on a logarithmic scale.")

    @model_validator(mode="after")
    def _check(self) -> FloatRange:
        _check_range(self.low, self.high, self.step, self.log)
        return self

    @property
    def count(self) -> int | None:
        """Number of values; None if the range is continuous."""
        if self.step is None:
            return 1 if self.low == self.high else None
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    def list_values(self) -> Sequence[float]:
        """Return every value, the smallest first; only both ends if the range is continuous."""
        if self.step is None:
            return tuple(dict.fromkeys((self.low, self.high)))
        return [float(_decimal(self.low) + _decimal(self.step) * index) for index in range(self.count or 0)]

    def has(self, value: object) -> bool:
        """Return whether a value is one of these."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high if self.step is None else value in self.list_values()


class Categorical(_Dimension):
    """Any of these values, unordered: names, numbers, lists, whole mappings."""

    type: Literal["categorical"] = "categorical"
    values: Annotated[tuple[Any, ...], BeforeValidator(to_jsonable_python)] = Field(
        description="The values to choose from."
    )

    @model_validator(mode="after")
    def _check(self) -> Categorical:
        if not self.values:
            raise PydanticCustomError("empty", "an empty list: name at least one value")
        for position, value in enumerate(self.values):
            if any(_same(value, earlier) for earlier in self.values[:position]):
                raise PydanticCustomError("twice", "{value} is listed twice", {"value": shorten(value)})
        return self

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.values)

    def list_values(self) -> Sequence[Any]:
        """Return every value, as listed."""
        return self.values

    def has(self, value: object) -> bool:
        """Return whether a value is one of these, or the name of one."""
        return any(matches(own, (value,)) for own in self.values)


def _decimal(number: float) -> Decimal:
    """Return a number in decimal, so that 0.3 is exactly three times 0.1."""
    return Decimal(repr(number))


def _check_range(low: float, high: float, step: float | None, log: bool) -> None:
    if low > high:
        problem = f"low {low:g} is above high {high:g}"
    elif log and low <= 0:
        problem = f"with log, low must be above 0, not {low:g}"
    elif log and step is not None:
        problem = "log and step cannot be combined: leave one out"
    elif step is not None and (_decimal(high) - _decimal(low)) % _decimal(step):
        last = float(_decimal(high) - (_decimal(high) - _decimal(low)) % _decimal(step))
        problem = f"steps of {step:g} from {low:g} do not end at high {high:g}: write high: {last:g}"
    else:
        return
    raise PydanticCustomError("range", "{problem}", {"problem": problem})


_RECORDS: Mapping[str, type[IntRange] | type[FloatRange] | type[Categorical]] = dict(
    zip(DIMENSIONS, (IntRange, FloatRange, Categorical), strict=True)
)


def _infer_type(given: Any) -> Any:
    """Return a dimension with its type: categorical for a list, int for a range of whole numbers, else float."""
    if isinstance(given, list | tuple):
        return {"type": "categorical", "values": given}
    if not isinstance(given, Mapping):
        if isinstance(given, _Dimension):
            return given
        allowed = "a list of values, or {low, high}"
        raise PydanticCustomError("dimension", "{message}", {"message": f"given {shorten(given)}, allowed {allowed}"})
    numbers = [given[name] for name in ("low", "high", "step") if given.get(name) is not None]
    inferred = "int" if all(isinstance(number, int) for number in numbers) else "float"
    kind = given.get("type", "categorical" if "values" in given else inferred)
    if kind not in _RECORDS:
        message = f"type is {shorten(kind)}, allowed: {', '.join(DIMENSIONS)}.{nearest(kind, DIMENSIONS)}"
        raise PydanticCustomError("dimension", "{message}", {"message": message})
    names = list(_RECORDS[kind].model_fields)
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        message = f"unknown field {shorten(unknown)}, allowed: {', '.join(names)}.{nearest(unknown, names)}"
        raise PydanticCustomError("dimension", "{message}", {"message": message})
    return {**given, "type": kind}


AnyDimension: TypeAlias = IntRange | FloatRange | Categorical

Dimension: TypeAlias = Annotated[
    Annotated[AnyDimension, Field(discriminator="type")],
    BeforeValidator(_infer_type, json_schema_input_type=list[Any] | AnyDimension),
]
"""The values that one field may take: a list, or a mapping with low and high."""


def _same(one: object, other: object) -> bool:
    """Return whether two plain values are the same: `true` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def matches(value: object, allowed: Sequence[object]) -> bool:
    """Return whether a value is one of `allowed`; a mapping also matches by its name (`sgd`)."""
    name = value.get("name") if isinstance(value, Mapping) else None
    return any(_same(value, other) or (name is not None and name == other) for other in allowed)
