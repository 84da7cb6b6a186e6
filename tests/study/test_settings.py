"""Where images come from and how they are divided, as a study says it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.data.source import DataSource
from bakeoff.errors import StudyError
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study
from bakeoff.study.settings import DataSettings

ARMS = [{"optimizer.learning_rate": [0.1, 0.2]}]


def study(**fields: Any) -> Study:
    return Study(**{"question": "Which?", "recipe": {"network": "mlp"}, "arms": ARMS, "replicates": 1, **fields})


def find_problem(**fields: Any) -> str:
    with pytest.raises(StudyError) as caught:
        study(**fields)
    (problem,) = caught.value.problems
    return f"{problem.field}: {problem.message}"


def test_the_default_is_a_data_set_that_needs_no_download() -> None:
    assert DataSettings() == DataSettings(name="digits")
    assert DataSettings().source == DataSource(name="digits")


@pytest.mark.parametrize(
    "given",
    [
        {"name": "mnist", "validation": 0.1, "folds": None},
        {"folder": "photos", "validation": "own", "folds": None},
        {"manifest": "a.csv", "classes": ["cat", "dog"], "image_size": [28, 32], "colour": "grey", "test": 0.3},
        {"name": "mnist", "subset": 0.1, "folds": 5},
        {"folder": "photos", "group": "p[0-9]+"},
    ],
)
def test_settings_can_be_written_out_and_read_back(given: dict[str, Any]) -> None:
    settings = DataSettings.model_validate(given)
    written = settings.model_dump(mode="json")
    assert given.items() <= written.items()
    assert DataSettings.model_validate(written) == settings
    assert hash(DataSettings.model_validate(written)) == hash(settings)


def test_what_is_not_asked_for_is_not_written_out() -> None:
    # Studies keep their identity when data settings learn to say more.
    assert DataSettings().model_dump(mode="json") == {"name": "digits", "validation": 0.1, "folds": None}


def test_the_source_holds_all_that_chooses_images() -> None:
    settings = DataSettings(folder="photos", classes=("a", "b"), subset=0.5, image_size=(8, 9), colour="rgb", test=0.3)
    expected = DataSource(folder="photos", classes=("a", "b"), subset=0.5, image_size=(8, 9), colour="rgb", test=0.3)
    assert settings.source == expected


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": "mnist", "folder": "x"}, ["name, folder or manifest"]),
        ({"name": "mnits"}, ["'mnits'", "'mnist'?"]),
        ({"validation": "own"}, ["digits", "validation"]),
        ({"name": "mnist", "image_size": 32}, ["resize", "mnist"]),
        ({"folder": "x", "validation": "one"}, ["'one'", "'own'"]),
        ({"folder": "x", "folds": 3, "validation": "own"}, ["folds", "validation"]),
        ({"folder": ""}, ["folder", "empty"]),
    ],
)
def test_what_does_not_go_together_is_said(fields: dict[str, Any], names: list[str]) -> None:
    found = find_problem(data=fields)
    assert found.startswith("data")
    assert [name for name in names if name not in found] == []


def test_settings_alone_raise_as_any_record_does() -> None:
    with pytest.raises(ValidationError, match="name, folder or manifest"):
        DataSettings(name="mnist", manifest="x")


def test_an_axis_may_replace_where_images_come_from() -> None:
    blocks = [{"digits": {"data": {"folder": "photos"}}, "plain": {}}]
    plan = expand(study(data={"name": "mnist", "validation": 0.2}, blocks=blocks))
    assert [block.data.source for block in plan.blocks] == [DataSource(folder="photos"), DataSource(name="mnist")]
    assert {block.data.validation for block in plan.blocks} == {0.2}


def test_one_place_may_not_say_both() -> None:
    blocks = [{"both": {"data": {"name": "mnist", "folder": "photos"}}}]
    assert find_problem(blocks=blocks).startswith("blocks.0.both.data")


def test_a_folder_can_be_an_axis() -> None:
    plan = expand(study(blocks=[{"data.folder": ["one", "two"]}]))
    assert [block.label for block in plan.blocks] == ["one", "two"]
    assert [block.data.source.folder for block in plan.blocks] == ["one", "two"]


def test_two_axes_may_not_both_say_where_images_come_from() -> None:
    blocks = [{"data.name": ["mnist"]}, {"data.folder": ["photos"]}]
    found = find_problem(blocks=blocks)
    assert found.startswith("blocks.1.data.folder: ")
    assert "blocks.0.data.name" in found


def test_a_block_without_axes_is_named_after_its_images() -> None:
    assert [block.label for block in expand(study(data={"folder": "some/photos"})).blocks] == ["photos"]


def test_unknown_classes_are_found_before_anything_is_opened() -> None:
    found = find_problem(data={"name": "fashion-mnist", "classes": ["Bag", "cote"]})
    assert found.startswith("data.classes: ")
    assert [name in found for name in ("fashion-mnist", "'cote'", "'Coat'?")] == [True] * 3


def test_of_a_folder_nothing_is_known_before_it_is_opened() -> None:
    network = {"name": "cnn", "kernel": 1000, "padding": "valid"}
    assert study(data={"folder": "photos"}, recipe={"network": network})
    assert "kernel" in find_problem(data={"name": "mnist"}, recipe={"network": network})


def test_another_subset_is_another_study() -> None:
    ids = {study_id(study(data=data)) for data in ({}, {"subset": 0.5}, {"subset": 0.25}, {"name": "digits"})}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("expect", "decide", "problem"),
    [
        ({"accuracy": 0.9}, {}, "expect.sd: missing"),
        ({"sd": 0}, {}, "expect.sd: given 0"),
        ({"sd": "much"}, {}, "expect.sd: given 'much', allowed a number"),
        ({"sd": 2.0}, {}, "expect.sd: given 2, but accuracy is a share, from 0 to 1: for 2 points write 0.02"),
        ({"sd": "0.5 points"}, {"metric": "loss"}, "expect.sd: points are differences of shares, and loss is none"),
        ({"sd": 0.1, "accuracy": 0.9}, {"metric": "loss"}, "expect.accuracy: says nothing of loss"),
        ({"sd": 0.1, "accuracy": 90}, {}, "expect.accuracy: given 90"),
        ({"sd": 0.1, "accuracy": 0.9, "disagreement": 0.4}, {}, "expect: disagreement 0.4 is too large"),
        ({"sd": 0.1, "var": 1}, {}, "expect.var: unknown field 'var', allowed: sd, accuracy, disagreement"),
    ],
)
def test_what_is_expected_is_checked(expect: dict[str, Any], decide: dict[str, Any], problem: str) -> None:
    assert find_problem(expect=expect, decide=decide).startswith(problem)


def test_what_is_expected_is_no_part_of_the_question() -> None:
    plain, told = study(), study(expect={"sd": "0.5 points", "accuracy": 0.9})
    assert told.expect is not None
    assert told.expect.sd == 0.005
    assert study_id(plain) == study_id(told)
    assert expand(plain).trials == expand(told).trials
    assert "expect" not in plain.model_dump(mode="json")
    assert Study.model_validate(told.model_dump(mode="json")) == told
