"""A search in a study: what it plans, what makes it another study, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.candidates import UnfitCandidateError, make_recipe, name_recipe
from bakeoff.study.plan import derive_search_seed, derive_seed, expand, study_id
from bakeoff.study.schema import Study
from bakeoff.study.search import OptunaSearch

SPACE = {"optimizer.learning_rate": {"low": 0.001, "high": 0.1}}
OPTUNA = {"name": "optuna", "space": SPACE, "trials": 7}


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {"question": "Which?", "recipe": {"network": {"name": "mlp", "units": [8]}}}
    return Study(**{**values, "search": OPTUNA, **fields})


def refuse(**fields: Any) -> list[str]:
    with pytest.raises(StudyError) as refused:
        make_study(**fields)
    return str(refused.value).split("\n")


def test_a_search_plans_the_default_and_names_the_finals() -> None:
    plan = expand(make_study(replicates=3))
    assert plan.arms == ("default", "winner")
    assert [trial.arm for trial in plan.trials] == ["default"] * 3
    assert (plan.most_candidate_trials, plan.most_trials) == (7, 13)
    assert all(block.search is not None and block.search.name == "optuna" for block in plan.blocks)


def test_a_baseline_doubles_the_candidates_and_is_a_final() -> None:
    plan = expand(make_study(search={**OPTUNA, "baseline": "random", "replicates": 2}, data={"folds": 3}, replicates=2))
    assert plan.arms == ("default", "winner", "random")
    assert plan.most_candidate_trials == 7 * 2 * 2 * 3
    assert plan.most_trials == plan.most_candidate_trials + 3 * 2 * 3


def test_a_study_with_a_search_reads_back() -> None:
    study = make_study(blocks=[{"a": {"search.trials": 2}, "b": {"epochs": 3}}])
    again = Study.model_validate(study.model_dump(mode="json"))
    assert study_id(again) == study_id(study)
    assert expand(again) == expand(study)


def test_another_search_is_another_study() -> None:
    studies = [
        make_study(),
        make_study(search={**OPTUNA, "trials": 8}),
        make_study(search="evolution"),
        make_study(blocks=[{"a": {"search.trials": 8}}]),
        make_study(search=None, arms=[{"default": {}}]),
    ]
    assert len({study_id(study) for study in studies}) == len(studies)
    assert study_id(make_study(search=OptunaSearch(space=make_space(), trials=7))) == study_id(make_study())


def make_space() -> Any:
    return OptunaSearch.model_validate(OPTUNA).space


def test_searches_and_finals_never_share_a_seed() -> None:
    finals = {derive_seed(seed, replicate) for seed in range(5) for replicate in range(100)}
    searched = {derive_seed(seed, replicate, "search") for seed in range(5) for replicate in range(100)}
    assert len(finals | searched) == 1_000
    assert derive_search_seed(0) not in finals | searched


def test_the_deciding_metric_is_the_objective_where_none_is_named() -> None:
    search = OptunaSearch.model_validate(OPTUNA)
    assert search.list_objectives("macro_f1") == ("macro_f1",)
    several = OptunaSearch.model_validate({**OPTUNA, "objectives": ["loss", "parameters"]})
    assert several.list_objectives("macro_f1") == ("loss", "parameters")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"arms": [{"epochs": [1]}]},
            "search: arms and search are both given: a search proposes the arms, leave one",
        ),
        ({"search": None}, "arms: missing: list the recipes under comparison, or add a search instead"),
        ({"search": "evolutoin"}, "search: unknown search 'evolutoin'. Allowed: optuna, evolution. Did you mean 'evol"),
        ({"search": {"space": SPACE}}, "search: search has no name. Allowed: optuna, evolution."),
        ({"search": {**OPTUNA, "trials": 0}}, "search.trials: given 0, allowed 1 or more."),
        ({"search": {**OPTUNA, "space": {}}}, "search.space: an empty space"),
        (
            {"search": {**OPTUNA, "sampler": "grid"}},
            "search: optimizer.learning_rate: a grid needs finitely many values here",
        ),
        ({"search": {**OPTUNA, "objectives": ["loss", "loss"]}}, "search: loss is an objective twice"),
        ({"search": {**OPTUNA, "objectives": ["seconds"], "halving": {}}}, "search: halving needs a single objective"),
        ({"search": {**OPTUNA, "halving": {"factor": 1}}}, "search.halving.factor: given 1, allowed 2 or more."),
        (
            {"replicates": {"at_least": 3}},
            "replicates: the finals of a search cannot be a race: give a number of replicates",
        ),
        ({"blocks": [{"a": {"search.trials": 0}}]}, "blocks.0.a.search.trials: given 0, allowed 1 or more."),
        (
            {"blocks": [{"a": {"search.baseline": "random"}, "b": {"epochs": 2}}]},
            "blocks: search.name and search.basel",
        ),
        ({"decide": {"against": "winer"}}, "decide.against: no arm 'winer', allowed: default, winner. Did you mean"),
        ({"search": {**OPTUNA, "trials": 99_999}}, "replicates: 100,009 trials, allowed 100,000"),
        (
            {"search": None, "arms": [{"epochs": [1]}], "blocks": [{"a": {"search": OPTUNA}}]},
            "blocks: a block changes search, but the study has none: add a search instead of arms",
        ),
        (
            {"search": None, "arms": [{"a": {"search": OPTUNA}}]},
            "arms.0.a.search: search is the same for all arms; arms may change the recipe only.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(fields: dict[str, Any], problem: str) -> None:
    answers = refuse(**fields)
    assert len(answers) == 1
    assert answers[0].startswith(problem)


# --- candidates ------------------------------------------------------------------------------------------------------


def default() -> Any:
    return (
        expand(make_study(recipe={"network": {"name": "cnn", "filters": [4, 6]}, "optimizer": "sgd"})).trials[0].recipe
    )


def test_a_candidate_changes_what_it_says_and_nothing_else() -> None:
    recipe = make_recipe(default(), {"optimizer.learning_rate": 0.5, "network.filters.1": 9})
    assert recipe == make_recipe(recipe, {})
    assert (recipe.network.filters, recipe.optimizer.learning_rate) == ((4, 9), 0.5)  # type: ignore[union-attr]
    assert name_recipe(make_recipe(default(), {})) == name_recipe(default()) != name_recipe(recipe)


def test_a_whole_field_comes_before_what_is_inside_it() -> None:
    recipe = make_recipe(default(), {"optimizer.learning_rate": 0.5, "optimizer": "adam"})
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate) == ("adam", 0.5)


def test_layers_take_the_place_of_a_named_network() -> None:
    recipe = make_recipe(default(), {"network": {"layers": [{"type": "dense", "units": 5}]}, "epochs": 3})
    assert (recipe.network.name, recipe.epochs) == ("layers", 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": 0}, "epochs: given 0, allowed 1 or more."),
        ({"network.filters.7": 3}, "no '7' in network.filters, allowed 0 to 1"),
        ({"network.units_": 3}, "network.units_: unknown field 'units_'"),
        ({"epochs": 1, "schedule": {"name": "cosine", "warm_up": 5}}, "a warm_up of 5 epochs does not end"),
    ],
)
def test_a_candidate_that_is_no_recipe_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnfitCandidateError) as refused:
        make_recipe(default(), changes)
    assert str(refused.value).startswith(reason)
