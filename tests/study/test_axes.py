from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bakeoff.catalog.networks.named import CNN, MLP, Layers, LeNet
from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, Adam
from bakeoff.catalog.recipe import EarlyStopping, Recipe
from bakeoff.errors import StudyError
from bakeoff.study.axes import FIXED_FIELDS, make_label
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study

Facts = tuple[str, ...]
Answer = Callable[..., list[Facts]]


def _plan(*arms: dict[str, Any], blocks: Any = (), recipe: Any = None) -> Plan:
    recipe = {"network": "mlp"} if recipe is None else recipe
    return expand(Study(question="?", recipe=recipe, blocks=blocks, arms=list(arms), replicates=1))


def _recipes(plan: Plan) -> dict[str, Recipe]:
    return {f"{trial.block}: {trial.arm}": trial.recipe for trial in plan.trials}


@pytest.fixture
def answer(refuse: Callable[..., list[Facts]]) -> Callable[..., list[Facts]]:
    return partial(refuse, _plan)


def test_fixed_fields_are_the_studys() -> None:
    assert set(FIXED_FIELDS) == set(Study.model_fields)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.001, "0.001"),
        (32, "32"),
        (True, "true"),
        (None, "none"),
        ("adam", "adam"),
        ([6, 16], "[6, 16]"),
        ({"name": "adam"}, "adam"),
        ({"name": "sgd", "learning_rate": 0.1, "nesterov": True}, "sgd(learning_rate=0.1, nesterov=true)"),
        ({"monitor": "loss", "patience": 3}, "monitor=loss, patience=3"),
    ],
)
def test_labels(value: object, label: str) -> None:
    assert make_label(value) == label


def test_every_combination_of_axes_is_an_arm() -> None:
    plan = _plan({"optimizer.learning_rate": [0.1, 0.01]}, {"short": {"epochs": 2}, "long": {"epochs": 9}})
    assert plan.arms == ("0.1 / short", "0.1 / long", "0.01 / short", "0.01 / long")
    recipe = _recipes(plan)["digits: 0.01 / long"]
    assert (recipe.optimizer, recipe.epochs) == (Adam(learning_rate=0.01), 9)


def test_blocks_come_first_and_arms_on_top() -> None:
    blocks = [
        {"data.name": ["digits", "mnist"]},
        {"a": {"network": "mlp"}, "b": {"network": {"name": "cnn", "filters": [4]}, "optimizer": "sgd"}},
    ]
    plan = _plan({"plain": None, "fast": {"optimizer": {"learning_rate": 0.5}}}, blocks=blocks, recipe={"epochs": 2})
    assert [block.label for block in plan.blocks] == ["digits / a", "digits / b", "mnist / a", "mnist / b"]
    assert [block.data.name for block in plan.blocks] == ["digits", "digits", "mnist", "mnist"]
    recipes = _recipes(plan)
    assert recipes["mnist / a: fast"] == Recipe(network=MLP(), optimizer=Adam(learning_rate=0.5), epochs=2)
    assert recipes["mnist / b: plain"] == Recipe(network=CNN(filters=(4,)), optimizer=SGD(), epochs=2)
    assert recipes["digits / b: fast"].optimizer == SGD(learning_rate=0.5)


def test_blocks_may_change_the_validation_share() -> None:
    plan = _plan({"a": None}, blocks=[{"small": {"data": {"validation": 0.3}}, "large": {"data.name": "mnist"}}])
    assert [(block.data.name, block.data.validation) for block in plan.blocks] == [("digits", 0.3), ("mnist", 0.1)]


# Merging and replacing.


def test_settings_of_the_same_name_merge() -> None:
    recipe = {
        "network": {"name": "lenet", "kernel": 3, "padding": "same"},
        "optimizer": {"name": "sgd", "momentum": 0.9},
    }
    arms = {"a": {"network": {"filters": [2, 3]}, "optimizer": {"name": "sgd", "learning_rate": 0.5}}}
    (found,) = _recipes(_plan(arms, recipe=recipe)).values()
    assert found.network == LeNet(kernel=3, padding="same", filters=(2, 3))
    assert found.optimizer == SGD(learning_rate=0.5, momentum=0.9)


@pytest.mark.parametrize("change", [{"optimizer": "adam"}, {"optimizer": {"name": "adam"}}, {"optimizer.name": "adam"}])
def test_another_name_replaces(change: dict[str, Any]) -> None:
    recipe = {"network": "mlp", "optimizer": {"name": "sgd", "momentum": 0.9, "learning_rate": 0.5}}
    (found,) = _recipes(_plan({"a": change}, recipe=recipe)).values()
    assert found.optimizer == Adam()


def test_layers_replace_a_named_network() -> None:
    layers = [{"type": "dense", "units": 7}]
    recipe = {"network": {"name": "mlp", "units": [3]}}
    (found,) = _recipes(_plan({"a": {"network": {"layers": layers}}}, recipe=recipe)).values()
    assert found.network == Layers.model_validate({"layers": layers})


