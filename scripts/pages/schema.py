"""Types, ranges and defaults of the study file's JSON Schema, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias

import yaml

from bakeoff.study.editor import schema_json

Schema: TypeAlias = Mapping[str, Any]

MAX_DEFAULT_CHARACTERS = 70

_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)


@cache
def load() -> Schema:
    """Return the JSON Schema of study files."""
    return schema_json()


def resolve(schema: Schema) -> Schema:
    """Return the record that a schema refers to; itself if it refers to none."""
    found: Schema = load()["$defs"][name] if (name := find_name(schema)) else schema
    return found


def find_name(schema: Schema) -> str:
    """Return the name of the record that a schema refers to; empty if it refers to none."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def list_records(schema: Schema) -> Iterator[str]:
    """Yield the names of all records that a value may be."""
    if name := find_name(schema):
        yield name
    for part in (*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(part, dict):
            yield from list_records(part)


def describe(schema: Schema) -> str:
    """Return what a value may be: its types and ranges."""
    alternatives = schema.get("anyOf")
    if alternatives:
        parts = [describe(part) for part in alternatives if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(part for part in parts if part))
    if "const" in schema:
        return _quote(schema["const"])
    if "enum" in schema:
        return _join([_quote(value) for value in schema["enum"] if value is not None])
    if find_name(schema):
        return describe_record(schema)
    return _describe_type(schema)


def describe_record(schema: Schema) -> str:
    """Return the tag of a record that is chosen by one (`{name: sgd}`); other records are mappings."""
    properties = resolve(schema).get("properties", {})
    tag = next((field for field in ("name", "type") if "const" in properties.get(field, {})), None)
    return "a mapping" if tag is None else f"`{{{tag}: {properties[tag]['const']}, ...}}`"


def _describe_type(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])}: {describe(schema['prefixItems'][0])}"
        items = describe(schema.get("items", {}))
        return f"a list of {items}" if items else "a list"
    if kind == "object":
        return "a mapping"
    bounds = [f"{word} {_number(schema[key])}" for key, word in _BOUNDS if key in schema]
    return ", ".join([_WORDS.get(str(kind), ""), *bounds]).strip(", ")


def format_default(schema: Schema) -> str:
    """Return a setting's default as code, as a study file spells it; empty if it is required or too long to show."""
    if "default" not in schema:
        return ""
    text = format_value(schema["default"])
    return f"`{text}`" if len(text) <= MAX_DEFAULT_CHARACTERS else ""


def format_value(value: object) -> str:
    """Return a value in YAML's short form, on one line; a record's null fields are left out, as one would write it."""
    text = yaml.safe_dump(_drop_nulls(value), default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _drop_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _drop_nulls(part) for key, part in value.items() if part is not None}
    return [_drop_nulls(part) for part in value] if isinstance(value, list | tuple) else value


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _quote(value: object) -> str:
    return f"`{format_value(value)}`"


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
