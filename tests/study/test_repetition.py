"""Replicates, races, folds and the declared family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bakeoff.data.splits import split_nested
from bakeoff.errors import StudyError
from bakeoff.study.plan import expand, study_id, trial_content
from bakeoff.study.schema import Study
from bakeoff.study.settings import Race


def make(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": "mlp"},
        "arms": [{"initializer": ["he_normal", "glorot_normal"]}],
        **fields,
    }
    return Study(**values)


def refuse(**fields: Any) -> str:
    with pytest.raises(StudyError) as caught:
        make(**fields)
    return str(caught.value)


def test_a_race_plans_as_many_replicates_as_it_may_need() -> None:
    study = make(replicates={"at_least": 3, "at_most": 7})
    assert study.replicates == Race(at_least=3, at_most=7)
    assert len(expand(study).trials) == 2 * 7


@pytest.mark.parametrize(
    ("replicates", "message"),
    [
        ({"at_least": 5, "at_most": 4}, "at_most is smaller than at_least"),
        ({"at_least": 2, "at_most": 4}, "replicates.at_least: given 2, allowed 3 or more"),
        ({"at_most": 4, "at_leest": 3}, "Did you mean 'at_least'?"),
        ("many", "replicates: given 'many'"),
        (0, "replicates: given 0, allowed 1 or more"),
        (True, "replicates: given true"),
    ],
)
def test_wrong_replicates_are_named(replicates: Any, message: str) -> None:
    assert message in refuse(replicates=replicates)


def test_folds_multiply_trials_and_are_part_of_their_identity() -> None:
    plan = expand(make(data={"folds": 4}, replicates=2))
    assert [trial.fold for trial in plan.trials[:8:2]] == [0, 1, 2, 3]
    assert len(plan.trials) == 2 * 2 * 4
    contents = [
        str(trial_content(trial, fingerprint="f", numeric="float32", engine_version="1")) for trial in plan.trials
    ]
    assert len(set(contents)) == len(contents)
    assert plan.trials[0].data.split == (0.1, 4)


def test_the_inner_validation_split_is_part_of_a_fold_s_identity() -> None:
    def identify(**data: Any) -> dict[str, Any]:
        trial = expand(make(data=data)).trials[0]
        content: dict[str, Any] = trial_content(trial, fingerprint="f", numeric="float32", engine_version="1")["data"]
        return content

    # Without `validation`, as written before folds were nested, the ids of old trials stay other ones.
    assert identify(folds=4) == {"fingerprint": "f", "folds": 4, "validation": 0.1}
    assert identify(folds=4, validation=0.2)["validation"] == 0.2
    assert identify() == {"fingerprint": "f", "validation": 0.1}


def test_the_default_split_of_folds_leaves_a_study_the_same_one() -> None:
    assert study_id(make(data={"folds": 4, "validation": 0.1})) == study_id(make(data={"folds": 4}))
    assert make(data={"folds": 4}).data.model_dump(mode="json") == {"name": "digits", "folds": 4}
    assert study_id(make(data={"folds": 4, "validation": 0.2})) != study_id(make(data={"folds": 4}))


@pytest.mark.parametrize(("folds", "validation"), [(5, 0.1), (3, 0.25), (10, 0.5)])
def test_the_test_share_is_of_the_images_trained_on(folds: int, validation: float) -> None:
    labels = np.repeat(np.arange(4), 300)
    train, _, held_out = split_nested(labels, folds, 0, validation, seed=1)
    found = make(data={"folds": folds, "validation": validation}).data.test_share
    assert found == pytest.approx(len(held_out) / len(train))
    assert make().data.test_share is None


@pytest.mark.parametrize("fields", [{"data": {"folds": 4}}, {"replicates": {"at_least": 3, "at_most": 9}}, {}])
def test_what_a_study_writes_out_can_be_read_back(fields: dict[str, Any]) -> None:
    study = make(**fields)
    again = Study.model_validate(study.model_dump(mode="json"))
    assert again == study
    assert study_id(again) == study_id(study)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": {"folder": "x", "folds": 5, "validation": "own"}}, "with folds, validation must be a fraction"),
        ({"data": {"folds": 1}}, "data.folds: given 1, allowed 2 or more"),
        ({"data": {"folds": 3}, "replicates": {"at_most": 5}}, "a race cannot use folds"),
        ({"blocks": [{"data.folds": [3, 4]}]}, "data.folds differs between blocks"),
    ],
)
def test_wrong_folds_are_named(fields: dict[str, Any], message: str) -> None:
    assert message in refuse(**fields)


def test_the_baseline_must_be_an_arm() -> None:
    assert make(decide={"against": "he_normal"}).decide.against == "he_normal"
    assert "no arm 'he_norml', allowed: he_normal, glorot_normal. Did you mean 'he_normal'?" in refuse(
        decide={"against": "he_norml"}
    )
