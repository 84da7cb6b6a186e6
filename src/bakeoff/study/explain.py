"""Turns pydantic's errors into one clear line each: the given value, what is allowed, the closest valid name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bakeoff.catalog.choices import Lazily
from bakeoff.errors import CONFLICT, INVALID_VALUE, MISSING_FIELD, UNKNOWN_FIELD, UNKNOWN_NAME, initials, nearest

Path: TypeAlias = tuple[str | int, ...]
"""The path of a value in a tree of mappings and lists: keys and indices, outermost first."""

EXTRA_FIELD = "extra_forbidden"
MISSING_VALUE = "missing"

MAX_SHOWN_CHARACTERS = 60

MISSING = "missing: it has no default, give it a value"

_ALLOWED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "int_parsing_size": lambda _: "a smaller whole number",
    "float_type": lambda _: "a number",
    "float_parsing": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "string_type": lambda _: "text",
    "bool_type": lambda _: "true or false",
    "bool_parsing": lambda _: "true or false",
    "tuple_type": lambda _: "a list, such as [a, b] or lines that begin with '- '",
    "dict_type": lambda _: "a mapping, such as {name: value}",
    "model_type": lambda _: "a mapping",
    "model_attributes_type": lambda _: "a mapping",
    "literal_error": lambda context: str(context["expected"]),
    "greater_than": lambda context: f"a number above {context['gt']:g}",
    "greater_than_equal": lambda context: f"{context['ge']:g} or more",
    "less_than": lambda context: f"a number below {context['lt']:g}",
    "less_than_equal": lambda context: f"{context['le']:g} or less",
    "string_too_short": lambda context: f"{context['min_length']} characters or more",
    "string_too_long": lambda context: f"{context['max_length']} characters or fewer",
}


_CONTRADICTIONS = (
    "data_source",
    "design",
    "disagreement",
    "folds",
    "halving",
    "incompatible",
    "own_validation",
    "race",
    "source",
)
_CODES: Mapping[str, str] = {
    EXTRA_FIELD: UNKNOWN_FIELD,
    MISSING_VALUE: MISSING_FIELD,
    "unknown_name": UNKNOWN_NAME,
    **dict.fromkeys(
        ("incompatible", "data_source", "design", "race", "folds", "disagreement", "halving", "source"), CONFLICT
    ),
    "own_validation": CONFLICT,
}
"""By pydantic's type of an error; all other types are values that are not allowed."""


def shorten(value: object) -> str:
    """Return a value on one short line, as in a study file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        value = value.model_dump()
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."


def join_path(path: Iterable[str | int]) -> str:
    """Return a path in the syntax of `--set`: `recipe.optimizer.learning_rate`."""
    return ".".join(str(key) for key in path)


def explain(error: ValidationError, model: type[BaseModel], given: object) -> Iterator[tuple[Path, str, str]]:
    """Explain a validation error, with one line per field.

    Args:
        error: the error raised when `given` was validated.
        model: the model it was validated as.
        given: the validated tree of mappings, lists and plain values.

    Yields:
        The field's path in `given`, a message, and pydantic's type of the error, such as `EXTRA_FIELD`.
    """
    messages: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        messages.setdefault(_find_path(details, given), []).append(details)
    for path, found in messages.items():
        kind = found[0]["type"]
        yield path, (_refuse_field(path, model, given) if kind == EXTRA_FIELD else _phrase(found)), kind


def find_code(kind: str) -> str:
    """Return the code of a kind of mistake, given pydantic's type of the error."""
    return _CODES.get(kind, INVALID_VALUE)


def _find_path(details: ErrorDetails, given: object) -> Path:
    """Return an error's path in `given`, without the members of unions that pydantic adds to it."""
    path: list[str | int] = []
    node = given
    tagged = False
    *outer, last = details["loc"] or ("",)
    for key in outer:
        children = _list_children(node)
        if not tagged and isinstance(node, Mapping) and key in (node.get("name"), node.get("type")):
            tagged = True
        elif key in children:
            path.append(key)
            node, tagged = children[key], False
    if last in _list_children(node) or details["type"] == MISSING_VALUE:
        path.append(last)
    return tuple(path)


def _list_children(node: object) -> Mapping[str | int, object]:
    if isinstance(node, BaseModel):
        return dict(node)
    if isinstance(node, Mapping):
        return node
    if isinstance(node, Sequence) and not isinstance(node, str):
        return dict(enumerate(node))
    return {}


def _phrase(found: Sequence[ErrorDetails]) -> str:
    """Return one message for all errors of a value; if there are several, each is for one member of a union."""
    first = found[0]
    allowed = [_ALLOWED[details["type"]](details.get("ctx", {})) for details in found if details["type"] in _ALLOWED]
    if first["type"] == MISSING_VALUE:
        return MISSING
    if not allowed:
        return str(first["msg"])
    context = first.get("ctx", {})
    names = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    hint = nearest(first["input"], names) if isinstance(first["input"], str) else ""
    return f"given {shorten(first['input'])}, allowed {' or '.join(dict.fromkeys(allowed))}.{hint}"


def _refuse_field(path: Path, model: type[BaseModel], given: object) -> str:
    names = list_fields(model, given, path[:-1])
    inner = [(name, field) for name in names for field in list_fields(model, given, (*path[:-1], name))]
    deeper = [f"{name}.{field}" for name, field in inner if path[-1] in (field, initials(field))]
    hint = f" Did you mean '{deeper[0]}'?" if len(deeper) == 1 else nearest(path[-1], names)
    return f"unknown field {shorten(path[-1])}, allowed: {', '.join(names)}.{hint}"


def list_fields(model: type[BaseModel], given: object, path: Path) -> list[str]:
    """Return the fields of the record at `path` of a tree that is validated as `model`."""
    record: type[BaseModel] | None = model
    annotation: object = model
    for key in path:
        given = _list_children(given).get(key)
        if isinstance(key, str) and record is not None and key in record.model_fields:
            field = record.model_fields[key]
            annotation = (field.annotation, *field.metadata)
        record = _choose_record(annotation, given)
    return list(record.model_fields) if record else []


def _choose_record(annotation: object, given: object) -> type[BaseModel] | None:
    """Return the record among an annotation's members that a mapping's `name` or `type` selects."""
    records = list(_list_records(annotation))
    tags = [given.get("name"), given.get("type")] if isinstance(given, Mapping) else []
    for record in records:
        fields = [record.model_fields[tag] for tag in ("name", "type") if tag in record.model_fields]
        if any(field.default in tags for field in fields if isinstance(field.default, str)):
            return record
    # A record with a free name (`timm:NAME`) has no default for it, and takes the names that no other record has.
    free = [record for record in records if "name" in record.model_fields and record.model_fields["name"].is_required()]
    candidates = free if any(tag is not None for tag in tags) and free else records
    return candidates[0] if len(candidates) == 1 else None


def list_field_records(field: FieldInfo) -> Iterator[type[BaseModel]]:
    """Yield the possible records of a field's value, also from installed packages; none if the field is a tuple."""
    if get_origin(field.annotation) is not tuple:
        yield from _list_records((field.annotation, *field.metadata))


def _list_records(annotation: object) -> Iterator[type[BaseModel]]:
    members = annotation if isinstance(annotation, tuple) else get_args(annotation)
    lazy = [member for member in members if isinstance(member, Lazily)]
    if lazy:
        yield from lazy[0].list_records()
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in members:
        yield from _list_records(member)
