"""Which axes are factors, what they are called, and which arm has which levels."""

from __future__ import annotations

from typing import Any

from bakeoff.study.factors import list_factors
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study


def make_study(arms: list[dict[str, Any]], **fields: Any) -> Study:
    return Study(question="Which?", recipe={"network": {"name": "mlp"}}, arms=arms, **fields)


def test_crossed_axes_are_factors_named_by_the_field_they_change() -> None:
    study = make_study([{"optimizer": ["adam", "sgd"]}, {"optimizer.learning_rate": [0.1, 0.01, 0.001]}])
    design = list_factors(study.arms)
    assert design is not None
    assert [(factor.name, factor.levels) for factor in design.factors] == [
        ("optimizer", ("adam", "sgd")),
        ("optimizer.learning_rate", ("0.1", "0.01", "0.001")),
    ]
    assert tuple(design.cells) == expand(study).arms
    assert design.cells["sgd / 0.01"] == (1, 1)
    assert (design.kind, design.num_cells, design.has_interactions) == ("full", 6, True)


def test_one_axis_with_several_levels_is_no_factorial_design() -> None:
    assert list_factors([{"optimizer": ["adam", "sgd"]}]) is None
    assert list_factors([{"optimizer": ["adam", "sgd"]}, {"epochs": [3]}]) is None
    assert list_factors([]) is None


def test_an_axis_with_one_entry_is_part_of_the_labels_and_no_factor() -> None:
    arms = [{"optimizer": ["adam", "sgd"]}, {"epochs": [3]}, {"batch_size": [32, 64]}]
    design = list_factors(arms)
    assert design is not None
    assert [factor.name for factor in design.factors] == ["optimizer", "batch_size"]
    assert design.cells["sgd / 3 / 64"] == (1, 1)
    assert tuple(design.cells) == expand(make_study(arms)).arms


def test_named_cases_give_an_axis_its_name_by_field_or_by_levels() -> None:
    arms = [
        {"short": {"epochs": 3}, "long": {"epochs": 9}},
        {"_base": {"optimizer": "sgd"}, "plain": {"from": "_base"}, "tuned": {"from": "_base", "batch_size": 16}},
        {"a" * 30: {"schedule": "cosine"}, "b" * 30: {"schedule": "constant", "early_stopping": None}},
    ]
    design = list_factors(arms)
    assert design is not None
    assert [factor.name for factor in design.factors] == ["epochs", "plain or tuned", "axis 3"]


def test_two_axes_of_one_field_are_told_apart() -> None:
    arms = [{"a": {"epochs": 3}, "b": {"epochs": 4}}, {"c": {"epochs": 3}, "d": {"epochs": 4}}]
    design = list_factors(arms)
    assert design is not None
    assert [factor.name for factor in design.factors] == ["epochs (axis 1)", "epochs (axis 2)"]
