"""What differs between studies, and between the arms of one."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.differences import Difference, diff_arms, diff_studies
from bakeoff.study.schema import Study


def make(**changes: Any) -> Study:
    fields: dict[str, Any] = {
        "question": "Which?",
        "name": "s",
        "recipe": {"network": "mlp", "epochs": 5},
        "arms": [{"optimizer": ["adam", {"name": "sgd", "learning_rate": 0.1}]}],
    }
    return Study(**{**fields, **changes})


def show(*studies: Study) -> dict[str, tuple[str, ...]]:
    return {each.setting: each.values for each in diff_studies(studies)}


def test_settings_that_differ_are_listed_with_their_defaults() -> None:
    other = make(
        name="other",
        recipe={"network": "mlp", "epochs": 10, "batch_size": 64},
        data={"name": "mnist"},
        replicates={"at_least": 3, "at_most": 9},
        decide={"margin": 0.01, "method": "paired"},
    )
    assert show(make(), other) == {
        "replicates": ("5", "-"),
        "replicates.at_least": ("-", "3"),
        "replicates.at_most": ("-", "9"),
        "decide.margin": ("null", "0.01"),
        "decide.method": ("moderated", "paired"),
        "data.name": ("digits", "mnist"),
        "recipe.epochs": ("5", "10"),
        "recipe.batch_size": ("32", "64"),
        "blocks not in both": ("digits", "mnist"),
    }


def test_another_way_to_write_the_same_is_no_difference() -> None:
    spelled = make(recipe={"network": {"name": "mlp"}, "epochs": 5, "batch_size": 32}, decide={"method": "moderated"})
    assert show(make(), spelled) == {}


def test_arms_that_only_one_has_and_arms_that_changed() -> None:
    named = make(arms=[{"a": {"optimizer": "adam"}, "b": {"optimizer": "sgd"}}])
    other = make(arms=[{"a": {"optimizer": {"name": "adam", "beta1": 0.8}}, "c": {"optimizer": "sgd"}}])
    assert show(named, other) == {"arms not in both": ("b", "c"), "a: optimizer.beta1": ("0.9", "0.8")}


def test_two_arms_and_where_only_one_block_tells_them_apart() -> None:
    study = make(
        blocks=[{"plain": {}, "big": {"batch_size": 64}}],
        arms=[{"a": {"optimizer.learning_rate": 0.1}, "b": {"optimizer.learning_rate": 0.2}}],
    )
    assert diff_arms(study, ("a", "b"), {}) == (Difference("optimizer.learning_rate", ("0.1", "0.2")),)
    with pytest.raises(StudyError, match=r"no arm 'x'\. Its arms: a, b"):
        diff_arms(study, ("a", "x"), {})


def test_arms_of_a_search_are_known_once_they_are_trained() -> None:
    study = make(arms=[], search={"name": "optuna", "space": {"epochs": [1, 2]}, "trials": 2})
    first = make().combine().combinations[0].recipe
    trained = {("digits", "winner"): first.model_copy(update={"epochs": 2})}
    assert Difference("epochs", ("5", "2")) in diff_arms(study, ("default", "winner"), trained)
