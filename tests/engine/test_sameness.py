"""Recipes that come to the same training, with the engine as the judge: told the same only where the results are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.sameness import resolve

MLP: dict[str, Any] = {"network": {"name": "mlp", "units": [5]}, "epochs": 3, "batch_size": 50}
CNN: dict[str, Any] = {"network": {"name": "cnn", "filters": [3], "units": [4]}, "epochs": 2, "batch_size": 80}

NORMED: dict[str, Any] = {"layers": [{"type": "dense", "units": 5}, {"type": "batch_norm", "activation": "relu"}]}

SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "initializer without convolutions": ({"initializer": "he_normal"}, {"initializer": "orthogonal"}),
    "initializer where it is the default": (
        {"initializer": {"name": "glorot_uniform", "where": "everywhere"}},
        {"initializer": "dirac"},
    ),
    "the same layers spelled out": (
        {},
        {"network": {"layers": [{"type": "dense", "units": 5, "activation": "relu"}]}},
    ),
    "norms of a body without any": ({"transfer": {"freeze": 2}}, {"transfer": {"freeze": 2, "freeze_norm": True}}),
    "no decay of anything": (
        {"optimizer": {"name": "sgd"}},
        {"optimizer": {"name": "sgd", "decay_norms_and_biases": False}},
    ),
    "a transfer of nothing": ({}, {"transfer": {}}),
    "a rate of a body that never thaws": (
        {"transfer": {"freeze": 3, "body_rate": 0.5}},
        {"transfer": {"freeze": 7, "body_rate": 0.1, "freeze_norm": True}},
    ),
    "adamw without decay": ({"optimizer": {"name": "adamw", "weight_decay": 0.0}}, {"optimizer": "adam"}),
    "a step after the end": ({"schedule": {"name": "step", "every": 3}}, {}),
    "a step where it is by default": (
        {"schedule": {"name": "step", "every": 1}},
        {"schedule": "step"},
    ),
    "a plateau that cannot end": ({"schedule": {"name": "plateau", "patience": 2}}, {}),
    "patience beyond the end": (
        {"early_stopping": {"patience": 3}},
        {"early_stopping": {"patience": 30}},
    ),
    "batches of all images": ({"batch_size": 160}, {"batch_size": 1_000}),
    "a step that never happens": ({"augmentation": [{"name": "horizontal_flip", "probability": 0.0}]}, {}),
    "classes that count 1": ({"class_weights": {"a": 2.0, "b": 1.0}}, {"class_weights": {"a": 2.0}}),
    "a pool's own stride": (
        {"network": {"layers": [{"type": "pool", "size": 2}]}},
        {"network": {"layers": [{"type": "pool", "size": 2, "stride": 2}]}},
    ),
}

DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "initializer of dense layers": (
        {"initializer": {"name": "he_normal", "where": "everywhere"}},
        {"initializer": {"name": "orthogonal", "where": "everywhere"}},
    ),
    "another draw": ({"initializer.draw": 0}, {"initializer.draw": 1}),
    "a step before the end": ({"schedule": {"name": "step", "every": 2}}, {}),
    "norms of a body that thaws": (
        {"network": NORMED, "transfer": {"freeze": 2}},
        {"network": NORMED, "transfer": {"freeze": 2, "freeze_norm": True}},
    ),
    "decay of biases": (
        {"optimizer": {"name": "adamw", "weight_decay": 0.5}},
        {"optimizer": {"name": "adamw", "weight_decay": 0.5, "decay_norms_and_biases": False}},
    ),
    "a body that thaws": ({"transfer": {"freeze": 2, "body_rate": 0.5}}, {"transfer": {"freeze": 2, "body_rate": 0.1}}),
    "dropout of nothing moves the layers behind it": (
        {"network": {"layers": [{"type": "dropout", "rate": 0.0}, {"type": "dense", "units": 5}]}},
        {"network": {"layers": [{"type": "dense", "units": 5}]}},
    ),
    "early stopping keeps the best epoch": ({"early_stopping": {"patience": 30}, "optimizer.learning_rate": 0.5}, {}),
}


def make(base: dict[str, Any], changes: dict[str, Any]) -> Recipe:
    fields = {key: value for key, value in changes.items() if "." not in key}
    for key, value in changes.items():
        if "." in key:
            outer, _, inner = key.partition(".")
            fields[outer] = {inner: value} if outer != "initializer" else {"name": "he_normal", inner: value}
    return Recipe.model_validate({**base, **fields})


def format_value(recipe: Recipe) -> str:
    return resolve(recipe, (9, 8, 2), 4, 160)


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_what_changes_nothing_is_the_same_training(
    train: Callable[..., Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    recipes = [make(MLP, changes) for changes in (first, second)]
    assert recipes[0] != recipes[1]
    assert format_value(recipes[0]) == format_value(recipes[1])
    reported = [train({"t": recipe}, folder=str(number)) for number, recipe in enumerate(recipes)]
    assert reported[0] == reported[1]


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_changes_something_is_not(
    train: Callable[..., Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    recipes = [make(MLP, changes) for changes in (first, second)]
    assert format_value(recipes[0]) != format_value(recipes[1])
    reported = [train({"t": recipe}, folder=str(number)) for number, recipe in enumerate(recipes)]
    assert reported[0] != reported[1]


def test_convolutions_take_the_initializer() -> None:
    assert format_value(make(CNN, {"initializer": "he_normal"})) != format_value(
        make(CNN, {"initializer": "orthogonal"})
    )


@pytest.mark.parametrize("weights", [{"trial": "abcd"}, {"file": "a.pt"}])
def test_what_is_carried_over_is_not_drawn(weights: dict[str, str]) -> None:
    """The body's first weights are the trial's, whatever the initializer; the head is dense."""
    for body in ("all_but_last", "convolutions"):
        recipes = [
            make(CNN, {"initializer": name, "transfer": {"weights": weights, "body": body}})
            for name in ("he_normal", "orthogonal")
        ]
        assert format_value(recipes[0]) == format_value(recipes[1])
    thawing = [make(CNN, {"transfer": {"weights": weights, "body": body}}) for body in ("all_but_last", "convolutions")]
    assert format_value(thawing[0]) != format_value(thawing[1])
    other = make(CNN, {"transfer": {"weights": {"trial": "abce"}}})
    assert format_value(thawing[0]) != format_value(other)


def test_of_an_outside_network_the_initializer_reaches_the_head_alone() -> None:
    base = {"network": {"name": "torchvision:resnet18"}}
    drawn = {"name": "he_normal", "where": "everywhere"}
    assert format_value(make(base, {"initializer": "he_normal"})) == format_value(make(base, {"initializer": "dirac"}))
    assert format_value(make(base, {"initializer": drawn})) != format_value(make(base, {}))
    assert format_value(make(base, {})) != format_value(make({"network": {"name": "torchvision:resnet50"}}, {}))
