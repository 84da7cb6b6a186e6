from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.catalog.networks.outside import OUTSIDE_NAMES
from bakeoff.catalog.optimizers import SGD
from bakeoff.errors import StudyError
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

Facts = tuple[str, ...]
Answer = Callable[..., list[Facts]]

ARMS: list[dict[str, Any]] = [{"initializer": ["he_normal", "glorot_uniform"]}]
FIELDS: dict[str, Any] = {"question": "?", "recipe": {"network": "mlp"}, "arms": ARMS}


@pytest.fixture
def answer(refuse: Callable[..., list[Facts]]) -> Answer:
    def call(**fields: Any) -> list[Facts]:
        return refuse(Study, **{**FIELDS, **fields})

    return call


def test_a_study_in_python() -> None:
    study = Study(question="?", recipe={"network": "mlp"}, arms=ARMS)
    assert (study.name, study.data.name, study.replicates, study.seed) == ("study", "digits", 5, 0)
    assert (study.decide.metric, study.decide.confidence, study.numeric) == ("accuracy", 0.95, "auto")
    assert len(expand(study).trials) == 10


def test_wrong_fields_raise_the_same_error_as_a_file(answer: Answer) -> None:
    fields: dict[str, Any] = {"replicates": 0, "colour": "red", "recipe": {"network": "mlpp"}}
    replicates, colour, network = answer(**fields)
    assert replicates == ("replicates", "0", "1")
    assert colour == ("colour", "colour", "data.colour")
    assert (network[:2], network[-1]) == (("recipe.network", "mlpp"), "mlp")
    with pytest.raises(StudyError) as caught:
        Study(**{**FIELDS, **fields})
    assert ", ".join(Study.model_fields) in caught.value.problems[1].message
    assert ", ".join((*NETWORKS.names, *OUTSIDE_NAMES)) in caught.value.problems[2].message


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"arms": []}, ("arms", "- initializer: [he_normal]")),
        ({"arms": {"a": {}}}, ("arms", "a", "- ")),
        ({"arms": ["he_normal"]}, ("arms.0", "he_normal")),
        ({"recipe": "lenet"}, ("recipe", "lenet")),
        ({"recipe": {"epochs": 1j}}, ("recipe", "1j")),
        ({"data": "mnist"}, ("data", "mnist")),
        ({"question": ""}, ("question", "", "1")),
        ({"replicates": True}, ("replicates",)),
        ({"seed": -1}, ("seed", "-1", "0")),
        ({"numeric": "float16"}, ("numeric", "float16", "auto", "float32", "bfloat16")),
        ({"decide": {"confidence": 95}}, ("decide.confidence", "95", "1")),
        ({"decide": {"margin": float("nan")}}, ("decide.margin",)),
        ({"data": {"validation": 0}}, ("data.validation", "0", "0", "own")),
        ({"published": {"figures": [{"arm": "x"}], "source": "s"}}, ("published.figures.0.metric",)),
        ({"name": "../x"}, ("name",)),
        ({"recipe": {"network": "mlp", "epochs": 10**400}}, ("recipe.epochs",)),
        ({"recipe": {"network": "mlp", "optimizer.learning_rate": 10**400}}, ("recipe.optimizer.learning_rate",)),
    ],
)
def test_answers(fields: dict[str, Any], facts: Facts, answer: Answer) -> None:
    found = answer(**fields)
    assert found[0][: len(facts)] == facts
    assert len(found) <= 2


def test_too_many_trials(answer: Answer) -> None:
    rates = [{"optimizer.learning_rate": [0.001 * n for n in range(1, 201)]}]
    assert answer(arms=rates, replicates=1000) == [("replicates", "200,000", "100,000")]


def test_a_long_list_of_problems_is_cut(answer: Answer) -> None:
    answers = answer(recipe={"network": "mlp", **{f"field{n}": n for n in range(80)}})
    assert len(answers) == 51
    assert answers[-1][-1] == "30"


def test_records_and_tuples_become_plain() -> None:
    study = Study(question="?", recipe={"network": "mlp", "optimizer": SGD(momentum=0.5)}, arms=({"epochs": (1, 2)},))
    assert study.arms == ({"epochs": [1, 2]},)
    assert {trial.recipe.optimizer for trial in expand(study).trials} == {SGD(momentum=0.5)}


def test_a_study_keeps_no_hold_of_what_it_was_given() -> None:
    recipe: dict[str, Any] = {"network": {"name": "mlp", "units": [3]}}
    study = Study(question="?", recipe=recipe, arms=ARMS)
    recipe["network"]["units"].append(4)
    assert study.recipe == {"network": {"name": "mlp", "units": [3]}}


def test_a_study_survives_being_written_and_read() -> None:
    published: Any = {"source": "me", "figures": [{"arm": "x", "metric": "loss", "value": 0.1}]}
    study = Study(**FIELDS, published=published)
    assert Study.model_validate(study.model_dump(mode="json")) == study
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_importing_the_room_imports_no_torch() -> None:
    modules = ["load", "plan", "editor", "schema"]
    code = "; ".join(f"import bakeoff.study.{module}" for module in modules)
    code += "; import sys; bakeoff.study.load.load_study('quickstart')"
    code += "; print([name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
