from __future__ import annotations

import inspect
import pickle
from importlib.metadata import version

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, Adam, OptimizerChoice, OptimizerRecord
from bakeoff.catalog.packages import list_packages
from bakeoff.catalog.recipe import Recipe
from bakeoff.engine.optim.make_optimizer import find_class
from bakeoff.extras import how_to_install
from bakeoff.study.fit import check_fit

CHOICE: TypeAdapter[object] = TypeAdapter(OptimizerChoice)


def _torch_defaults(record: OptimizerRecord) -> dict[str, object]:
    signature = inspect.signature(find_class(record.settings()))
    return {name: parameter.default for name, parameter in signature.parameters.items()}


@pytest.mark.parametrize("record", OPTIMIZERS, ids=OPTIMIZERS.names)
def test_arguments_are_ones_torch_takes(record: OptimizerRecord) -> None:
    arguments = record.settings().arguments()
    assert arguments.keys() <= _torch_defaults(record).keys()
    optimizer = find_class(record.settings())([torch.zeros(1)], **arguments)
    assert {name: optimizer.defaults[name] for name in arguments} == arguments


@pytest.mark.parametrize("record", OPTIMIZERS, ids=OPTIMIZERS.names)
def test_defaults_are_torchs(record: OptimizerRecord) -> None:
    arguments = record.settings().arguments()
    if record.name == "sgd":
        arguments["lr"] = 0.001  # torch's; ours is 0.01, as in Keras
    defaults = _torch_defaults(record)
    assert arguments == {name: defaults[name] for name in arguments}


@pytest.mark.parametrize("record", OPTIMIZERS, ids=OPTIMIZERS.names)
def test_every_setting_reaches_torch(record: OptimizerRecord) -> None:
    numbers = [name for name, field in record.settings.model_fields.items() if field.annotation is float]
    numbers = [name for name in numbers if name != "adamw_rate"]  # a factor on a group's rate; see test_muon
    assert numbers
    values = {name: 0.011 + 0.001 * position for position, name in enumerate(numbers)}
    arguments = record.settings.model_validate(values).arguments()
    reached = [part for value in arguments.values() for part in (value if isinstance(value, tuple) else (value,))]
    assert sorted(part for part in reached if type(part) is float) == sorted(values.values())


def test_editors_are_shown_every_name() -> None:
    names = next(part["enum"] for part in CHOICE.json_schema(mode="validation")["anyOf"] if "enum" in part)
    assert tuple(names) == OPTIMIZERS.names


def test_bare_name_and_missing_name() -> None:
    assert CHOICE.validate_python("sgd") == SGD()
    assert CHOICE.validate_python({"learning_rate": 0.5}) == Adam(learning_rate=0.5)
    assert CHOICE.validate_python(SGD(momentum=0.9)) == SGD(momentum=0.9)


def test_unknown_name_lists_names_and_the_nearest() -> None:
    with pytest.raises(ValidationError) as caught:
        CHOICE.validate_python({"name": "adamm"})
    error = caught.value.errors()[0]
    assert error["type"] == "unknown_name"
    assert "'adamm'" in error["msg"]
    assert ", ".join(OPTIMIZERS.names) in error["msg"]
    assert error["msg"].endswith("'adam'?")


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"learning_rate": True},
        {"learning_rate": "0.1"},
        {"name": "sgd", "momentum": 1.0},
        {"name": "sgd", "nesterov": 1},
        {"name": "sgd", "nesterov": True},
        {"name": "sgd", "beta1": 0.9},
        {"weight_decay": -1e-9},
        {"name": "lion", "epsilon": 1e-8},
        {"name": "adadelta", "smoothing": 1.0},
        {"name": "nadam", "momentum_decay": -1.0},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CHOICE.validate_python(settings)


def test_an_optimizer_of_an_extra_needs_it_and_its_version_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"network": "mlp", "optimizer": "lamb"})
    assert list_packages(recipe) == {"timm": version("timm")}
    assert list_packages(Recipe.model_validate({"network": "mlp", "optimizer": "muon"})) == {}
    assert not list(check_fit(recipe, (8, 8, 1), ("a", "b")))
    monkeypatch.setattr("bakeoff.study.fit.find_spec", lambda name: None)
    ((field, message),) = check_fit(recipe, (8, 8, 1), ("a", "b"))
    assert field == "optimizer"
    assert how_to_install("timm") in message


@pytest.mark.parametrize("record", OPTIMIZERS, ids=OPTIMIZERS.names)
def test_settings_reach_another_process(record: OptimizerRecord) -> None:
    assert pickle.loads(pickle.dumps(record.settings())) == record.settings()
