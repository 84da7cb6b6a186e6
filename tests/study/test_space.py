"""Search spaces: which fields, under which conditions, in which order."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.recipe import Recipe
from bakeoff.study.space import (
    Space,
    arrange,
    find_sampler_faults,
    is_chosen,
    iterate_points,
    list_probes,
    order_space,
)

ADAPTER: TypeAdapter[Any] = TypeAdapter(Space)


def read(**fields: Any) -> Any:
    return ADAPTER.validate_python({name.replace("__", "."): value for name, value in fields.items()})


SGD_ONLY = {"optimizer": "sgd"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "an empty space"),
        ({"epocs": [1, 2]}, "epocs: no field of the recipe"),
        ({"epocs": [1, 2]}, "Did you mean 'epochs'"),
        ({"recipe__epochs": [1, 2]}, "fields without the prefix 'recipe'"),
        ({"data__name": ["digits"]}, "data.name: no field of the recipe"),
        ({"optimizer": ["adam"], "optimizer__name": ["sgd"]}, "optimizer.name: the same field as optimizer"),
        ({"epochs": {"low": 1, "high": 5, "when": {"batch_size": 3}}}, "epochs: when: no field 'batch_size'"),
        (
            {"batch_size": [8], "epochs": {"low": 1, "high": 5, "when": {"batchsize": 8}}},
            "Did you mean 'batch_size'",
        ),
        ({"batch_size": [8], "epochs": {"values": [1], "when": {"batch_size": 9}}}, "batch_size is never 9"),
        ({"epochs": {"values": [1], "when": {"epochs": 1}}}, "circular when: epochs"),
        (
            {
                "epochs": {"values": [1], "when": {"batch_size": 2}},
                "batch_size": {"values": [2], "when": {"epochs": 1}},
            },
            "circular when: epochs, batch_size",
        ),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    assert message in str(caught.value)


def test_every_fault_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        read(epocs=[1], bach_size=[2])
    assert "epocs" in str(caught.value)
    assert "bach_size" in str(caught.value)


def test_fields_follow_those_they_depend_on() -> None:
    space = read(
        optimizer__nesterov={"values": [True, False], "when": {"optimizer.momentum": 0.9}},
        optimizer__momentum={"values": [0.0, 0.9], "when": SGD_ONLY},
        epochs=[1],
        optimizer=["adam", "sgd"],
    )
    assert order_space(space) == ("epochs", "optimizer", "optimizer.momentum", "optimizer.nesterov")


def test_a_field_is_chosen_where_all_its_conditions_hold() -> None:
    space = read(
        optimizer=["adam", {"name": "sgd", "momentum": 0.9}],
        epochs=[1, 2, 3],
        optimizer__nesterov={"values": [True], "when": {"optimizer.name": "sgd", "epochs": [1, 2]}},
    )
    nesterov = space["optimizer.nesterov"]
    sgd = {"name": "sgd", "momentum": 0.9}
    assert is_chosen(nesterov, {"optimizer": sgd, "epochs": 2})
    assert not is_chosen(nesterov, {"optimizer": sgd, "epochs": 3})
    assert not is_chosen(nesterov, {"optimizer": "adam", "epochs": 2})
    assert not is_chosen(nesterov, {"optimizer": sgd})
    assert is_chosen(space["epochs"], {})


def test_a_whole_field_is_changed_before_what_is_inside_it() -> None:
    changes = {"network.layers.0.filters": 8, "optimizer.momentum": 0.9, "optimizer.name": "sgd", "network": "cnn"}
    assert list(arrange(changes)) == ["optimizer.name", "network", "optimizer.momentum", "network.layers.0.filters"]


def test_points_are_every_combination_that_conditions_allow() -> None:
    space = read(
        optimizer__momentum={"low": 0.0, "high": 0.9, "step": 0.45, "when": SGD_ONLY}, optimizer=["adam", "sgd"]
    )
    assert list(iterate_points(space)) == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer.momentum": 0.0},
        {"optimizer": "sgd", "optimizer.momentum": 0.45},
        {"optimizer": "sgd", "optimizer.momentum": 0.9},
    ]


def test_a_range_without_steps_has_no_end_of_points() -> None:
    with pytest.raises(ValueError, match="infinitely many"):
        next(iterate_points(read(optimizer__momentum={"low": 0.0, "high": 0.9})))


def test_probes_meet_every_end_and_every_value_under_their_conditions() -> None:
    space = read(
        optimizer=["adam", "sgd", "rmsprop"],
        optimizer__momentum={"low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd", "rmsprop"]}},
        optimizer__nesterov={"values": [True], "when": {"optimizer.momentum": 0.9, "optimizer": "sgd"}},
        batch_size={"low": 8, "high": 64, "log": True},
    )
    probes = list_probes(space)
    met = {(path, value) for probe in probes for path, value in probe.items()}
    expected = {("optimizer", "adam"), ("optimizer", "sgd"), ("optimizer", "rmsprop"), ("batch_size", 64)}
    assert expected | {("optimizer.momentum", 0.0), ("optimizer.momentum", 0.9), ("batch_size", 8)} <= met
    assert all(probe["optimizer"] != "adam" for probe in probes if "optimizer.momentum" in probe)
    assert len({str(probe) for probe in probes}) == len(probes)


def test_samplers_say_what_they_cannot_do() -> None:
    endless = read(optimizer__momentum={"low": 0.0, "high": 0.9}, epochs={"low": 1, "high": 5})
    assert [path for path, _ in find_sampler_faults(endless, "grid")] == ["optimizer.momentum"]
    assert not list(find_sampler_faults(endless, "cmaes"))
    assert not list(find_sampler_faults(endless, "tpe"))
    one = read(optimizer=["adam", "sgd"], epochs={"low": 1, "high": 5}, batch_size={"low": 8, "high": 8})
    assert ["there are 1" in message for _, message in find_sampler_faults(one, "cmaes")] == [True]
    assert not list(find_sampler_faults(one, "grid"))


def test_a_point_of_the_documented_space_is_a_recipe() -> None:
    space = read(optimizer=["adam", {"name": "sgd", "momentum": 0.9}], epochs={"low": 1, "high": 3})
    for probe in list_probes(space):
        Recipe.model_validate({"network": "lenet", **probe})
