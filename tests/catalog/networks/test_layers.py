from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.networks.layers import (
    ACTIVATIONS,
    LAYER_TYPES,
    PLAIN_LAYER_TYPES,
    ActivationName,
    AnyLayer,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Layer,
    PlainLayer,
    Pool,
    Residual,
)

LAYER: TypeAdapter[Any] = TypeAdapter(Layer)


def test_the_literals_repeat_the_registries() -> None:
    assert get_args(ActivationName) == tuple(record.name for record in ACTIVATIONS)
    assert tuple(kind.model_fields["type"].default for kind in get_args(AnyLayer)) == LAYER_TYPES
    assert tuple(kind.model_fields["type"].default for kind in get_args(PlainLayer)) == PLAIN_LAYER_TYPES


@pytest.mark.parametrize("record", ACTIVATIONS, ids=lambda record: record.name)
def test_every_activation_has_a_summary_and_is_accepted(record: Any) -> None:
    assert record.summary
    assert Dense(units=1, activation=record.name).activation == record.name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "conv", "filters": 6, "kernel": 5}, Conv(filters=6, kernel=5)),
        ({"type": "pool"}, Pool(kind="max", size=2, stride=None)),
        ("pool", Pool()),
        ({"type": "dense", "units": 10, "activation": "tanh"}, Dense(units=10, activation="tanh")),
        ({"type": "dropout", "rate": 0.5}, Dropout(rate=0.5)),
        ("batch_norm", BatchNorm(momentum=0.1, epsilon=1e-5, activation="linear")),
        ({"type": "global_pool", "kind": "max"}, GlobalPool(kind="max")),
        (
            {"type": "residual", "layers": [{"type": "conv", "filters": 3, "kernel": 1, "bias": False}, "batch_norm"]},
            Residual(layers=(Conv(filters=3, kernel=1, bias=False), BatchNorm()), activation="relu"),
        ),
    ],
)
def test_a_mapping_becomes_its_record_and_comes_back(given: object, expected: AnyLayer) -> None:
    layer = LAYER.validate_python(given)
    assert layer == expected
    assert LAYER.validate_python(layer.model_dump()) == layer
    assert LAYER.validate_python(layer) is layer


@pytest.mark.parametrize(
    ("given", "kind", "place"),
    [
        ({"type": "cnov"}, "unknown_name", ()),
        ({"filters": 3}, "unknown_name", ()),
        (7, "unknown_name", ()),
        ({"type": "conv", "filters": 3}, "missing", ("conv", "kernel")),
        ({"type": "conv", "filters": 0, "kernel": 3}, "greater_than_equal", ("conv", "filters")),
        ({"type": "conv", "filters": 3, "kernel": 0}, "greater_than_equal", ("conv", "kernel")),
        ({"type": "conv", "filters": 3, "kernel": 3, "padding": "full"}, "literal_error", ("conv", "padding")),
        ({"type": "dense", "units": 3, "activation": "rlu"}, "unknown_name", ("dense", "activation")),
        ({"type": "dropout", "rate": 1}, "less_than", ("dropout", "rate")),
        ({"type": "pool", "szie": 2}, "extra_forbidden", ("pool", "szie")),
        ({"type": "batch_norm", "momentum": 0}, "greater_than", ("batch_norm", "momentum")),
        ({"type": "batch_norm", "epsilon": 0.0}, "greater_than", ("batch_norm", "epsilon")),
        ({"type": "conv", "filters": 3, "kernel": 1, "bias": "maybe"}, "bool_parsing", ("conv", "bias")),
        ({"type": "residual"}, "missing", ("residual", "layers")),
        ({"type": "residual", "layers": []}, "too_short", ("residual", "layers")),
        ({"type": "residual", "layers": ["cnov"]}, "unknown_name", ("residual", "layers", 0)),
        (
            {"type": "residual", "layers": [{"type": "residual", "layers": ["pool"]}]},
            "unknown_name",
            ("residual", "layers", 0),
        ),
        (
            {"type": "residual", "layers": ["pool", {"type": "dense", "units": 0}]},
            "greater_than_equal",
            ("residual", "layers", 1, "dense", "units"),
        ),
    ],
)
def test_a_wrong_layer_gives_one_error_at_its_place(given: object, kind: str, place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        LAYER.validate_python(given)
    errors = caught.value.errors()
    assert [(error["type"], error["loc"]) for error in errors] == [(kind, place)]


def test_an_unknown_activation_lists_the_activations() -> None:
    with pytest.raises(ValidationError, match=r"'rlu'.* linear, relu, .*'relu'\?"):
        Dense(units=1, activation="rlu")  # type: ignore[arg-type]


def test_layers_are_frozen_and_hashable() -> None:
    layer = Dropout(rate=0.5)
    with pytest.raises(ValidationError, match="frozen"):
        layer.rate = 0.1
    assert len({Dropout(rate=0.5), layer}) == 1


def test_the_schema_requires_the_type_and_explains_every_field() -> None:
    definitions = LAYER.json_schema()["$defs"]
    assert {name: schema["required"] for name, schema in definitions.items()} == {
        "Conv": ["type", "filters", "kernel"],
        "Pool": ["type"],
        "GlobalPool": ["type"],
        "Dense": ["type", "units"],
        "BatchNorm": ["type"],
        "Dropout": ["type", "rate"],
        "Scale": ["type", "factor"],
        "Residual": ["type", "layers"],
        "Whiten": ["type"],
    }
    for schema in definitions.values():
        fields = {name: field for name, field in schema["properties"].items() if name != "type"}
        assert all(field["description"] for field in fields.values())