def test_a_field_of_one_layer_can_vary(answer: Answer) -> None:
    recipe = {"network": {"layers": [{"type": "dense", "units": 7}, {"type": "dropout", "rate": 0.5}]}}
    plan = _plan({"network.layers.0.units": [3, 4]}, recipe=recipe)
    networks = [trial.recipe.network for trial in plan.trials]
    assert [network.layers[0].units for network in networks] == [3, 4]  # type: ignore[union-attr]
    assert answer({"network.layers.2.units": [3]}, recipe=recipe) == [("arms.0.network.layers.2.units", "2", "0", "1")]


def test_null_takes_early_stopping_away_and_a_mapping_brings_it_back() -> None:
    recipe = {"network": "mlp", "early_stopping": {"patience": 3}}
    plan = _plan(
        {"a": None, "b": {"early_stopping": None}, "c": {"from": "b", "early_stopping.patience": 5}}, recipe=recipe
    )
    stops = [trial.recipe.early_stopping for trial in plan.trials]
    assert stops == [EarlyStopping(patience=3), None, EarlyStopping(patience=5)]


def test_arms_do_not_leak_into_each_other() -> None:
    plan = _plan({"a": {"network.units": [5]}, "b": None}, {"optimizer.beta1": [0.5, 0.6]})
    assert [trial.recipe.network for trial in plan.trials] == [MLP(units=(5,)), MLP(units=(5,)), MLP(), MLP()]


def test_a_changed_layer_does_not_leak_into_the_next_arm() -> None:
    layers = {"network": {"layers": [{"type": "dense", "units": 7}]}}
    plan = _plan({"a": layers}, {"x": {"network.layers.0.units": 3}, "y": None})
    networks = [trial.recipe.network for trial in plan.trials]
    assert [network.layers[0].units for network in networks] == [3, 7]  # type: ignore[union-attr]
    assert plan.study.arms[0] == {"a": layers}


# Cases built on cases.


def test_a_chain_of_cases() -> None:
    arms = {
        "v3": {"from": "v2", "optimizer.momentum": 0.9},
        "v1": {"epochs": 2},
        "v2": {"from": "v1", "optimizer": "sgd"},
    }
    recipes = _recipes(_plan(arms))
    assert recipes["digits: v3"] == Recipe(network=MLP(), epochs=2, optimizer=SGD(momentum=0.9))


def test_a_template_is_no_entry() -> None:
    plan = _plan({"_base": {"epochs": 2}, "a": {"from": "_base"}, "b": {"from": "_base", "batch_size": 8}})
    assert plan.arms == ("a", "b")
    assert {trial.recipe.epochs for trial in plan.trials} == {2}


def test_a_circle_of_cases() -> None:
    arms = {"a": {"from": "b"}, "b": {"from": "c"}, "c": {"from": "b"}, "d": {"from": "d"}}
    with pytest.raises(StudyError) as caught:
        _plan(arms)
    circles = {problem.field: problem.message for problem in caught.value.problems}
    assert list(circles) == ["arms.0.c.from", "arms.0.b.from", "arms.0.d.from"]
    assert circles["arms.0.c.from"].endswith("b from c from b")
    assert circles["arms.0.d.from"].endswith("d from d")


def test_an_unknown_base(answer: Answer) -> None:
    arms = {"first": {}, "second": {"from": "frist"}, "third": {"from": "second"}}
    assert answer(arms) == [("arms.0.second.from", "frist", "first")]


# What axes may not do.


@pytest.mark.parametrize(
    ("axis", "facts"),
    [
        ({}, ("arms.0",)),
        ({"epochs": []}, ("arms.0.epochs",)),
        ({"initializer": "he_normal"}, ("arms.0.initializer", "he_normal", "he_normal")),
        ({"epochs": [1, 2], "batch_size": [3, 4]}, ("arms.0.epochs", "- ")),
        ({"_a": {}}, ("arms.0",)),
        ({"data.name": ["mnist"]}, ("arms.0.data.name",)),
        ({"seed": [1, 2]}, ("arms.0.seed",)),
        ({"a": {"decide": {"metric": "loss"}}}, ("arms.0.a.decide",)),
        ({"recipe.epochs": [1, 2]}, ("arms.0.recipe.epochs", "epochs", "recipe")),
        ({"optimizer.learning_rate": [0.1, 0.1]}, ("arms.0.optimizer.learning_rate.1", "0.1")),
        (
            {"initializer": ["he_normal", {"name": "he_normal", "where": "convolutions"}]},
            ("arms.0.initializer.1", "he_normal", "he_normal(where=convolutions)"),
        ),
        ({"optimizer": [{"name": "sgd", "nesterov": True}]}, ("arms.0.optimizer.0", "0")),
    ],
)
def test_what_an_axis_may_not_do(axis: dict[str, Any], facts: Facts, answer: Answer) -> None:
    assert answer(axis) == [facts]


