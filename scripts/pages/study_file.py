"""The reference of the study file: every setting with its type, range, default, meaning and an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pages import schema
from pages.examples import ANY, find_example
from pages.registries import KIND_OF_FIELD, find_entry
from pages.schema import Schema

_AXES = ("blocks", "arms")
"""Fields whose records repeat those of others."""

_ELSEWHERE = ("FunctionMetric", "TopAccuracy")
"""Records that several fields hold; the page on metrics has them."""


def write() -> str:
    """Return a section for every field of a study, and one for every setting inside it."""
    return "\n\n".join(_list_sections())


def write_record(name: str) -> str:
    """Return the settings of one record of the schema, under its description."""
    record = schema.load()["$defs"][name]
    return "\n\n".join([_summarise(record), *list_settings(record, level=4, anchor=name.lower())])


def write_layers() -> str:
    """Return a section for every kind of layer that a network can be spelled out with."""
    layers = schema.load()["$defs"]["Layers"]["properties"]["layers"]
    return "\n\n".join(part for name in schema.list_records(layers) for part in _write_layer(name))


def _write_layer(name: str) -> Iterator[str]:
    kind = schema.load()["$defs"][name]["properties"]["type"]["const"]
    yield f"### {kind} {{ #layer-{kind} }}"
    yield write_record(name)


def _list_sections() -> Iterator[str]:
    study = schema.load()
    for name, field in study["properties"].items():
        yield f"## {name} {{ #{name} }}"
        yield _describe_setting(name, field, name in study.get("required", ()))
        if name not in _AXES:
            yield from _list_nested(name, field)


def _list_nested(path: str, field: Schema) -> Iterator[str]:
    """Yield the settings of the records that a field holds, if no other page has them."""
    for name in schema.list_records(field):
        if name in _ELSEWHERE or find_entry(name) or path in KIND_OF_FIELD:
            continue
        record = schema.load()["$defs"][name]
        for key, part in record.get("properties", {}).items():
            if "." in key:  # in a recipe, the settings of its parts may also be written with dots
                continue
            below = ".".join([path, *([ANY] if "additionalProperties" in field else []), key])
            yield f"### {below} {{ #{below} }}"
            yield _describe_setting(below, part, key in record.get("required", ()))
            if path.count(".") < 2:
                yield from _list_nested(below, part)


def _describe_setting(path: str, field: Schema, required: bool) -> str:
    lines = [field.get("description", "")]
    if path in KIND_OF_FIELD:
        lines.append(f"[All of them, with their settings]({KIND_OF_FIELD[path]}.md).")
    example = find_example(path)
    return "\n\n".join([_line(field, required), " ".join(filter(None, lines)), *([example] if example else [])])


def _line(field: Schema, required: bool) -> str:
    """Return type, range and default in one line."""
    default = "required" if required else "optional"
    if not required and field.get("default") is not None and (text := schema.format_default(field)):
        default = f"default {text}"
    kind = schema.describe(field) if len(list(schema.list_records(field))) < 4 else "a name or a mapping"
    return f"{kind} · {default}\n{{ .setting }}"


def list_settings(record: Schema, level: int, anchor: str) -> Iterator[str]:
    """Yield a heading and a description for every setting of a record, but not for the name that selects it."""
    for name, field in record.get("properties", {}).items():
        if "const" in field and name in ("name", "type"):
            continue
        yield f"{'#' * level} {name} {{ #{anchor}-{name} }}"
        yield "\n\n".join(filter(None, [_line(field, name in record.get("required", ())), field.get("description")]))


def _summarise(record: Mapping[str, Any]) -> str:
    return str(record.get("description", ""))
