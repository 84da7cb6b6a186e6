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


def _refuse(text: str) -> str:
    with pytest.raises(StudyError) as caught:
        _set(text)
    return str(caught.value)


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
    ("text", "answer"),
    [
        ("recipe.epochs", "--set: given 'recipe.epochs', allowed PATH=VALUE, for example recipe.epochs=3"),
        ("=3", "--set: given '=3', allowed PATH=VALUE, for example recipe.epochs=3"),
        ("arms.1.v1=3", "--set: arms: no '1' here, allowed 0 to 0"),
        ("arms.x=3", "--set: arms: no 'x' here, allowed 0 to 0"),
        ("question.x=3", "--set: question: no field 'x' here: 'Which?' has no fields"),
        ("blocks.0.data.nam=[a]", "--set: blocks.0: no 'data.nam' here, allowed: data.name. Did you mean 'data.name'?"),
        ("arms.0.v4.epochs=3", "--set: arms.0: no 'v4.epochs' here, allowed: v1, v2, v3. Did you mean 'v3'?"),
        ("arms.0=[v9]", "--set: arms.0: no 'v9' here, allowed: v1, v2, v3. Did you mean 'v3'?"),
        ("blocks.0=[minst]", "--set: blocks.0: no 'minst' here, allowed: mnist, digits. Did you mean 'mnist'?"),
        ("arms.0=[]", "--set: arms.0: an empty list, allowed some of: v1, v2, v3"),
        ("recipe.epochs=[1", "--set: recipe.epochs: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("recipe.epochs=!!set {a}", "--set: recipe.epochs: the tag 'tag:yaml.org,2002:set' is not allowed"),
    ],
)
def test_what_is_refused(text: str, answer: str) -> None:
    assert _refuse(text).startswith(answer)


def test_a_mapping_adds_a_case() -> None:
    fields = _set("arms.0.v4={from: v2, batch_size: 7}", "arms.0.2.5={}").fields["arms"][0]
    assert (fields["v4"], fields["2.5"]) == ({"from": "v2", "batch_size": 7}, {})
    assert {"v4", "2.5"} <= set(_expand("arms.0.v4={from: v2, batch_size: 7}", "arms.0.2.5={}").arms)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("arms.0.v9=3", "--set: arms.0: no 'v9' here, allowed: v1, v2, v3. Did you mean 'v3'?"),
        ("arms.0.v9.optimizer={name: adam}", "--set: arms.0: no 'v9.optimizer' here, allowed: v1, v2, v3."),
        ("blocks.0.digits={}", "--set: blocks.0: no 'digits' here, allowed: data.name."),
    ],
)
def test_what_is_no_new_case(text: str, answer: str) -> None:
    assert _refuse(text).startswith(answer)
