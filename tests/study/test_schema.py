from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bakeoff.catalog.networks.named import NETWORKS
from bakeoff.catalog.networks.outside import OUTSIDE_NAMES
from bakeoff.catalog.optimizers import SGD
from bakeoff.errors import StudyError
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

ARMS: list[dict[str, Any]] = [{"initializer": ["he_normal", "glorot_uniform"]}]
FIELDS: dict[str, Any] = {"question": "?", "recipe": {"network": "mlp"}, "arms": ARMS}


def _answer(**fields: Any) -> list[str]:
    with pytest.raises(StudyError) as caught:
        Study(**{**FIELDS, **fields})
    return str(caught.value).splitlines()


def test_a_study_in_python() -> None:
    study = Study(question="?", recipe={"network": "mlp"}, arms=ARMS)
    assert (study.name, study.data.name, study.replicates, study.seed) == ("study", "digits", 5, 0)
    assert (study.decide.metric, study.decide.confidence, study.numeric) == ("accuracy", 0.95, "auto")
    assert len(expand(study).trials) == 10


def test_wrong_fields_raise_the_same_error_as_a_file() -> None:
    assert _answer(replicates=0, colour="red", recipe={"network": "mlpp"}) == [
        "replicates: given 0, allowed 1 or more.",
        f"colour: unknown field 'colour', allowed: {', '.join(Study.model_fields)}.",
        f"recipe.network: unknown network 'mlpp'. Allowed: {', '.join((*NETWORKS.names, *OUTSIDE_NAMES))}. "
        "Did you mean 'mlp'?",
    ]


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"arms": []}, "arms: arms is empty: name at least one, for example '- initializer: [he_normal]'"),
        ({"arms": {"a": {}}}, "arms: given {'a': {}}, allowed a list, such as [a, b] or lines that begin with '- '."),
        ({"arms": ["he_normal"]}, "arms.0: given 'he_normal', allowed a mapping."),
        ({"recipe": "lenet"}, "recipe: given 'lenet', allowed a mapping."),
        ({"recipe": {"epochs": 1j}}, "recipe: given 1j, allowed text, numbers, lists and mappings"),
        ({"data": "mnist"}, "data: given 'mnist', allowed a mapping."),
        ({"question": ""}, "question: given '', allowed 1 characters or more."),
        ({"replicates": True}, "replicates: given true, allowed a whole number."),
        ({"seed": -1}, "seed: given -1, allowed 0 or more."),
        ({"numeric": "float16"}, "numeric: given 'float16', allowed 'auto', 'float32' or 'bfloat16'."),
        ({"decide": {"confidence": 95}}, "decide.confidence: given 95, allowed a number below 1."),
        ({"decide": {"margin": float("nan")}}, "decide.margin: given nan, allowed"),
        ({"data": {"validation": 0}}, "data.validation: given 0, allowed a number above 0 or 'own'."),
        ({"published": {"figures": [{"arm": "x"}], "source": "s"}}, "published.figures.0.metric: missing"),
        ({"name": "../x"}, "name: "),
        ({"recipe": {"network": "mlp", "epochs": 10**400}}, "recipe.epochs: given 1000"),
        ({"recipe": {"network": "mlp", "optimizer.learning_rate": 10**400}}, "recipe.optimizer.learning_rate: given"),
    ],
)
def test_answers(fields: dict[str, Any], answer: str) -> None:
    assert _answer(**fields)[0].startswith(answer)
    assert len(_answer(**fields)) <= 2


def test_too_many_trials() -> None:
    rates = [{"optimizer.learning_rate": [0.001 * n for n in range(1, 201)]}]
    assert _answer(arms=rates, replicates=1000) == ["replicates: 200,000 trials, allowed 100,000"]


def test_a_long_list_of_problems_is_cut() -> None:
    answers = _answer(recipe={"network": "mlp", **{f"field{n}": n for n in range(80)}})
    assert len(answers) == 51
    assert answers[-1] == "and 30 more"


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
