"""Every choice of a recipe in a study: how axes vary it, what replaces what, and what identities hold of it."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import StudyError
from bakeoff.study.plan import PlannedTrial, expand, recipe_content, study_id, trial_content, trial_id
from bakeoff.study.schema import Study


def make(*arms: dict[str, Any], **fields: Any) -> tuple[PlannedTrial, ...]:
    recipe = {"network": "mlp", "epochs": 20, **fields.pop("recipe", {})}
    return expand(Study(question="Which?", recipe=recipe, arms=list(arms), replicates=1, **fields)).trials


def find_problems(*arms: dict[str, Any], **fields: Any) -> list[str]:
    with pytest.raises(StudyError) as caught:
        make(*arms, **fields)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        ({"schedule": ["constant", {"name": "cosine"}]}, ["constant", "cosine"]),
        ({"augmentation": [[], ["horizontal_flip"]]}, ["[]", "[horizontal_flip]"]),
        ({"augmentation": [[{"name": "pad", "amount": 2}]]}, ["[pad(amount=2)]"]),
        ({"mix": [None, "mixup", {"name": "cutmix", "alpha": 0.5}]}, ["none", "mixup", "cutmix(alpha=0.5)"]),
        ({"averaging": [None, "ema"]}, ["none", "ema"]),
        ({"clip": [None, {"norm": 1.0}]}, ["none", "norm=1.0"]),
        ({"class_weights": [None, "balanced", {"0": 2.0}]}, ["none", "balanced", "0=2.0"]),
        (
            {"transfer": [None, {"weights": {"trial": "abcd"}, "freeze": "always"}]},
            ["none", "weights={trial=abcd}, freeze=always"],
        ),
        ({"label_smoothing": [0.0, 0.1]}, ["0.0", "0.1"]),
        ({"accumulate": [1, 4]}, ["1", "4"]),
        ({"schedule.warm_up": [0, 1]}, ["0", "1"]),
    ],
)
def test_an_axis_varies_it(axis: dict[str, Any], labels: list[str]) -> None:
    trials = make(axis)
    assert [trial.arm for trial in trials] == labels
    assert len({trial.recipe.model_dump_json() for trial in trials}) == len(labels)


@pytest.mark.parametrize(
    ("field", "before", "change"),
    [
        ("schedule", {"name": "step", "every": 3, "factor": 0.5}, {"schedule": "cosine"}),
        ("schedule", {"name": "step", "every": 3, "factor": 0.5}, {"schedule.name": "cosine"}),
        ("mix", {"name": "mixup", "alpha": 0.7}, {"mix": "cutmix"}),
        ("averaging", {"name": "ema", "decay": 0.9}, {"averaging": {"name": "swa", "from_epoch": 5}}),
        ("clip", {"norm": 1.0}, {"clip": {"value": 0.5}}),
        ("class_weights", {"0": 2.0}, {"class_weights": {"1": 3.0}}),
        ("augmentation", ["horizontal_flip", "vertical_flip"], {"augmentation": ["gaussian_blur"]}),
    ],
)
def test_another_choice_replaces_the_one_before_it_whole(field: str, before: Any, change: dict[str, Any]) -> None:
    (expected,) = make({"a": change})
    (trial,) = make({"a": change}, recipe={field: before})
    assert getattr(trial.recipe, field) == getattr(expected.recipe, field)


def test_the_same_choice_again_is_merged_into() -> None:
    (trial,) = make({"a": {"schedule.factor": 0.5}}, recipe={"schedule": {"name": "step", "every": 3}})
    assert trial.recipe.schedule.model_dump(exclude_unset=True) == {"name": "step", "every": 3, "factor": 0.5}


def test_weights_replace_weights_and_the_rest_of_a_transfer_stays() -> None:
    recipe = {"transfer": {"weights": {"study": "before", "arm": "x"}, "freeze": "always"}}
    (trial,) = make({"a": {"transfer": {"weights": {"file": "w.safetensors"}}}}, recipe=recipe)
    assert trial.recipe.transfer is not None
    assert trial.recipe.transfer.model_dump(exclude_unset=True) == {
        "weights": {"file": "w.safetensors"},
        "freeze": "always",
    }


def test_a_step_of_an_augmentation_can_be_varied_by_its_number() -> None:
    recipe = {"augmentation": [{"name": "pad", "amount": 1}, {"name": "center_crop", "size": 8}]}
    trials = make({"augmentation.0.amount": [1, 2]}, recipe=recipe)
    assert [trial.recipe.augmentation[0].model_dump()["amount"] for trial in trials] == [1, 2]


def test_choices_that_do_not_go_together_name_the_arm_that_meets_them() -> None:
    found = find_problems({"epochs": [3, 20]}, recipe={"averaging": {"name": "swa", "from_epoch": 10}})
    assert len(found) == 1
    assert found[0].startswith("recipe: ")
    assert "'digits'" in found[0]
    assert found[0].endswith("'3')")


def test_one_slip_is_said_once_however_many_arms_it_meets() -> None:
    found = find_problems({"class_weights": [{"ten": 2.0}]}, {"network": ["mlp", "cnn"]}, {"accumulate": [1, 2]})
    assert len(found) == 1
    assert found[0].startswith("arms.0.class_weights.0.ten: ")
    assert "'ten'" in found[0]


def test_fields_of_outside_networks_are_known() -> None:
    (found,) = find_problems({"a": {"network": {"name": "timm:resnet18", "unit": 3}}})
    assert "'unit', " in found
    assert "name, units, activation, dropout" in found
    assert found.endswith("'units'?")


# Identities.


def test_recipes_keep_their_identity_when_they_learn_to_say_more() -> None:
    # Ids that the first release gave: what it trained is never trained again.
    study = Study(
        question="Which?",
        recipe={"network": "lenet"},
        data={"name": "mnist"},
        arms=[{"optimizer": ["sgd", "adam"]}],
        replicates=1,
    )
    assert study_id(study) == "e78c79c6c076599913821e9f421a3623a8e70011ee0c2b7976bba20696f87741"
    ids = [
        trial_id(trial_content(trial, fingerprint="f" * 64, numeric="float32", engine_version="1"))
        for trial in expand(study).trials
    ]
    assert ids == ["b20ebc7512fbdc3a87a6674a", "692dc4a01c70f9dd4e803349"]


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "cosine"},
        {"accumulate": 2},
        {"mix": "mixup"},
        {"averaging": "ema"},
        {"clip": {"norm": 1.0}},
        {"label_smoothing": 0.1},
        {"class_weights": "balanced"},
        {"augmentation": ["horizontal_flip"]},
        {"transfer": {"weights": {"trial": "abcd"}}},
    ],
)
def test_every_choice_is_part_of_the_identity(change: dict[str, Any]) -> None:
    plain = Recipe.model_validate({"network": "mlp"})
    changed = Recipe.model_validate({"network": "mlp", **change})
    assert recipe_content(plain) != recipe_content(changed)
    assert set(recipe_content(changed)) - set(recipe_content(plain)) == set(change)


def test_of_a_weights_file_only_the_content_counts() -> None:
    def content(file: str, sha256: str | None) -> dict[str, Any]:
        weights = {"file": file, "sha256": sha256}
        return recipe_content(Recipe.model_validate({"network": "mlp", "transfer": {"weights": weights}}))

    assert content("a.pt", "a" * 64) == content("b.pt", "a" * 64)
    assert content("a.pt", "a" * 64) != content("a.pt", "b" * 64)
    assert content("a.pt", None) != content("b.pt", None)
