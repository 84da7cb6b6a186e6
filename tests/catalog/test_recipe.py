from __future__ import annotations

import pytest
from pydantic import ValidationError

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.named import MLP
from bakeoff.catalog.optimizers import SGD, Adam
from bakeoff.catalog.recipe import EarlyStopping, Recipe


def test_bare_names_stand_for_choices() -> None:
    recipe = Recipe.model_validate({"network": "mlp", "initializer": "he_normal", "optimizer": "sgd"})
    assert recipe.network == MLP()
    assert recipe.initializer == InitializerChoice(name="he_normal")
    assert recipe.optimizer == SGD()


def test_defaults_are_spelled_out() -> None:
    recipe = Recipe(network=MLP())
    assert recipe.optimizer == Adam()
    assert recipe.initializer == InitializerChoice(name="glorot_uniform", where="convolutions")
    assert (recipe.batch_size, recipe.epochs, recipe.early_stopping) == (32, 10, None)


def test_a_recipe_survives_being_written_and_read() -> None:
    recipe = Recipe(network=MLP(units=(7,)), optimizer=SGD(momentum=0.5), early_stopping=EarlyStopping(patience=3))
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0},
        {"batch_size": "32"},
        {"epochs": True},
        {"epochs": 2.0},
        {"early_stopping": {}},
        {"early_stopping": {"patience": 0}},
        {"early_stopping": {"patience": 1, "monitor": "train_loss"}},
        {"early_stopping": {"patience": 1, "min_delta": -0.1}},
        {"accumulate": 0},
        {"label_smoothing": 1.0},
        {"class_weights": {}},
        {"clip": {}},
        {"schedule": {"name": "constant", "warm_up": 10.0}},
        {"averaging": {"name": "swa", "from_epoch": 11}},
        {"transfer": {"freeze": "always"}},
        {"weight": 1},
    ],
)
def test_wrong_fields_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"network": "mlp", **change})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Recipe(network=MLP()).epochs = 3


def test_only_cross_entropy_is_smoothed() -> None:
    with pytest.raises(ValidationError, match=r"label_smoothing .*cross_entropy.* focal"):
        Recipe.model_validate({"network": "mlp", "loss": "focal", "label_smoothing": 0.1})


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"transfer": {"weights": {"trial": "abcd"}, "freeze": 3, "feature_draws": 2}}, "freeze: always"),
        ({"transfer": {"weights": {"trial": "abcd"}, "freeze": "always", "feature_draws": 2}, "mix": "mixup"}, "mixup"),
        ({"transfer": {"weights": {"trial": "abcd"}, "freeze": "always", "feature_draws": 0}}, "greater than or equal"),
    ],
)
def test_draws_are_kept_only_of_what_does_not_change(change: dict[str, object], culprit: str) -> None:
    with pytest.raises(ValidationError, match=culprit):
        Recipe.model_validate({"network": "mlp", **change})
