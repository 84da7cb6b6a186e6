from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.catalog.optimizers import SGD
from bakeoff.catalog.recipe import Recipe
from bakeoff.study.explain import EXTRA_FIELD, explain, join_path, shorten


def _explain(given: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(given)
    return [(join_path(path), message, kind) for path, message, kind in explain(caught.value, Recipe, given)]


def test_the_member_of_a_union_is_no_part_of_a_path() -> None:
    layers = [{"type": "conv", "filters": "x", "kernel": 3}, {"type": "dense", "unit": 3}]
    found = _explain({"network": {"name": "layers", "layers": layers, "filters": 3}})
    assert [(path, kind) for path, _, kind in found] == [
        ("network.layers.0.filters", "int_type"),
        ("network.layers.1.units", "missing"),
        ("network.layers.1.unit", EXTRA_FIELD),
        ("network.filters", EXTRA_FIELD),
    ]
    messages = [message for _, message, _ in found]
    assert "'x'" in messages[0]
    assert "type, units, activation, bias" in messages[2]
    assert messages[2].endswith("'units'?")
    assert "name, layers" in messages[3]


def test_a_field_of_an_inner_record_and_initials_are_recognized() -> None:
    def suggest(**given: Any) -> str:
        ((_, message, _),) = _explain({"network": "mlp", **given})
        return message.rpartition("Did you mean ")[2]

    adam = {"name": "adam"}
    assert suggest(optimizer=adam, learning_rate=0.1) == "'optimizer.learning_rate'?"
    assert suggest(optimizer=adam, lr=0.1) == "'optimizer.learning_rate'?"
    assert suggest(optimizer={**adam, "lr": 0.1}) == "'learning_rate'?"
    assert suggest(bs=32) == "'batch_size'?"


def test_fields_of_an_optional_record_are_listed() -> None:
    ((path, message, kind),) = _explain({"network": "mlp", "early_stopping": {"patience": 1, "min-delta": 0.1}})
    assert (path, kind) == ("early_stopping.min-delta", EXTRA_FIELD)
    assert "monitor, patience, min_delta" in message
    assert message.endswith("'min_delta'?")


def test_a_constraint_between_fields_stands_at_their_record() -> None:
    ((path, message, kind),) = _explain({"network": "mlp", "optimizer": {"name": "sgd", "nesterov": True}})
    assert (path, kind) == ("optimizer", "incompatible")
    assert "nesterov" in message
    assert "momentum" in message


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
