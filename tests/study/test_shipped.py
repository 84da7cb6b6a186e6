"""The shipped studies: each loads, plans, describes itself, and has a small version of its own."""

from __future__ import annotations

import re

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.load import list_shipped, load_study, read_shipped
from bakeoff.study.plan import Plan, expand, recipe_content, study_id

SHIPPED = {shipped.name: shipped for shipped in list_shipped()}


def plan_of(name: str, *overrides: str, quick: bool = False) -> Plan:
    return expand(load_study(name, overrides, quick=quick))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_study_says_what_it_takes(name: str) -> None:
    about = SHIPPED[name].about
    assert about.commands[0].partition("#")[0].strip() == f"bakeoff run {name}"
    assert about.known
    count = re.match(r"(?:at most )?([0-9,]+)", about.trials)
    assert count is not None
    assert int(count[1].replace(",", "")) == plan_of(name).most_trials
    assert about.trials.startswith("at most") == (load_study(name).search is not None)


@pytest.mark.parametrize("name", SHIPPED)
def test_its_small_version_is_a_study_of_its_own(name: str) -> None:
    whole, small = plan_of(name), plan_of(name, quick=True)
    assert (small.study.name, small.study.quick_of) == (f"{name}-quick", name)
    assert small.most_trials < whole.most_trials
    assert study_id(small.study) != study_id(whole.study)
    assert set(small.arms) <= set(whole.arms)


def test_the_same_changes_by_hand_are_another_study() -> None:
    small = load_study("quickstart", quick=True)
    by_hand = load_study("quickstart", ["numeric=float32", "replicates=3", "recipe.epochs=5"])
    assert study_id(small) != study_id(by_hand)
    assert [trial.recipe for trial in expand(small).trials] == [trial.recipe for trial in expand(by_hand).trials]


def test_overrides_come_after_the_cut() -> None:
    assert load_study("quickstart", ["replicates=2"], quick=True).replicates == 2


def test_a_study_without_a_small_version_says_so(tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("question: Which?\nrecipe: {network: mlp}\narms: [{epochs: [1, 2]}]\n")
    with pytest.raises(StudyError, match="--quick: this study has no quick version"):
        load_study(path, quick=True)
    path.write_text(path.read_text() + "quick:\n  changes:\n    recipe.epochs: 1\n    arms.3: [a]\n")
    with pytest.raises(StudyError, match=r"s\.yaml:7: arms: no '3' here"):
        load_study(path, quick=True)


def test_any_file_shows_what_it_says_of_itself(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("question: Which?\nabout: {known: much}\n")
    assert (read_shipped(path).name, read_shipped(path).about.rows()) == ("mine", (("known", "much"),))
    path.write_text("question: Which?\nabout: {knwon: much}\n")
    with pytest.raises(StudyError, match=r"mine\.yaml:2: about\.knwon: unknown field 'knwon'.*Did you mean 'known'"):
        read_shipped(path)


def recipes(name: str, *overrides: str) -> dict[str, dict[str, object]]:
    return {trial.arm: recipe_content(trial.recipe) for trial in plan_of(name, *overrides).trials}


def test_each_version_of_the_ablation_changes_what_its_line_says() -> None:
    found = recipes("cifar10-ablation")
    changed = {
        arm: {key for key in found[arm].keys() | found[base].keys() if found[arm].get(key) != found[base].get(key)}
        for base, arm in zip(list(found), list(found)[1:], strict=False)
    }
    assert changed["2.0"] - {"augmentation"} == {"transfer"}  # against 1.1, which 2.0 is not built on
    assert [changed[arm] for arm in ("2.1", "2.2", "2.3", "2.4", "3.1")] == [
        {"optimizer"},
        {"batch_size"},
        {"optimizer"},
        {"class_weights"},
        {"transfer", "optimizer"},
    ]
    first, moved = ([step["name"] for step in found[arm]["augmentation"]] for arm in ("1.0", "2.0"))  # type: ignore[attr-defined]
    assert first == moved == ["resize", "random_crop", "normalize"]


def test_the_ensemble_votes_over_the_ablations_own_trials() -> None:
    ablation, ensemble = recipes("cifar10-ablation"), recipes("cifar10-ensemble")
    assert ensemble == {arm: ablation[arm] for arm in ("2.4", "3.1")}
    votes = load_study("cifar10-ensemble").ensembles
    assert {vote.by for vote in votes.values()} == {"logits", "soft"}
    assert votes["3.2"].by == "logits"


def test_arms_of_the_ablation_have_the_recipes_epochs() -> None:
    assert {recipe["epochs"] for recipe in recipes("cifar10-ablation", "recipe.epochs=3").values()} == {3}


def test_each_network_is_tuned_with_the_originals_initializer() -> None:
    plan = plan_of("weight-init-tune")
    found = {trial.block: trial.recipe.initializer.name for trial in plan.trials}
    assert found == {"lenet": "glorot_uniform", "modnet1": "lecun_uniform", "modnet2": "lecun_normal"}


def test_a_published_figure_stands_beside_a_comparable_arm_only() -> None:
    study = load_study("fashion-networks")
    arms = {trial.arm: trial.recipe for trial in expand(study).trials}
    assert study.published is not None
    epochs = {figure.value: arms[figure.arm].epochs for figure in study.published.figures}
    assert epochs == {0.91: 10, 0.81: 40}


@pytest.mark.parametrize("name", [name for name in SHIPPED if load_study(name).published is not None])
def test_every_published_figure_is_of_an_arm_of_the_study(name: str) -> None:
    study, plan = load_study(name), plan_of(name)
    assert study.published is not None
    assert {figure.arm for figure in study.published.figures} <= {*plan.arms, *study.ensembles}
    assert {figure.block for figure in study.published.figures} <= {None, *(block.label for block in plan.blocks)}


def test_a_tuned_study_can_begin_with_the_own_tuning() -> None:
    found = {
        network: {"network": {"name": network}, "optimizer": {"name": "adam", "learning_rate": 0.003}}
        for network in ("lenet", "modnet1", "modnet2")
    }
    command = SHIPPED["weight-init-tuned"].about.commands[1]
    overrides = re.findall(r"--set '([^']+)'", command)
    assert len(overrides) == 2
    study = load_study("weight-init-tuned", overrides, find_winners=lambda name, block: found)
    plan = expand(study)
    assert {(trial.block, trial.recipe.network.name) for trial in plan.trials} == {(name, name) for name in found}
    assert {trial.recipe.optimizer.learning_rate for trial in plan.trials} == {0.003}  # type: ignore[union-attr]
    assert len(plan.trials) == 135
