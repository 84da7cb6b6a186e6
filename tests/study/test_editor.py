from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from bakeoff.catalog.initializers import INITIALIZERS
from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.data.registry import DATASETS
from bakeoff.study.document import read_document
from bakeoff.study.editor import schema_json
from bakeoff.study.load import list_shipped

SCHEMA = schema_json()
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
KNOWN = {"$ref", "$defs", "$schema", "anyOf", "type", "enum", "const", "properties", "patternProperties", "required"}
KNOWN |= {"additionalProperties", "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems"}
KNOWN |= {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"}
KNOWN |= {"description", "default", "title"}


def _fits(value: object, schema: Any) -> bool:
    """Validate by as much of JSON Schema as ours uses; an unknown keyword is an error of the test."""
    if isinstance(schema, bool):
        return schema
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema and not _fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "anyOf" in schema and not any(_fits(value, part) for part in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    return _fits_type(value, schema) and _fits_object(value, schema) and _fits_list(value, schema)


def _fits_type(value: object, schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float):
        above: bool = value >= schema.get("minimum", value) and value > schema.get("exclusiveMinimum", value - 1)
        below: bool = value <= schema.get("maximum", value) and value < schema.get("exclusiveMaximum", value + 1)
        return above and below
    return True


def _fits_object(value: object, schema: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    if not set(schema.get("required", [])) <= value.keys():
        return False
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return False
    for key, part in value.items():
        named = schema.get("properties", {}).get(key)
        patterns = [found for pattern, found in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        rules = [*([named] if named is not None else []), *patterns] or [schema.get("additionalProperties", True)]
        if not all(_fits(part, rule) for rule in rules):
            return False
    return True


def _fits_list(value: object, schema: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    prefix = schema.get("prefixItems", [])
    rest = [schema.get("items", True)] * max(len(value) - len(prefix), 0)
    return all(_fits(part, rule) for part, rule in zip(value, [*prefix, *rest], strict=False))


def _study(text: str) -> dict[str, Any]:
    return read_document("question: a\n" + text, "s.yaml").fields


@pytest.mark.parametrize("shipped", list_shipped(), ids=lambda shipped: shipped.name)
def test_shipped_studies_fit(shipped: Any) -> None:
    assert _fits(read_document(shipped.path.read_text(encoding="utf-8"), "s.yaml").fields, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "arms: [{initializer: [he_normal, {name: orthogonal, where: everywhere}]}]",
        "arms: [{optimizer.learning_rate: [0.1, 1e-2]}, {network.name: [mlp, cnn]}]",
        "arms: [{a: null, b: {}, c: {from: b, optimizer: {momentum: 0.9}, optimizer.learning_rate: 0.1}}]",
        "arms: [{network.layers.0.filters: [3, 4]}]\nrecipe: {network: {layers: [{type: dense, units: 3}]}}",
        "arms: [{early_stopping: [null, {monitor: loss, patience: 3}]}]",
        "arms: [{epochs: [1]}]\nblocks: [{data.name: [mnist]}, {a: {data: {validation: 0.2}, network: lenet}}]",
        "arms: [{epochs: [1]}]\nrecipe: {optimizer.learning_rate: 0.1, network: {units: [3]}}",
        "arms: [{epochs: [1]}]\npublished: {source: x, figures: [{arm: a, metric: loss, value: 1}]}",
    ],
)
def test_what_fits(text: str) -> None:
    assert _fits(_study(text), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "arms: []",
        "recipe: {epochs: 1}",
        "arms: [{initialiser: [he_normal]}]",
        "arms: [{initializer: [he_norm]}]",
        "arms: [{optimizer.learning_rate: [-1]}]",
        "arms: [{epochs: [1, 2], batch_size: [3]}]",
        "arms: [{data.name: [mnist]}]",
        "arms: [{a: {data.name: mnist}}]",
        "arms: [{a: {epoch: 3}}]",
        "arms: [{epochs: 3}]",
        "arms: [{epochs: [1]}]\nblocks: [{data.name: [mnits]}]",
        "arms: [{epochs: [1]}]\nblocks: [{decide: [1]}]",
        "arms: [{epochs: [1]}]\nrecipe: {network: lenett}",
        "arms: [{epochs: [1]}]\nrecipe: {network: {layers: [{type: dense}]}}",
        "arms: [{epochs: [1]}]\nreplicates: 0",
        "arms: [{epochs: [1]}]\ndecide: {metric: f1}",
    ],
)
def test_what_does_not_fit(text: str) -> None:
    assert not _fits(_study(text), SCHEMA)


def test_it_is_json_and_names_everything() -> None:
    text = json.dumps(SCHEMA)
    registries: list[Any] = [*NETWORKS, *INITIALIZERS, *OPTIMIZERS, *DATASETS]
    assert all(f'"{record.name}"' in text for record in registries)


def _list_properties(schema: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield every property of a schema, however deep, with where it stands."""
    parts = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, part in parts:
        if key in ("properties", "patternProperties"):
            yield from ((f"{place}/{name}", field) for name, field in part.items())
        yield from _list_properties(part, f"{place}/{key}")


def test_every_property_has_a_description() -> None:
    properties = list(_list_properties(SCHEMA, ""))
    assert len(properties) > 500
    assert [place for place, field in properties if not field.get("description")] == []
