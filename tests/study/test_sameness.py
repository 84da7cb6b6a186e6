"""Arms that come to one training are named before anything trains."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.data.source import DataSource
from bakeoff.driver.facts import ImageFacts
from bakeoff.errors import StudyError
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand
from bakeoff.study.sameness import check_race, describe_same_arms, find_same_arms
from bakeoff.study.schema import Study

DIGITS = {DataSource(name="digits"): ImageFacts(shape_HWC=(8, 8, 1), class_names=tuple("0123456789"), num_images=1_200)}


def plan(**fields: Any) -> Any:
    recipe = {"network": {"name": "mlp", "units": [8]}, **fields.pop("recipe", {})}
    return expand(Study.model_validate({"question": "Which?", "recipe": recipe, "replicates": 3, **fields}))


def test_initializers_that_reach_no_layer_are_named() -> None:
    arms = [{"initializer": ["he_normal", "orthogonal"]}, {"optimizer.learning_rate": [0.1, 0.01]}]
    same = find_same_arms(plan(arms=arms), DIGITS)
    assert [each.arms for each in same] == [
        ("he_normal / 0.1", "orthogonal / 0.1"),
        ("he_normal / 0.01", "orthogonal / 0.01"),
    ]
    assert {each.fields for each in same} == {("initializer",)}
    first, _ = describe_same_arms(plan(arms=arms), DIGITS)
    assert first.startswith("digits: arms 'he_normal / 0.1' and 'orthogonal / 0.1' ")
    assert "initializer.where: everywhere" in first


def test_only_in_the_blocks_where_they_are_the_same() -> None:
    blocks = [{"flat": {"network": "mlp"}, "deep": {"network": {"name": "cnn", "filters": [3]}}}]
    arms = [{"initializer": ["he_normal", "orthogonal"]}]
    assert [each.block for each in find_same_arms(plan(blocks=blocks, arms=arms), DIGITS)] == ["flat"]


def test_one_recipe_under_two_names_is_said_by_the_plan_itself() -> None:
    planned = plan(arms=[{"a": {}, "b": {"batch_size": 32}}])
    (same,) = find_same_arms(planned, DIGITS)
    assert (same.arms, same.fields) == (("a", "b"), ())
    assert describe_same_arms(planned, DIGITS) == ()
    (note,) = planned.notes
    assert "'a' and 'b'" in note


def test_unknown_images_are_left_out() -> None:
    assert find_same_arms(plan(arms=[{"initializer": ["he_normal", "orthogonal"]}]), {}) == ()


def test_arms_that_differ_in_their_draw_on_purpose_are_not_the_same() -> None:
    assert find_same_arms(expand(load_study("aa")), DIGITS) == ()
    assert find_same_arms(expand(load_study("quickstart")), DIGITS) == ()


def test_a_race_between_arms_that_are_all_the_same_training_is_refused() -> None:
    arms = [{"initializer": ["he_normal", "orthogonal"]}]
    with pytest.raises(StudyError, match=r"all 2 arms are the same training.*replicates: 3"):
        check_race(plan(arms=arms, replicates={"at_least": 3, "at_most": 9}), DIGITS)
    check_race(plan(arms=arms), DIGITS)
    deep = {"deep": {"network": {"name": "cnn", "filters": [3]}}}
    check_race(
        plan(arms=arms, blocks=[{"flat": {"network": "mlp"}, **deep}], replicates={"at_least": 3, "at_most": 9}), DIGITS
    )
    check_race(plan(arms=[{"batch_size": [16, 32]}], replicates={"at_least": 3, "at_most": 9}), DIGITS)


def test_draws_of_features_matter_only_under_random_augmentation() -> None:
    transfer = {"weights": {"trial": "abcd"}, "freeze": "always"}
    arms = [{"transfer.feature_draws": [None, 2, 3]}]
    (same,) = find_same_arms(plan(recipe={"transfer": transfer}, arms=arms), DIGITS)
    assert len(same.arms) == 3
    flipped = {"transfer": transfer, "augmentation": ["horizontal_flip"]}
    assert find_same_arms(plan(recipe=flipped, arms=arms), DIGITS) == ()
