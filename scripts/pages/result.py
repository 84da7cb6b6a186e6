"""The reference of the JSON document of results: its keys and records, from the same schema as result.schema.json."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.report.result_schema import result_schema

_ATTRIBUTE = re.compile(r"^    (\w+)(?:, [\w, ]+)?: (.*(?:\n        .*)*)", flags=re.MULTILINE)
_LITERAL = re.compile(r"``?([^`]+)``?")


def write() -> str:
    """Return a section for the document, then one for every record in it."""
    document = result_schema()
    sections = [_write_record("The document", document)]
    sections += [_write_record(name, record) for name, record in document["$defs"].items()]
    return "\n\n".join(sections)


def _write_record(title: str, record: Mapping[str, Any]) -> str:
    text, _, attributes = str(record.get("description", "")).partition("\n\nAttributes:\n")
    meanings = {name: " ".join(meaning.split()) for name, meaning in _ATTRIBUTE.findall(attributes)}
    if "enum" in record:
        return f"## {title}\n\nOne of {', '.join(f'`{value}`' for value in record['enum'])}."
    parts = [f"## {title}", _escape(text), *_list_keys(record.get("properties", {}), meanings)]
    return "\n\n".join(filter(None, parts))


def _list_keys(properties: Mapping[str, Any], meanings: Mapping[str, str]) -> Iterator[str]:
    for name, part in properties.items():
        meaning = part.get("description", "") or meanings.get(name, "")
        text = ": ".join(filter(None, [_describe(part), _escape(meaning)]))
        yield f"`{name}`\n:   {text or 'any value'}"


def _describe(part: Mapping[str, Any]) -> str:
    """Return the JSON type of a value; records are links to their sections."""
    if "anyOf" in part:
        return " or ".join(_describe(each) for each in part["anyOf"])
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in part or "enum" in part:
        return " or ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return f"array of {_describe(part.get('items', {})) or 'any values'}"
    if isinstance(part.get("additionalProperties"), Mapping):
        return f"object of {_describe(part['additionalProperties']) or 'any values'}"
    kind = part.get("type", "")
    return kind if isinstance(kind, str) else " or ".join(kind)


def _escape(text: str) -> str:
    """Return text of a docstring as Markdown: names in single or double backticks are code."""
    return _LITERAL.sub(r"`\1`", text).replace("[", r"\[").replace("<", "&lt;")
