from __future__ import annotations

from typing import Any

import pytest

from bakeoff.catalog.networks.named import CNN, MLP, Layers, LeNet
from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, Adam
from bakeoff.catalog.recipe import EarlyStopping, Recipe
from bakeoff.errors import StudyError
from bakeoff.study.axes import FIXED_FIELDS, make_label
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study


def _plan(*arms: dict[str, Any], blocks: Any = (), recipe: Any = None) -> Plan:
    recipe = {"network": "mlp"} if recipe is None else recipe
    return expand(Study(question="?", recipe=recipe, blocks=blocks, arms=list(arms), replicates=1))


def _recipes(plan: Plan) -> dict[str, Recipe]:
    return {f"{trial.block}: {trial.arm}": trial.recipe for trial in plan.trials}


def _answer(*arms: dict[str, Any], blocks: Any = (), recipe: Any = None) -> list[str]:
    with pytest.raises(StudyError) as caught:
        _plan(*arms, blocks=blocks, recipe=recipe)
    return str(caught.value).splitlines()


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


def test_a_field_of_one_layer_can_vary() -> None:
    recipe = {"network": {"layers": [{"type": "dense", "units": 7}, {"type": "dropout", "rate": 0.5}]}}
    plan = _plan({"network.layers.0.units": [3, 4]}, recipe=recipe)
    networks = [trial.recipe.network for trial in plan.trials]
    assert [network.layers[0].units for network in networks] == [3, 4]  # type: ignore[union-attr]
    assert _answer({"network.layers.2.units": [3]}, recipe=recipe) == [
        "arms.0.network.layers.2.units: no '2' in network.layers, allowed 0 to 1"
    ]


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
    assert _answer({"a": {"from": "b"}, "b": {"from": "c"}, "c": {"from": "b"}, "d": {"from": "d"}}) == [
        "arms.0.c.from: circular: b from c from b",
        "arms.0.b.from: circular: c from b from c",
        "arms.0.d.from: circular: d from d",
    ]


def test_an_unknown_base() -> None:
    assert _answer({"first": {}, "second": {"from": "frist"}, "third": {"from": "second"}}) == [
        "arms.0.second.from: no case 'frist' in this axis, allowed: first, third. Did you mean 'first'?"
    ]


# What axes may not do.


@pytest.mark.parametrize(
    ("axis", "answer"),
    [
        ({}, "arms.0: an empty axis: give it a field with a list of values, or named cases"),
        ({"epochs": []}, "arms.0.epochs: an empty list: name at least one value"),
        (
            {"initializer": "he_normal"},
            "arms.0.initializer: given 'he_normal', allowed a list of values (['he_normal']), or a mapping of changes "
            "for a case of this name",
        ),
        (
            {"epochs": [1, 2], "batch_size": [3, 4]},
            "arms.0.epochs: an axis lists values for one field only: start another axis with '- '",
        ),
        ({"_a": {}}, "arms.0: only templates (names that begin with _): name at least one case"),
        (
            {"data.name": ["mnist"]},
            "arms.0.data.name: data is the same for all arms; arms may change the recipe only. Vary it in blocks.",
        ),
        ({"seed": [1, 2]}, "arms.0.seed: seed is the same for all arms; arms may change the recipe only."),
        (
            {"a": {"decide": {"metric": "loss"}}},
            "arms.0.a.decide: decide is the same for all arms; arms may change the recipe only.",
        ),
        (
            {"recipe.epochs": [1, 2]},
            "arms.0.recipe.epochs: write 'epochs': leave out 'recipe' before fields of the recipe",
        ),
        ({"optimizer.learning_rate": [0.1, 0.1]}, "arms.0.optimizer.learning_rate.1: a second arm labelled '0.1'"),
        (
            {"initializer": ["he_normal", {"name": "he_normal", "where": "convolutions"}]},
            "arms.0.initializer.1: arms 'he_normal' and 'he_normal(where=convolutions)' are the same recipe: "
            "leave one out",
        ),
        (
            {"optimizer": [{"name": "sgd", "nesterov": True}]},
            "arms.0.optimizer.0: nesterov needs a momentum above 0",
        ),
    ],
)
def test_what_an_axis_may_not_do(axis: dict[str, Any], answer: str) -> None:
    (line,) = _answer(axis)
    assert line.startswith(answer)


def test_blocks_may_not_change_the_fixed_side_either() -> None:
    assert _answer({"epochs": [1]}, blocks=[{"replicates": [3, 5]}]) == [
        "blocks.0.replicates: replicates is the same for all arms; blocks may change the recipe, data and search only."
    ]


def test_an_arm_may_not_undo_its_block() -> None:
    blocks = [{"a": {"network": "mlp", "optimizer": {"name": "sgd", "learning_rate": 0.5}}}]
    assert _answer({"optimizer.learning_rate": [0.1, 0.2]}, blocks=blocks) == [
        "arms.0.optimizer.learning_rate: changes optimizer.learning_rate, which blocks.0.a.optimizer.learning_rate "
        "changes too: an arm must not change what its block sets"
    ]
    assert _answer({"b": {"optimizer": "adam"}}, blocks=blocks) == [
        "arms.0.b.optimizer: changes optimizer.name, which blocks.0.a.optimizer.name changes too: "
        "an arm must not change what its block sets"
    ]
    assert _plan({"optimizer.momentum": [0.1, 0.2]}, blocks=blocks).arms == ("0.1", "0.2")


def test_two_axes_may_not_change_one_field() -> None:
    assert _answer({"epochs": [1, 2]}, {"a": {"epochs": 3}, "b": None}) == [
        "arms.1.a.epochs: changes epochs, which arms.0.epochs changes too: two axes must not change the same field"
    ]


def test_one_arm_alone_is_allowed() -> None:
    assert _plan({"initializer": ["he_normal"]}).arms == ("he_normal",)


def test_named_cases_may_be_the_same_recipe_which_is_noted() -> None:
    plan = _plan({"a": None, "b": {}, "c": {"optimizer": "adam"}})
    assert plan.arms == ("a", "b", "c")
    assert plan.notes == ("arms 'a' and 'b' are the same recipe.", "arms 'a' and 'c' are the same recipe.")


def test_a_wrong_value_hidden_by_all_arms_is_found() -> None:
    recipe = {"network": "mlp", "optimizer": "agadrad"}
    assert _answer({"optimizer": ["sgd", "adam"]}, recipe=recipe) == [
        "recipe.optimizer: unknown optimizer 'agadrad'. "
        f"Allowed: {', '.join(OPTIMIZERS.names)}. Did you mean 'adagrad'?"
    ]


def test_the_studys_recipe_may_lack_what_arms_bring() -> None:
    recipe = {"optimizer": {"name": "sgd", "nesterov": True}, "early_stopping": {"monitor": "loss"}}
    arms = {"a": {"network": "mlp", "optimizer.momentum": 0.9, "early_stopping.patience": 3}}
    (found,) = _recipes(_plan(arms, recipe=recipe)).values()
    assert found.optimizer == SGD(nesterov=True, momentum=0.9)
    assert found.early_stopping == EarlyStopping(monitor="loss", patience=3)


def test_too_many_combinations() -> None:
    axes = [{f"optimizer.{name}": [0.001 * n for n in range(1, 101)]} for name in ("beta1", "beta2", "epsilon")]
    assert _answer(*axes) == ["arms: 1,000,000 combinations of blocks and arms, allowed 20,000"]
