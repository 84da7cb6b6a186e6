"""The JSON Schema of study files, for completion and validation in editors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.registry import DATASETS
from bakeoff.stats.factorial import DesignKind
from bakeoff.study.explain import list_field_records
from bakeoff.study.schema import Study
from bakeoff.study.search import SEARCHES
from bakeoff.study.settings import DataSettings
from bakeoff.study.winner import FROM, FromWinner

Schema: TypeAlias = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _list_parts() -> dict[str, tuple[type[BaseModel], ...]]:
    """Return the recipe's fields that have subfields, with the records they may hold."""
    return {name: tuple(list_field_records(field)) for name, field in Recipe.model_fields.items()}


def schema_json() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a study file.

    It checks each value by itself. Errors of combinations (a kernel too large for its image, an arm that changes what
    its block sets) are found by `load_study`.
    """
    models: list[type[BaseModel]] = [Study, Recipe, DataSettings, FromWinner]
    _, generated = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    definitions: dict[str, Schema] = {name: _simplify(schema) for name, schema in generated["$defs"].items()}
    for definition in definitions.values():
        _describe_tag(definition)
    # A recipe is merged from parts, and each part may leave out what another supplies.
    _make_optional(definitions["Recipe"])
    for record in itertools.chain(*_list_parts().values()):
        _make_optional(definitions[record.__name__])
    data = definitions["DataSettings"]["properties"]
    data["name"]["enum"] = [*DATASETS.names, None]
    data["classes"]["anyOf"][0]["items"] = _CLASS_NAME
    recipe_fields = _list_recipe_fields(definitions)
    data_fields = {f"data.{name}": part for name, part in data.items()}
    recipe_start = {FROM: _refer("FromWinner") | {"description": _FROM}}
    definitions["Recipe"] = _make_mapping(
        {**recipe_fields, **recipe_start}, "Settings shared by all arms; fields may be nested or dotted."
    )
    definitions["ArmAxis"] = _make_axis(recipe_fields)
    search_fields = {f"search.{name}": _ANYTHING for kind in SEARCHES for name in kind.settings.model_fields}
    study = definitions.pop("Study")
    described = {name: {"description": field["description"]} for name, field in study["properties"].items()}
    nested = {"data": _refer("DataSettings") | described["data"], "search": _SEARCH}
    block_fields = {**recipe_fields, **data_fields, **search_fields}
    definitions["BlockAxis"] = _make_axis(block_fields, nested, {**_LAYER_FIELDS, **_SEARCH_FIELDS})
    study["properties"]["recipe"] |= _refer("Recipe")
    for keyword in ("additionalProperties", "type", "default"):
        study["properties"]["recipe"].pop(keyword, None)
    for section, axis in (("blocks", "BlockAxis"), ("arms", "ArmAxis")):
        study["properties"][section] = {"type": "array", "items": _refer(axis), **described[section]}
    study["properties"]["arms"]["minItems"] = 1
    design = study["properties"]["design"]
    design["anyOf"] = [{"enum": list(get_args(DesignKind))}, {"$ref": design.pop("$ref")}]
    study["anyOf"] = [{"required": ["arms"]}, {"required": ["search"]}]
    return {"$schema": _DIALECT, "title": "bakeoff study", **study, "$defs": definitions}


_ANYTHING: Schema = {"description": "Changes to the study's search."}
_SEARCH: Schema = {"type": "object", **_ANYTHING}

_FROM = "Winner of an earlier study that the recipe starts from; the other fields change it."

_CLASS_NAME: Schema = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
"""In a list of class names, 0 and 1 need no quotes."""


def _refer(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _simplify(schema: Any) -> Any:
    """Turn `oneOf` into `anyOf`, because parts fit several records; drop titles that repeat a field's name."""
    if isinstance(schema, list):
        return [_simplify(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: part for key, part in schema.items() if key != "discriminator"}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    renamed = {"anyOf" if key == "oneOf" else key: part for key, part in kept.items()}
    return {key: _simplify(part) for key, part in renamed.items()}


def _describe_tag(definition: Schema) -> None:
    """Describe the field that distinguishes records (name or type) by its record's docstring."""
    for tag in ("name", "type"):
        field = definition.get("properties", {}).get(tag)
        if field is not None and "description" not in field:
            field["description"] = definition["description"].partition("\n\n")[0].replace("\n", " ")


def _make_optional(schema: Schema) -> None:
    """Make every field of a record optional."""
    for part in (schema, *schema.get("anyOf", [])):
        part.pop("required", None)


def _list_recipe_fields(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schema of every recipe field, with dotted names for nested ones."""
    fields: dict[str, Schema] = dict(definitions["Recipe"]["properties"])
    for name, records in _list_parts().items():
        variants: dict[str, dict[str, Schema]] = {}
        for record in records:
            for inner, schema in _find_properties(definitions[record.__name__]).items():
                variants.setdefault(inner, {})[record.__name__] = schema
        if "name" in variants:
            choice = name.replace("_", " ")
            variants["name"] = {
                key: {**part, "description": f"Name of the {choice}."} for key, part in variants["name"].items()
            }
        fields |= {f"{name}.{inner}": _merge_variants(schemas) for inner, schemas in variants.items()}
    return fields


def _merge_variants(schemas: Mapping[str, Schema]) -> Schema:
    """Return the schema of a field that several records have; differing descriptions get the records' names."""
    owners: dict[str, list[str]] = {}
    for owner, schema in schemas.items():
        owners.setdefault(schema["description"], []).append(owner)
    texts = [text if len(owners) == 1 else f"{', '.join(names)}: {text}" for text, names in owners.items()]
    bare = [{key: part for key, part in schema.items() if key != "description"} for schema in schemas.values()]
    distinct = [schema for position, schema in enumerate(bare) if schema not in bare[:position]]
    return {"anyOf": distinct, "description": " ".join(texts)}


def _find_properties(schema: Schema) -> dict[str, Schema]:
    """Return a record's properties, also if a bare name may be given instead."""
    found: dict[str, Schema] = schema.get("properties", {})
    for part in schema.get("anyOf", []):
        found = {**found, **part.get("properties", {})}
    return found


_LAYER_FIELDS: Schema = {
    r"^network\.layers\.[0-9]+(\..+)?$": {"description": "One layer, or one of its fields."},
    r"^augmentation\.[0-9]+(\..+)?$": {"description": "One step of the augmentation, or one of its fields."},
    r"^class_weights\.[^.]+$": {"description": "Weight of images of this class."},
    r"^transfer\.weights\.[a-z0-9]+$": {"description": "Source of the weights."},
}


_SEARCH_FIELDS: Schema = {r"^search\.(space|genome)\..+$": _ANYTHING}


def _make_mapping(fields: Mapping[str, Schema], description: str, patterns: Schema = _LAYER_FIELDS) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": dict(fields),
        "patternProperties": patterns,
        "additionalProperties": False,
    }


def _make_axis(
    fields: Mapping[str, Schema], nested: Mapping[str, Schema] | None = None, patterns: Schema = _LAYER_FIELDS
) -> Schema:
    """Return the schema of an axis: one field with a list of values, or named cases of changes.

    Args:
        fields: schemas of the fields that may vary, by dotted name.
        nested: schemas of what else a case may change, as a mapping.
        patterns: regular expressions for the names of further fields that may vary.
    """
    values = _make_mapping(_list_values(fields.items()), "One field and its values.")
    values |= {"minProperties": 1, "maxProperties": 1}
    values["patternProperties"] = _list_values(patterns.items())
    base = {"type": "string", "description": "Another case of this axis to start from."}
    changes = _make_mapping({**fields, **(nested or {}), "from": base}, "Changes made by this case.", patterns)
    cases = {
        "type": "object",
        "description": "Named cases; a name that begins with _ is a template for `from`.",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [changes, {"type": "null"}]},
    }
    return {"anyOf": [values, cases]}


def _list_values(fields: Iterable[tuple[str, Schema]]) -> Schema:
    """Return the schema of a list of values for every field, with the field's description."""
    return {
        name: {
            "description": schema["description"],
            "type": "array",
            "minItems": 1,
            "items": {key: part for key, part in schema.items() if key != "description"},
        }
        for name, schema in fields
    }
