from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import StudyError
from bakeoff.study.combine import Combined, combine
from bakeoff.study.plan import PlannedTrial, derive_seed, expand, study_id, trial_content, trial_id, warn
from bakeoff.study.schema import Study


def _study(**fields: Any) -> Study:
    recipe = {"network": "mlp", "epochs": 2}
    return Study(
        **{"question": "?", "recipe": recipe, "arms": [{"initializer": ["he_normal", "orthogonal"]}], **fields}
    )


def _id(planned: PlannedTrial, **changes: Any) -> str:
    settings = {"fingerprint": "f", "numeric": "float32", "engine_version": "1", **changes}
    return trial_id(trial_content(planned, **settings))


def test_trials_are_ordered_by_block_replicate_and_arm() -> None:
    plan = expand(_study(blocks=[{"data.name": ["digits", "mnist"]}], replicates=2))
    order = [(trial.block, trial.replicate, trial.arm) for trial in plan.trials]
    arms = ("he_normal", "orthogonal")
    assert order == [(block, n, arm) for block in ("digits", "mnist") for n in (0, 1) for arm in arms]
    assert [block.label for block in plan.blocks] == ["digits", "mnist"]
    assert plan.arms == arms


def test_a_replicates_seed_is_the_same_for_all_arms_and_blocks_and_no_other_replicates() -> None:
    plan = expand(_study(blocks=[{"data.name": ["digits", "mnist"]}], replicates=9))
    seeds = {(trial.replicate, trial.seed) for trial in plan.trials}
    assert len(seeds) == 9
    assert len({seed for _, seed in seeds}) == 9
    assert {trial.seed for trial in expand(_study(seed=1)).trials}.isdisjoint(seed for _, seed in seeds)


def test_seeds_stay_what_they_were() -> None:
    assert derive_seed(0, 0) == int(hashlib.sha256(b"replicate 0 of seed 0").hexdigest()[:12], 16)
    assert len({derive_seed(seed, replicate) for seed in range(30) for replicate in range(30)}) == 900


def test_more_replicates_only_add_trials() -> None:
    few = {_id(trial) for trial in expand(_study(replicates=3)).trials}
    assert few < {_id(trial) for trial in expand(_study(replicates=4)).trials}


def test_the_content_of_a_trial_is_all_that_determines_its_result() -> None:
    planned = expand(_study()).trials[0]
    content = trial_content(planned, fingerprint="f", numeric="float32", engine_version="1")
    assert content == {
        "recipe": {
            "network": {"name": "mlp", "units": [256, 128], "activation": "relu", "dropout": 0.0},
            "initializer": {"name": "he_normal", "where": "convolutions", "draw": 0},
            "optimizer": {
                "name": "adam",
                "learning_rate": 0.001,
                "beta1": 0.9,
                "beta2": 0.999,
                "epsilon": 1e-8,
                "weight_decay": 0.0,
            },
            "batch_size": 32,
            "epochs": 2,
            "early_stopping": None,
        },
        "data": {"fingerprint": "f", "validation": 0.1},
        "seed": derive_seed(0, 0),
        "fold": None,
        "numeric": "float32",
        "engine": "1",
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert trial_id(content) == hashlib.sha256(canonical.encode()).hexdigest()[:24]


@pytest.mark.parametrize("changes", [{"fingerprint": "g"}, {"numeric": "bfloat16"}, {"engine_version": "2"}])
def test_the_id_changes_with_what_determines_the_result(changes: dict[str, Any]) -> None:
    planned = expand(_study()).trials[0]
    assert _id(planned, **changes) != _id(planned)


def test_ids_do_not_depend_on_labels_or_the_way_a_study_is_written() -> None:
    first = {_id(trial) for trial in expand(_study()).trials}
    cases = {"a": {"initializer": {"name": "he_normal"}}, "b": {"initializer.name": "orthogonal"}}
    other = _study(arms=[cases], recipe={"network": {"name": "mlp"}, "epochs": 2, "optimizer.name": "adam"})
    assert {_id(trial) for trial in expand(other).trials} == first
    assert len(first) == 10


def test_a_study_is_the_same_whatever_its_name() -> None:
    same = _study(name="other", published={"source": "x"}, data={"name": "digits"})
    assert study_id(same) == study_id(_study())
    assert study_id(_study(recipe={"network": {"name": "mlp"}, "epochs": 2, "batch_size": 32})) == study_id(_study())
    assert len(study_id(same)) == 64


@pytest.mark.parametrize(
    "fields",
    [
        {"question": "!"},
        {"replicates": 4},
        {"seed": 1},
        {"numeric": "float32"},
        {"decide": {"margin": 0.1}},
        {"data": {"validation": 0.2}},
        {"recipe": {"network": "mlp", "epochs": 3}},
        {"arms": [{"initializer": ["he_normal"]}]},
        {"blocks": [{"data.name": ["mnist"]}]},
    ],
)
def test_a_study_is_another_when_its_question_changes(fields: dict[str, Any]) -> None:
    assert study_id(_study(**fields)) != study_id(_study())


PRETRAINED = {"name": "normalize", "mean": "pretrained", "sd": "pretrained"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [PRETRAINED]),
        (["horizontal_flip"], ["horizontal_flip", PRETRAINED]),
        ([{"name": "normalize", "mean": "imagenet"}], [{"name": "normalize", "mean": "imagenet"}]),
        ([{"name": "normalize", "mean": 0, "sd": 1}], [{"name": "normalize", "mean": 0, "sd": 1}]),
    ],
)
def test_published_weights_get_the_images_they_know(given: list[Any], expected: list[Any]) -> None:
    fields = {"network": "torchvision:resnet18", "augmentation": given}
    study = Study(
        question="Does it matter?", arms=[{"a": {**fields, "transfer": {"weights": "imagenet"}}, "b": fields}]
    )
    first, second, *_ = expand(study).trials
    wanted = Recipe.model_validate({"network": "mlp", "augmentation": [s for s in expected if s != PRETRAINED]})
    assert [step.model_dump() for step in first.recipe.augmentation[: len(wanted.augmentation)]] == [
        step.model_dump() for step in wanted.augmentation
    ]
    assert (first.recipe.augmentation[-1].model_dump() == PRETRAINED) == (PRETRAINED in expected)
    assert second.recipe.augmentation == wanted.augmentation  # no published weights: nothing is added
    assert Recipe.model_validate(first.recipe.model_dump(mode="json")) == first.recipe