@pytest.mark.parametrize("axis", [{"data.name": ["mnist"]}, {"data": [{"name": "mnist"}]}])
def test_what_arms_may_not_change_belongs_in_blocks(axis: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="blocks"):
        _plan(axis)


def test_blocks_may_not_change_the_fixed_side_either(answer: Answer) -> None:
    assert answer({"epochs": [1]}, blocks=[{"replicates": [3, 5]}]) == [("blocks.0.replicates",)]


def test_an_arm_may_not_undo_its_block(answer: Answer) -> None:
    blocks = [{"a": {"network": "mlp", "optimizer": {"name": "sgd", "learning_rate": 0.5}}}]
    rates = {"optimizer.learning_rate": [0.1, 0.2]}
    assert answer(rates, blocks=blocks) == [("arms.0.optimizer.learning_rate", "blocks.0.a.optimizer.learning_rate")]
    assert answer({"b": {"optimizer": "adam"}}, blocks=blocks) == [("arms.0.b.optimizer", "blocks.0.a.optimizer.name")]
    assert _plan({"optimizer.momentum": [0.1, 0.2]}, blocks=blocks).arms == ("0.1", "0.2")


def test_two_axes_may_not_change_one_field(answer: Answer) -> None:
    assert answer({"epochs": [1, 2]}, {"a": {"epochs": 3}, "b": None}) == [("arms.1.a.epochs", "arms.0.epochs", "- ")]


def test_alternatives_that_make_one_arm_together_are_refused(answer: Answer) -> None:
    """Each dash is an axis: two with one case each were meant as two arms."""
    (facts,) = answer({"plain": None}, {"flipped": {"epochs": 3}})
    assert facts == ("arms", "- ", "- ")
    assert _plan({"plain": None, "more": {"epochs": 2}}, {"flipped": {"batch_size": 3}}).arms[0] == "plain / flipped"
    assert _plan({"epochs": [2]}, {"flipped": {"batch_size": 3}}).arms == ("2 / flipped",)


def test_an_arm_without_a_network_is_named(answer: Answer) -> None:
    one, two = {"network": "mlp"}, {"epochs": 3}
    assert answer({"a": one, "b": two}, recipe={}) == [("arms.0.b", "b")]
    assert answer({"a": None, "b": two}, recipe={}) == [("recipe.network",)]
    assert answer({"epochs": [1, 2]}, {"a": one, "b": None}, recipe={}) == [("arms.1.b", "b")]


def test_arms_written_as_a_list_of_records_are_told_how(answer: Answer) -> None:
    record = {"name": "small", "network": {"name": "cnn", "filters": [8]}}
    assert answer(record, {"name": "other", "epochs": 3}) == [
        ("arms.0.name", "name", "- small: {network: ...}", "- "),
        ("arms.1.name", "name", "- other: {epochs: ...}", "- "),
    ]
    assert answer({"network": {"name": "cnn", "filters": [8]}}) == [("arms.0.network",)]
    assert _plan({"network": {"network": "cnn"}, "other": None}).arms == ("network", "other")


def test_one_arm_alone_is_allowed() -> None:
    assert _plan({"initializer": ["he_normal"]}).arms == ("he_normal",)


def test_named_cases_may_be_the_same_recipe_which_is_noted() -> None:
    plan = _plan({"a": None, "b": {}, "c": {"optimizer": "adam"}})
    assert plan.arms == ("a", "b", "c")
    first, second, *_ = plan.notes
    assert "'a' and 'b'" in first
    assert "'a' and 'c'" in second


def test_a_wrong_value_hidden_by_all_arms_is_found(answer: Answer) -> None:
    recipe = {"network": "mlp", "optimizer": "adagrd"}
    assert answer({"optimizer": ["sgd", "adam"]}, recipe=recipe) == [("recipe.optimizer", "adagrd", "adagrad")]
    with pytest.raises(StudyError, match=", ".join(OPTIMIZERS.names)):
        _plan({"optimizer": ["sgd", "adam"]}, recipe=recipe)


def test_the_studys_recipe_may_lack_what_arms_bring() -> None:
    recipe = {"optimizer": {"name": "sgd", "nesterov": True}, "early_stopping": {"monitor": "loss"}}
    arms = {"a": {"network": "mlp", "optimizer.momentum": 0.9, "early_stopping.patience": 3}}
    (found,) = _recipes(_plan(arms, recipe=recipe)).values()
    assert found.optimizer == SGD(nesterov=True, momentum=0.9)
    assert found.early_stopping == EarlyStopping(monitor="loss", patience=3)


def test_too_many_combinations(answer: Answer) -> None:
    axes = [{f"optimizer.{name}": [0.001 * n for n in range(1, 101)]} for name in ("beta1", "beta2", "epsilon")]
    assert answer(*axes) == [("arms", "1,000,000", "20,000")]
