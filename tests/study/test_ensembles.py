"""Ensembles as a study asks for them: what is accepted, what is refused and how, and what makes a study another one."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.ensembles import Ensemble, list_ensemble_arms
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": {"name": "mlp", "units": [8]}},
        "arms": [{"small": {"epochs": 1}, "large": {"epochs": 2}, "larger": {"epochs": 3}}],
    }
    return Study(**{**values, **fields})


def refuse(**fields: Any) -> list[str]:
    with pytest.raises(StudyError) as refused:
        make_study(**fields)
    return str(refused.value).split("\n")


def test_an_ensemble_is_a_soft_vote_of_all_arms_by_default() -> None:
    ensemble = make_study(ensembles={"vote": {}}).ensembles["vote"]
    assert (ensemble.of, ensemble.by, ensemble.over, ensemble.is_arm) == ("all", "soft", "arms", True)
    assert ensemble.members(["a", "b"]) == ("a", "b")
    assert Ensemble(of=("b",)).members(["a", "b"]) == ("b",)


def test_only_votes_over_arms_are_arms() -> None:
    study = make_study(ensembles={"a": {}, "b": {"over": "replicates"}, "c": {"of": ["small", "large"]}})
    assert list_ensemble_arms(study.ensembles) == ("a", "c")


def test_an_ensemble_trains_nothing() -> None:
    assert expand(make_study(ensembles={"vote": {}})).trials == expand(make_study()).trials


def test_a_vote_can_be_what_all_are_compared_with() -> None:
    assert make_study(ensembles={"vote": {}}, decide={"against": "vote"}).decide.against == "vote"
    assert refuse(ensembles={"vote": {"over": "replicates"}}, decide={"against": "vote"}) == [
        "decide.against: no arm 'vote', allowed: small, large, larger."
    ]


@pytest.mark.parametrize(
    ("ensemble", "problem"),
    [
        ({"of": "some"}, "ensembles.vote.of: given 'some', allowed all, or a list of arms such as [a, b]"),
        ({"of": []}, "ensembles.vote.of: an empty list: name the arms that vote, or write all"),
        ({"of": [1, "small"]}, "ensembles.vote.of.0: given 1, allowed text."),
        (
            {"of": ["small", "lage"]},
            "ensembles.vote.of.1: no arm 'lage', allowed: small, large, larger. Did you mean 'large'?",
        ),
        (
            {"of": ["small", "small"]},
            "ensembles.vote.of.1: 'small' is named twice: every arm votes once (weighted and greedy fit weights)",
        ),
        (
            {"of": ["small"]},
            "ensembles.vote.of: one arm cannot vote: name two or more, or vote over replicates or folds",
        ),
        (
            {"by": "sfot"},
            "ensembles.vote.by: given 'sfot', allowed 'soft', 'logits', 'hard', 'weighted' or 'greedy'. "
            "Did you mean 'soft'?",
        ),
        (
            {"over": "folds"},
            "ensembles.vote.over: the study has no folds: set data.folds, or vote over arms or replicates",
        ),
        (
            {"over": "replicates", "by": "greedy"},
            "ensembles.vote.by: a greedy selection needs validation images that all its models share, "
            "but replicates have different ones: vote by soft, logits or hard",
        ),
        ({"off": 1}, "ensembles.vote.off: unknown field 'off', allowed: of, by, over. Did you mean 'of'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(ensemble: dict[str, Any], problem: str) -> None:
    assert refuse(ensembles={"vote": ensemble}) == [problem]


def test_what_only_the_study_shows_is_refused() -> None:
    assert refuse(ensembles={"": {}}) == ["ensembles.: a name of 0 characters, allowed 1 to 100"]
    assert refuse(ensembles={"small": {}}) == [
        "ensembles.small: there is already an arm 'small': give the vote another name"
    ]
    assert refuse(ensembles={"vote": {}}, arms=[{"epochs": [1]}]) == [
        "ensembles.vote: one arm cannot vote: '1' is the only one"
    ]
    assert refuse(ensembles={"vote": {"over": "replicates"}}, replicates=1) == [
        "ensembles.vote.over: there is only one replicate: set replicates to 2 or more"
    ]


@pytest.mark.parametrize("fields", [{"replicates": {"at_least": 3, "at_most": 5}}, {}])
def test_a_race_has_replicates_enough(fields: dict[str, Any]) -> None:
    assert make_study(ensembles={"vote": {"over": "replicates"}}, **fields).ensembles


def test_folds_can_vote_where_there_are_some() -> None:
    assert make_study(ensembles={"vote": {"over": "folds"}}, data={"folds": 3}).ensembles


def test_an_ensemble_makes_another_study_and_none_leaves_it_the_same() -> None:
    assert study_id(make_study(ensembles={})) == study_id(make_study())
    assert study_id(make_study(ensembles={"vote": {}})) != study_id(make_study())
    assert study_id(make_study(ensembles={"vote": {}})) == study_id(make_study(ensembles={"vote": {"by": "soft"}}))


def test_a_study_with_ensembles_can_be_written_out_and_read_back() -> None:
    study = make_study(ensembles={"vote": {"of": ["small", "large"], "by": "hard"}})
    assert Study.model_validate(study.model_dump(mode="json")) == study
