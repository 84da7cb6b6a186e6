from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.catalog.optimizers import SGD
from bakeoff.catalog.recipe import Recipe
from bakeoff.study.explain import UNKNOWN_FIELD, explain, join_path, shorten


def _explain(given: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(given)
    return [(join_path(path), message, kind) for path, message, kind in explain(caught.value, Recipe, given)]


def test_the_member_of_a_union_is_no_part_of_a_path() -> None:
    layers = [{"type": "conv", "filters": "x", "kernel": 3}, {"type": "dense", "unit": 3}]
    assert _explain({"network": {"name": "layers", "layers": layers, "filters": 3}}) == [
        ("network.layers.0.filters", "given 'x', allowed a whole number.", "int_type"),
        ("network.layers.1.units", "missing: it has no default, give it a value", "missing"),
        (
            "network.layers.1.unit",
            "unknown field 'unit', allowed: type, units, activation, bias. Did you mean 'units'?",
            UNKNOWN_FIELD,
        ),
        ("network.filters", "unknown field 'filters', allowed: name, layers. Did you mean 'layers'?", UNKNOWN_FIELD),
    ]


def test_fields_of_an_optional_record_are_listed() -> None:
    assert _explain({"network": "mlp", "early_stopping": {"patience": 1, "min-delta": 0.1}}) == [
        (
            "early_stopping.min-delta",
            "unknown field 'min-delta', allowed: monitor, patience, min_delta. Did you mean 'min_delta'?",
            UNKNOWN_FIELD,
        )
    ]


def test_a_constraint_between_fields_stands_at_their_record() -> None:
    assert _explain({"network": "mlp", "optimizer": {"name": "sgd", "nesterov": True}}) == [
        ("optimizer", "nesterov needs a momentum above 0", "incompatible")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        ((1, 2), "[1, 2]"),
        ("a\nb", r"'a\nb'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        (SGD(), "{'name': 'sgd', 'learning_rate': 0.01, 'momentum': 0.0, '..."),
    ],
)
def test_values_are_shown_short_and_on_one_line(value: object, text: str) -> None:
    assert shorten(value) == text
