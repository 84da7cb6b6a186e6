"""Dimensions: what a study file may write for one field, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.networks.layers import Conv
from bakeoff.catalog.optimizers import SGD
from bakeoff.study.dimensions import AnyDimension, Categorical, Dimension, FloatRange, IntRange, matches

ADAPTER: TypeAdapter[AnyDimension] = TypeAdapter(Dimension)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"low": 32, "high": 96, "step": 32}, IntRange(low=32, high=96, step=32)),
        ({"low": 1, "high": 1000, "log": True}, IntRange(low=1, high=1000, log=True)),
        ({"low": 0, "high": 0.5}, FloatRange(low=0.0, high=0.5)),
        ({"low": 1e-5, "high": 0.1, "log": True}, FloatRange(low=1e-5, high=0.1, log=True)),
        ({"low": 0, "high": 1, "type": "float"}, FloatRange(low=0.0, high=1.0)),
        ({"low": 0, "high": 1, "step": 0.25}, FloatRange(low=0.0, high=1.0, step=0.25)),
        (["adam", "sgd"], Categorical(values=("adam", "sgd"))),
        ({"values": [1, 2], "when": {"epochs": 3}}, Categorical(values=(1, 2), when={"epochs": (3,)})),
        (IntRange(low=1, high=2), IntRange(low=1, high=2)),
    ],
)
def test_the_type_follows_from_what_is_written(given: Any, expected: AnyDimension) -> None:
    read = ADAPTER.validate_python(given)
    assert read == expected
    assert type(read) is type(expected)
    assert ADAPTER.validate_json(ADAPTER.dump_json(read)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 3, "high": 1}, "low 3 is above high 1"),
        ({"low": 0.2, "high": 0.1}, "low 0.2 is above high 0.1"),
        ({"low": 0, "high": 10, "log": True}, "low must be above 0"),
        ({"low": -1.0, "high": 10.0, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 9, "step": 2, "log": True}, "log and step cannot be combined"),
        ({"low": 0.1, "high": 0.9, "step": 0.1, "log": True}, "log and step cannot be combined"),
        ({"low": 32, "high": 100, "step": 32}, "write high: 96"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, "write high: 0.9"),
        ({"low": 1, "high": 5, "step": 0}, "greater than or equal to 1"),
        ({"low": "1", "high": 5}, "valid number"),
        ({"low": 1}, "required"),
        ({"low": 1, "hihg": 5}, "Did you mean 'high'"),
        ({"type": "integer", "low": 1, "high": 5}, "Did you mean 'int'"),
        ({"low": 1.0, "high": float("inf")}, "finite"),
        ([], "an empty list"),
        ([1, 2, 1], "1 is listed twice"),
        ({"values": [1], "when": {"epochs": []}}, "epochs: an empty list"),
        (5, "allowed a list of values, or {low, high}"),
        ("adam", "allowed a list of values, or {low, high}"),
    ],
)
def test_what_cannot_be_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(given)
    assert message in str(caught.value)


def test_values_are_counted_and_listed() -> None:
    assert list(IntRange(low=32, high=96, step=32).list_values()) == [32, 64, 96]
    assert IntRange(low=32, high=96, step=32).count == 3
    steps = FloatRange(low=0.1, high=0.5, step=0.1)
    assert list(steps.list_values()) == [0.1, 0.2, 0.3, 0.4, 0.5]  # as written, not 0.30000000000000004
    assert steps.count == 5
    assert FloatRange(low=0.1, high=0.5).count is None
    assert FloatRange(low=0.5, high=0.5).count == 1
    assert Categorical(values=(True, 1)).count == 2


def test_a_value_is_in_or_out() -> None:
    assert IntRange(low=1, high=9, step=4).has(5)
    assert not IntRange(low=1, high=9, step=4).has(4)
    assert not IntRange(low=0, high=1).has(True)
    assert FloatRange(low=0.0, high=1.0).has(0.3)
    assert not FloatRange(low=0.0, high=1.0, step=0.5).has(0.3)
    assert Categorical(values=("adam", {"name": "sgd", "momentum": 0.9})).has("sgd")
    assert not Categorical(values=(1,)).has(True)


def test_a_mapping_is_known_by_its_name() -> None:
    assert matches({"name": "sgd", "momentum": 0.9}, ("sgd",))
    assert not matches({"name": "sgd"}, ("adam",))
    assert not matches(True, (1,))


def test_records_become_plain_values() -> None:
    choices = Categorical(values=(SGD(momentum=0.9), [Conv(filters=8, kernel=3)]))
    assert choices.values[0]["name"] == "sgd"
    assert choices.values[1][0]["filters"] == 8


def test_an_editor_accepts_what_bakeoff_accepts() -> None:
    schema = ADAPTER.json_schema(mode="validation")
    assert schema["anyOf"][0] == {"type": "array", "items": {}}
    assert schema["$defs"]["IntRange"]["required"] == ["low", "high"]