def test_a_network_that_nobody_published_has_no_pretrained_statistics() -> None:
    with pytest.raises(StudyError, match="pretrained is what a torchvision:NAME or timm:NAME network was trained with"):
        Study(question="?", recipe={"network": "lenet", "augmentation": [PRETRAINED]}, arms=[{"epochs": [1, 2]}])


def test_three_numbers_on_grey_images_need_a_body_for_colour() -> None:
    step = {"name": "normalize", "mean": [0.4, 0.5, 0.6], "sd": [0.2, 0.2, 0.2]}
    recipe = {"network": "lenet", "augmentation": [step]}
    with pytest.raises(StudyError, match="has 3 numbers, but the images have one channel"):
        Study(question="?", data={"name": "mnist"}, recipe=recipe, arms=[{"epochs": [1, 2]}])
    Study(question="?", data={"name": "mnist"}, recipe={**recipe, "network": "timm:x"}, arms=[{"epochs": [1, 2]}])


@pytest.mark.parametrize(
    ("fields", "is_warned"),
    [
        ({"replicates": 2}, True),
        ({"replicates": 3}, False),
        ({"replicates": {"at_least": 3, "at_most": 9}}, False),
        ({"replicates": 1, "data": {"folds": 5}}, False),
        ({"replicates": 2, "quick_of": "study"}, False),
    ],
)
def test_replicates_too_few_for_a_verdict_are_noted(fields: dict[str, Any], is_warned: bool) -> None:
    assert any("replicates" in note for note in warn(_study(**fields))) is is_warned


def test_blocks_and_arms_are_combined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def count(**given: Any) -> Combined:
        calls.append(given)
        return combine(**given)

    monkeypatch.setattr("bakeoff.study.schema.combine", count)
    study = _study(data={"name": "digits", "classes": [0, 1]}, blocks=[{"batch_size": [32, 64]}])
    expand(study)
    study_id(study)
    assert len(calls) == 1


def test_a_changed_copy_of_a_study_is_combined_anew() -> None:
    study = _study()
    changed = study.model_copy(update={"arms": ({"initializer": ["orthogonal", "he_normal"]},)})
    assert expand(changed).arms == ("orthogonal", "he_normal")
    assert expand(study).arms == ("he_normal", "orthogonal")


def test_what_a_study_remembers_is_no_part_of_it() -> None:
    study = _study()
    changed = study.model_copy(update={"arms": ({"initializer": ["orthogonal", "he_normal"]},)})
    expand(changed)
    assert changed.model_copy(update={"arms": study.arms}) == study


def test_long_names_of_arms_are_noted() -> None:
    long = {"name": "cnn", "filters": [8, 16], "units": [32]}
    assert any("long name" in note for note in warn(_study(arms=[{"network": ["mlp", long]}])))
    named = [{"small": {"network": "mlp"}, "a very long name that somebody chose": {"network": long}}]
    assert not any("long name" in note for note in warn(_study(arms=named)))
