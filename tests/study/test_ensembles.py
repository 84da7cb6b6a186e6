"""Ensembles as a study asks for them: what is accepted, what is refused and how, and what makes a study another one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bakeoff.study.ensembles import Ensemble, list_ensemble_arms
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study

Facts = tuple[str, ...]
Answer = Callable[..., list[Facts]]


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": {"name": "mlp", "units": [8]}},
        "arms": [{"small": {"epochs": 1}, "large": {"epochs": 2}, "larger": {"epochs": 3}}],
    }
    return Study(**{**values, **fields})


@pytest.fixture
def answer(refuse: Callable[..., list[Facts]]) -> Answer:
    return partial(refuse, make_study)


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


def test_a_vote_can_be_what_all_are_compared_with(answer: Answer) -> None:
    assert make_study(ensembles={"vote": {}}, decide={"against": "vote"}).decide.against == "vote"
    votes = {"vote": {"over": "replicates"}}
    assert answer(ensembles=votes, decide={"against": "vote"}) == [("decide.against", "vote")]


@pytest.mark.parametrize(
    ("ensemble", "facts"),
    [
        ({"of": "some"}, ("of", "some")),
        ({"of": []}, ("of",)),
        ({"of": [1, "small"]}, ("of.0", "1")),
        ({"of": ["small", "lage"]}, ("of.1", "lage", "large")),
        ({"of": ["small", "small"]}, ("of.1", "small")),
        ({"of": ["small"]}, ("of",)),
        ({"by": "sfot"}, ("by", "sfot", "soft", "logits", "hard", "weighted", "greedy", "soft")),
        ({"over": "folds"}, ("over",)),
        ({"over": "replicates", "by": "greedy"}, ("by",)),
        ({"off": 1}, ("off", "off", "of")),
    ],
)
def test_what_cannot_be_is_refused_once(ensemble: dict[str, Any], facts: Facts, answer: Answer) -> None:
    field, *names = facts
    assert answer(ensembles={"vote": ensemble}) == [(f"ensembles.vote.{field}", *names)]


def test_what_only_the_study_shows_is_refused(answer: Answer) -> None:
    assert answer(ensembles={"": {}}) == [("ensembles.", "0", "1", "100")]
    assert answer(ensembles={"small": {}}) == [("ensembles.small", "small")]
    assert answer(ensembles={"vote": {}}, arms=[{"epochs": [1]}]) == [("ensembles.vote", "1")]
    votes = {"vote": {"over": "replicates"}}
    assert answer(ensembles=votes, replicates=1) == [("ensembles.vote.over", "2")]


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
