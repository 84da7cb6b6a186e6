"""A recipe is told in full, what stands at its default included."""

from __future__ import annotations

from typing import Any

import yaml

from bakeoff.catalog.recipe import Recipe
from bakeoff.report.recipes import write_recipes
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study


def write(trained: Any = None, **fields: Any) -> Any:
    study = Study(question="Which?", **{"recipe": {"network": "mlp"}, "replicates": 1, **fields})
    return yaml.safe_load(write_recipes(expand(study), trained or {}))


def test_defaults_stand_in_full() -> None:
    found = write(arms=[{"epochs": [1, 2]}])
    assert found["arms"] == {"1": {"epochs": 1}, "2": {"epochs": 2}}
    assert found["recipe"].keys() | {"epochs"} == Recipe.model_fields.keys()
    assert (found["recipe"]["optimizer"]["name"], found["recipe"]["optimizer"]["learning_rate"]) == ("adam", 0.001)
    assert (found["recipe"]["schedule"]["name"], found["recipe"]["augmentation"]) == ("constant", [])
    assert found["recipe"]["initializer"]


def test_an_arm_that_differs_between_blocks_is_told_for_each() -> None:
    found = write(arms=[{"slow": {"optimizer.learning_rate": 0.1}, "plain": {}}], blocks=[{"batch_size": [8, 16]}])
    assert {block: fields["batch_size"] for block, fields in found["arms"]["slow"].items()} == {"8": 8, "16": 16}
    assert "batch_size" not in found["recipe"]


def test_what_a_search_found_is_read_from_its_trials() -> None:
    search = {"name": "optuna", "trials": 2, "space": {"epochs": [1, 2]}}
    trained = {("digits", "winner"): {"network": "mlp", "epochs": 2}, ("digits", "gone"): {"network": "no such"}}
    found = write(trained, search=search)
    assert found["arms"]["winner"]["epochs"] == 2
    assert "gone" not in found["arms"]
