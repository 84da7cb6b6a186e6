"""Chains of arms: who is built on whom, what the step changes, and where a study asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.stats.steps import Link
from bakeoff.study.chain import find_chain, list_steps
from bakeoff.study.load import load_study
from bakeoff.study.plan import expand, study_id
from bakeoff.study.schema import Study

CHAIN = {
    "1.0": {"epochs": 1},
    "1.1": {"from": "1.0", "batch_size": 64},
    "1.2": {"from": "1.1", "epochs": 3, "optimizer": {"name": "adamw"}},
    "2.0": {"epochs": 5},
}


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {"question": "Which?", "recipe": {"network": {"name": "mlp"}}, "arms": [CHAIN]}
    return Study(**{**values, **fields})


def test_every_arm_is_linked_to_its_base_and_its_start() -> None:
    assert find_chain([CHAIN]) == (
        Link(arm="1.0"),
        Link(arm="1.1", base="1.0", start="1.0", change="batch_size=64"),
        Link(arm="1.2", base="1.1", start="1.0", change="epochs=3, optimizer=adamw"),
        Link(arm="2.0"),
    )


def test_templates_are_skipped_and_their_changes_belong_to_the_step() -> None:
    axis = {
        "_root": {"epochs": 1},
        "a": {"from": "_root"},
        "_b": {"from": "a", "batch_size": 64, "epochs": 2},
        "_c": {"from": "_b", "epochs": 3},
        "d": {"from": "_c", "optimizer.learning_rate": 0.1},
    }
    assert find_chain([axis]) == (
        Link(arm="a"),
        Link(arm="d", base="a", start="a", change="batch_size=64, epochs=3, optimizer.learning_rate=0.1"),
    )


def test_cases_built_on_one_template_are_no_chain() -> None:
    assert find_chain([{"_base": {"epochs": 1}, "a": {"from": "_base"}, "b": {"from": "_base", "epochs": 2}}]) == ()
    assert find_chain([{"epochs": [1, 2]}]) == ()
    assert find_chain([]) == ()


def test_other_axes_multiply_a_chain() -> None:
    links = find_chain([{"a": {"epochs": 1}, "b": {"from": "a", "epochs": 2}}, {"batch_size": [32, 64]}])
    assert [(link.arm, link.base, link.start) for link in links] == [
        ("a / 32", None, None),
        ("a / 64", None, None),
        ("b / 32", "a / 32", "a / 32"),
        ("b / 64", "a / 64", "a / 64"),
    ]


def test_two_chains_give_an_arm_two_steps() -> None:
    first, second = {"a": {}, "b": {"from": "a", "epochs": 2}}, {"x": {}, "y": {"from": "x", "batch_size": 64}}
    found = {(link.arm, link.base) for link in find_chain([first, second]) if link.base}
    assert found == {("b / x", "a / x"), ("a / y", "a / x"), ("b / y", "a / y"), ("b / y", "b / x")}


def test_the_arms_of_a_chain_are_those_of_the_plan() -> None:
    study = make_study(arms=[CHAIN, {"clip": [{"norm": 1.0}, None]}])
    assert tuple(dict.fromkeys(link.arm for link in find_chain(study.arms))) == expand(study).arms


def test_steps_are_given_where_there_is_a_chain_unless_refused() -> None:
    study = make_study()
    assert len(list_steps(study.arms, {}, study.decide.steps)) == 4
    assert list_steps(study.arms, {}, False) == ()


def test_a_vote_over_named_arms_is_a_step_from_each() -> None:
    ensembles = {"3.0": {"of": ["1.2", "2.0"]}, "all": {}, "seeds": {"of": ["1.0"], "over": "replicates"}}
    study = make_study(ensembles=ensembles)
    assert list_steps(study.arms, study.ensembles, None)[4:] == (
        Link(arm="3.0", base="1.2", change="soft vote of 1.2 and 2.0"),
        Link(arm="3.0", base="2.0", change="soft vote of 1.2 and 2.0"),
    )
    assert list_steps([{"a": {}, "b": {"epochs": 2}}], study.ensembles, None) == ()


def test_asking_for_steps_needs_a_chain() -> None:
    assert make_study(decide={"steps": True}).decide.steps
    with pytest.raises(StudyError, match=r"^decide.steps: no arm builds on another: write 'from: NAME'"):
        make_study(arms=[{"epochs": [1, 2]}], decide={"steps": True})


def test_studies_from_before_steps_stay_the_same_ones() -> None:
    assert "steps" not in make_study().decide.model_dump()
    assert study_id(make_study(decide={"steps": None})) == study_id(make_study())
    assert study_id(make_study(decide={"steps": False})) != study_id(make_study())
    assert Study.model_validate(make_study(decide={"steps": True}).model_dump(mode="json")).decide.steps


def test_the_shipped_ablation_is_a_chain() -> None:
    links = {link.arm: link for link in find_chain(load_study("cifar10-ablation").arms)}
    assert (links["2.4"].base, links["2.4"].start) == ("2.3", "1.0")
    assert links["2.2"].change == "batch_size=128"
    assert (links["3.1"].base, links["3.1"].start) == ("3.0", "3.0")
    assert links["3.0"].base is None


def test_a_file_says_the_same(tmp_path: Path) -> None:
    text = "question: Q\nrecipe: {network: mlp}\narms:\n  - a: {epochs: 1}\n    b: {from: a, epochs: 2}\n"
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    (_, step) = find_chain(load_study(tmp_path / "study.yaml").arms)
    assert step == Link(arm="b", base="a", start="a", change="epochs=2")
