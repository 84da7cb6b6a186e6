from __future__ import annotations

from typing import Any

import pytest

from bakeoff.errors import StudyError
from bakeoff.study.document import Document, read_document
from bakeoff.study.override import override
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study

TEXT = """\
question: Which?
recipe:
  network: mlp
  optimizer: {name: sgd, momentum: 0.9}
  optimizer.nesterov: true
blocks:
  - data.name: [mnist, digits]
  - a: {epochs: 2}
    b: {epochs: 3}
arms:
  - v1: {batch_size: 8}
    v2: {from: v1, initializer: he_normal}
    v3: {from: v2, initializer.where: everywhere}
"""


def _set(*texts: str) -> Document:
    document = read_document(TEXT, "s.yaml")
    for text in texts:
        document = override(document, text)
    return document


def _expand(*texts: str) -> Any:
    return expand(Study.model_validate(_set(*texts).fields))


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("replicates=3", ["replicates"], 3),
        ("recipe.epochs=3", ["recipe", "epochs"], 3),
        ("recipe.optimizer.momentum=1e-1", ["recipe", "optimizer", "momentum"], 0.1),
        ("recipe.optimizer.nesterov=false", ["recipe", "optimizer.nesterov"], False),
        ("recipe.optimizer.name=sgd", ["recipe", "optimizer"], {"name": "sgd", "momentum": 0.9}),
        ("recipe.optimizer.name=adam", ["recipe", "optimizer"], {"name": "adam"}),
        ("recipe.network.units=[3, 4]", ["recipe", "network"], {"name": "mlp", "units": [3, 4]}),
        ("recipe.early_stopping.patience=3", ["recipe", "early_stopping"], {"patience": 3}),
        ("recipe.early_stopping=", ["recipe", "early_stopping"], None),
        ("decide.metric=loss", ["decide", "metric"], "loss"),
        ("question=Is a=b?", ["question"], "Is a=b?"),
        ("blocks.0.data.name=[cifar10]", ["blocks", 0, "data.name"], ["cifar10"]),
        ("blocks.0.data.name.1=cifar10", ["blocks", 0, "data.name"], ["mnist", "cifar10"]),
        ("blocks.1.a.epochs=9", ["blocks", 1, "a"], {"epochs": 9}),
        ("blocks.1.a.network=cnn", ["blocks", 1, "a"], {"epochs": 2, "network": "cnn"}),
        ("blocks=[]", ["blocks"], []),
        ("blocks.1=[b]", ["blocks", 1], {"b": {"epochs": 3}}),
        ("blocks.1=b", ["blocks", 1], {"b": {"epochs": 3}}),
        ("blocks.0=[digits]", ["blocks", 0], {"data.name": ["digits"]}),
        ("blocks.1={epochs: [7]}", ["blocks", 1], {"epochs": [7]}),
    ],
)
def test_what_is_set(text: str, path: list[Any], value: object) -> None:
    before = read_document(TEXT, "s.yaml").fields
    node: Any = _set(text).fields
    for key in path:
        node = node[key]
    assert node == value
    assert read_document(TEXT, "s.yaml").fields == before


def test_the_document_itself_stays() -> None:
    document = read_document(TEXT, "s.yaml")
    override(document, "blocks.1.a.epochs=9")
    override(document, "blocks.1=[a]")
    assert document == read_document(TEXT, "s.yaml")


def test_places() -> None:
    document = _set("recipe.optimizer={name: sgd}", "blocks.1.a.epochs=0")
    assert document.locate(("recipe", "optimizer", "name")) == "--set"
    assert document.locate(("blocks", 1, "a", "epochs")) == "--set"
    assert document.locate(("blocks", 1, "b", "epochs")) == "s.yaml:9"
    assert document.locate(("recipe", "network")) == "s.yaml:3"


def test_a_later_set_wins() -> None:
    assert _set("replicates=3", "replicates=4").fields["replicates"] == 4


@pytest.mark.parametrize("cut", ["arms.0=[v3]", "arms.0=[v3, v1]", "arms.0=[v2, v3]"])
def test_a_cut_case_keeps_what_it_builds_on(cut: str) -> None:
    whole = {(trial.block, trial.arm): trial.recipe for trial in _expand().trials}
    plan = _expand(cut)
    assert "v3" in plan.arms
    assert len(plan.arms) == cut.count("v")
    assert all(whole[trial.block, trial.arm] == trial.recipe for trial in plan.trials)


def test_a_problem_in_a_renamed_base_keeps_its_line() -> None:
    document = _set("arms.0=[v3]")
    assert document.locate(("arms", 0, "_v1")) == "s.yaml:11"


@pytest.mark.parametrize(
    ("text", "field", "names"),
    [
        ("recipe.epochs", "", ["recipe.epochs", "PATH=VALUE"]),
        ("=3", "", ["=3", "PATH=VALUE"]),
        ("arms.1.v1=3", "arms", ["'1'", "0 to 0"]),
        ("arms.x=3", "arms", ["'x'", "0 to 0"]),
        ("question.x=3", "question", ["'Which?'", "'x'"]),
        ("blocks.0.data.nam=[a]", "blocks.0", ["'data.nam'", "'data.name'?"]),
        ("arms.0.v4.epochs=3", "arms.0", ["'v4.epochs'", "v1, v2, v3", "'v3'?"]),
        ("arms.0=[v9]", "arms.0", ["'v9'", "v1, v2, v3", "'v3'?"]),
        ("blocks.0=[minst]", "blocks.0", ["'minst'", "mnist, digits", "'mnist'?"]),
        ("arms.0=[]", "arms.0", ["v1, v2, v3"]),
        ("recipe.epochs=[1", "recipe.epochs", ["YAML", "']'"]),
        ("recipe.epochs=!!set {a}", "recipe.epochs", ["tag:yaml.org,2002:set"]),
        # What is no new case:
        ("arms.0.v9=3", "arms.0", ["'v9'", "v1, v2, v3", "'v3'?"]),
        ("arms.0.v9.optimizer={name: adam}", "arms.0", ["'v9.optimizer'", "v1, v2, v3"]),
        ("blocks.0.digits={}", "blocks.0", ["'digits'", "data.name"]),
    ],
)
def test_what_is_refused(text: str, field: str, names: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        _set(text)
    (problem,) = caught.value.problems
    assert (problem.place, problem.field) == ("--set", field)
    assert [name for name in names if name not in problem.message] == []


def test_a_mapping_adds_a_case() -> None:
    fields = _set("arms.0.v4={from: v2, batch_size: 7}", "arms.0.2.5={}").fields["arms"][0]
    assert (fields["v4"], fields["2.5"]) == ({"from": "v2", "batch_size": 7}, {})
    assert {"v4", "2.5"} <= set(_expand("arms.0.v4={from: v2, batch_size: 7}", "arms.0.2.5={}").arms)
