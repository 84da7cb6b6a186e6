"""Groups of arms in a study file."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.plan import study_id
from bakeoff.study.schema import Study


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": {"name": "mlp"}},
        "arms": [{"optimizer": ["adam", "sgd", "adamw"]}],
    }
    return Study(**{**values, **fields})


def test_groups_are_held_as_given_and_known_by_the_study() -> None:
    study = make_study(groups={"adaptive": ["adam", "adamw"], "plain": ["sgd"]})
    assert study.groups == {"adaptive": ("adam", "adamw"), "plain": ("sgd",)}
    assert Study.model_validate(study.model_dump(mode="json")) == study
    assert study_id(study) != study_id(make_study())
    assert "groups" not in make_study().model_dump(mode="json")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": ["adm"], "b": ["sgd"]}, r"groups.a: no arm 'adm', allowed: adam, sgd, adamw. Did you mean 'adam'\?"),
        ({"a": ["adam"], "b": ["adam"]}, "groups.b: 'adam' is in 'a' already: name it once"),
        ({"a": ["adam", "sgd"]}, "groups: one group has nothing to be compared with"),
        ({"a": ["adam"], "b": []}, "groups.b: an empty group"),
        ({"a": ["adam"], "b ": ["sgd"]}, "invisible blanks"),
        ({"a": "adam", "b": ["sgd"]}, "groups.a"),
        (["adam"], "groups"),
    ],
)
def test_what_is_wrong_with_groups_is_one_clear_line(groups: object, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        make_study(groups=groups)
    assert len(caught.value.problems) == 1


def test_an_ensemble_can_be_in_a_group() -> None:
    vote = {"vote": {"by": "soft", "of": ["adam", "sgd"]}}
    study = make_study(ensembles=vote, groups={"votes": ["vote"], "single": ["adam", "sgd"]})
    assert study.groups["votes"] == ("vote",)
