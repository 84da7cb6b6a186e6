"""Base classes and validators for the records of a study file: frozen models, and names that are checked first.

The records of a union are distinguished by a name (`name: lenet`) or a type (`type: conv`). It is checked first, so
that the error for a wrong one lists the valid names, and errors in the settings concern only the chosen record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from bakeoff.errors import nearest
from bakeoff.registry import Named, Registry

UNKNOWN_NAME = "unknown_name"
"""The type of the pydantic error for a wrong name; its context has `message`, `given` and `allowed`."""

_MAX_SHOWN_CHARACTERS = 60


def require_tag(schema: dict[str, Any]) -> None:
    """Make the field that distinguishes the records of a union required in a JSON schema.

    In Python the tag has a default (`LeNet()`); in a file it is required, because it selects the record.
    """
    properties = schema.get("properties", {})
    tags = [tag for tag in ("name", "type") if "const" in properties.get(tag, {})]
    required = tags + [field for field in schema.get("required", []) if field not in tags]
    if required:
        schema["required"] = required


class Record(BaseModel):
    """A frozen record of a study file; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=require_tag, defer_build=True)


class GrownRecord(Record):
    """A record that got fields later: these are not dumped at their defaults.

    So trials and studies from before they existed keep their identity.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _omit_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        for name in self.later:
            if dumped.get(name) == type(self).model_fields[name].default:
                dumped.pop(name, None)
        return dumped


def refuse_name(kind: str, given: object, allowed: Sequence[str]) -> PydanticCustomError:
    """Make the error for a wrong, missing or malformed name.

    Args:
        kind: the kind of choice, in the singular (`network`).
        given: the value in the file; None if no name was given.
        allowed: every valid name.

    Returns:
        A pydantic error of type `unknown_name`, to be raised from a validator.
    """
    if given is None:
        problem = f"{kind} has no name."
    elif isinstance(given, str):
        problem = f"unknown {kind} {_shorten(given)}."
    else:
        problem = f"{kind} must be given by name, not by {_shorten(given)}."
    hint = nearest(given, allowed) if isinstance(given, str) else ""
    message = f"{problem} Allowed: {', '.join(allowed)}.{hint}"
    # The message comes last: pydantic fills in the template key by key, and a name may contain {given}.
    context = {"given": given, "allowed": list(allowed), "message": message}
    return PydanticCustomError(UNKNOWN_NAME, "{message}", context)


def _shorten(given: object) -> str:
    """Return `given` as one short line."""
    text = repr(given)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}..."


def check_name(value: object, *, kind: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is one of the allowed names.

    Raises:
        PydanticCustomError: of type `unknown_name`, otherwise.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise refuse_name(kind, value, allowed)


def expand_name(value: object, *, kind: str, allowed: Sequence[str], tag: str = "name") -> object:
    """Expand a choice that may be a bare name, and check its name before its settings.

    Args:
        value: a bare name, a mapping with the name under `tag`, or a record already validated.
        kind: the kind of choice, in the singular (`network`).
        allowed: every valid name.
        tag: the field that holds the name.

    Returns:
        A mapping with a valid name, or the record itself.

    Raises:
        PydanticCustomError: of type `unknown_name`, if the name is missing or not allowed.
    """
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, Mapping):
        check_name(value.get(tag), kind=kind, allowed=allowed)
        return value
    return {tag: check_name(value, kind=kind, allowed=allowed)}


SettingsT_co = TypeVar("SettingsT_co", bound=Record, covariant=True)


@dataclass(frozen=True)
class RegistryEntry(Generic[SettingsT_co]):
    """One choice that a study can name, with the record of its settings.

    Attributes:
        name: as written in a study file; the default of the settings' field `name`.
        summary: what it is or does, in one line.
        source: where it was published.
        settings: the record that holds its settings.
    """

    name: str
    summary: str
    source: str
    settings: type[SettingsT_co]


EntryT = TypeVar("EntryT", bound=RegistryEntry[Any])


class Lazily:
    """Marks a field whose type is made when a value is first validated, because it depends on installed packages.

    `Annotated[Base, Lazily(make)]` is `Base` to a type checker; pydantic validates by the type that `make` returns.

    Args:
        make: returns the type.
        list_records: returns the records that a value may become, for messages and editors.
    """

    def __init__(
        self, make: Callable[[], Any], list_records: Callable[[], tuple[type[Record], ...]] = lambda: ()
    ) -> None:
        self._make, self.list_records = make, list_records

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The validator of the type, made on first use."""
        return TypeAdapter(self._make())

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: self.adapter.validate_python(value))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.adapter.core_schema)


def choose_from(registry: Registry[EntryT], default: str | None = None) -> Lazily:
    """Return the annotation of a field for an entry: a bare name, a mapping of a name and settings, or settings.

    Args:
        registry: a registry of at least two entries with settings.
        default: the name used if a mapping has none.
    """

    def format_value(value: object) -> object:
        if default is not None and isinstance(value, Mapping) and "name" not in value:
            return {"name": default, **value}
        return expand_name(value, kind=registry.kind, allowed=registry.names)

    def make() -> Any:
        tagged: Any = Annotated[unite(entry.settings for entry in registry), Field(discriminator="name")]
        return Annotated[tagged, BeforeValidator(format_value, json_schema_input_type=_allow_bare(registry, tagged))]

    return Lazily(make, lambda: tuple(entry.settings for entry in registry))


def name_from(names: Callable[[], Sequence[str]]) -> Lazily:
    """Return the annotation of a field for one of these names."""
    return Lazily(lambda: make_literal(names()))


def make_literal(names: Sequence[str]) -> Any:
    """Return the `Literal` type of these values."""
    literal: Any = Literal
    return literal[tuple(names)]


def unite(kinds: Iterable[Any]) -> Any:
    """Return the union of types."""
    return reduce(or_, kinds)


def _allow_bare(registry: Registry[EntryT], tagged: Any) -> Any:
    """Return the type of values in a file, with the bare names of entries whose settings all have defaults."""
    bare = list_bare(registry)
    return make_literal(bare) | tagged if bare else tagged


def list_bare(registry: Registry[EntryT]) -> list[str]:
    """Return the names that a file can use without settings: entries whose settings all have defaults."""
    return [
        entry.name
        for entry in registry
        if not any(field.is_required() for field in entry.settings.model_fields.values())
    ]


def collect_names(records: Sequence[Named]) -> tuple[str, ...]:
    """Return the names of records, in order.

    Raises:
        ValueError: when two records share a name.
    """
    return Registry("record", records).names


_Item = TypeVar("_Item")


def _refuse_empty(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not items:
        raise PydanticCustomError("too_short", "at least one is required")
    return items


# Checked after the items: pydantic's own minimum would also count an invalid item as missing, and report it twice.
NOT_EMPTY = AfterValidator(_refuse_empty)
"""Annotation of a tuple with at least one item; `json_schema_extra={"minItems": 1}` tells editors."""


def _limit(maximum: int) -> Any:
    """Return the field constraint for a whole number from 1 to `maximum`; true and 3.0 are not whole numbers."""
    return Field(strict=True, ge=1, le=maximum)


MAX_COUNT = 65_536

Count = Annotated[int, _limit(MAX_COUNT)]
"""A number of filters or units: a whole number from 1 to 65,536."""

Extent = Annotated[int, _limit(1_024)]
"""A side of a kernel or window, or a stride, in pixels: 1 to 1,024."""

Rate = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
"""A dropout rate: from 0 up to, but not including, 1."""

Padding = Literal["valid", "same"]
PoolKind = Literal["max", "average"]
