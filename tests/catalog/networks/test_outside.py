"""Outside networks as records: names, heads, estimates; nothing of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.networks.layers import Dense, Dropout
from bakeoff.catalog.networks.named import NetworkChoice
from bakeoff.catalog.networks.outside import (
    OUTSIDE,
    OUTSIDE_NAMES,
    TORCHVISION_NAMES,
    OutsideNetwork,
    OutsideRecord,
    find_outside,
    is_outside,
)

GOOD = ("torchvision:resnet18", "timm:resnet10t", "timm:resnet10t.c3_in1k", "nets:Net", "my_package.nets:Net")
BAD = (
    "timm:",
    "timm:a b",
    "timm:../x",
    "nets:",
    ":Net",
    "a-b:Net",
    "nets:Net()",
    "a:b:c",
    "resnet18",
)


@pytest.mark.parametrize("record", OUTSIDE, ids=lambda record: record.name)
def test_every_entry_says_what_it_is(record: OutsideRecord) -> None:
    assert record.summary
    assert "\n" not in record.summary
    assert record.source
    assert record.least_size >= 1


@pytest.mark.parametrize("name", GOOD)
def test_names_are_accepted(name: str) -> None:
    assert OutsideNetwork(name=name).name == name
    assert is_outside(name)


@pytest.mark.parametrize("name", BAD)
def test_wrong_names_are_answered_with_the_list(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OutsideNetwork(name=name)
    (error,) = caught.value.errors()
    assert error["type"] == "unknown_name"
    assert all(allowed in error["msg"] for allowed in OUTSIDE_NAMES)


def test_a_wrong_name_of_torchvision_is_answered_with_its_networks() -> None:
    with pytest.raises(ValidationError) as caught:
        OutsideNetwork(name="torchvision:resnet19")
    (error,) = caught.value.errors()
    assert error["type"] == "unknown_name"
    assert error["ctx"]["allowed"] == [*TORCHVISION_NAMES]


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(ValidationError, match=r"'torchvision:resnet18'\?"):
        OutsideNetwork(name="torchvision:resnet81")


def test_a_study_file_may_give_the_bare_name_or_settings() -> None:
    choice = TypeAdapter(NetworkChoice)
    assert choice.validate_python("torchvision:vgg16") == OutsideNetwork(name="torchvision:vgg16")
    formatted = choice.validate_python({"name": "nets:Net", "units": [64], "dropout": 0.5})
    assert formatted == OutsideNetwork(name="nets:Net", units=(64,), dropout=0.5)
    with pytest.raises(ValidationError, match="'torchvision:vgg12'"):
        choice.validate_python("torchvision:vgg12")


@pytest.mark.parametrize(
    ("units", "dropout", "expected"),
    [
        ((), 0.0, (Dense(units=10),)),
        ((), 0.2, (Dropout(rate=0.2), Dense(units=10))),
        ((64,), 0.0, (Dense(units=64, activation="tanh"), Dense(units=10))),
        (
            (64, 32),
            0.5,
            (
                Dense(units=64, activation="tanh"),
                Dropout(rate=0.5),
                Dense(units=32, activation="tanh"),
                Dropout(rate=0.5),
                Dense(units=10),
            ),
        ),
    ],
)
def test_heads(units: tuple[int, ...], dropout: float, expected: tuple[object, ...]) -> None:
    network = OutsideNetwork(name="torchvision:resnet18", units=units, dropout=dropout, activation="tanh")
    assert network.make_head(10) == expected


def test_records_that_stand_for_many() -> None:
    assert find_outside("timm:resnet10t").name == "timm:NAME"
    assert find_outside("nets:Net").name == "module:Class"
    assert find_outside("torchvision:alexnet").least_size == 63


def test_cost_grows_with_the_area_the_body_sees() -> None:
    network = OutsideNetwork(name="torchvision:resnet18")
    assert network.count_module_operations((224, 224, 3)) == 1_814_000_000
    assert network.count_module_operations((112, 112, 3)) == 1_814_000_000 // 4
    assert network.count_module_operations((28, 28, 1)) == network.count_module_operations((32, 32, 3))
    assert OutsideNetwork(name="timm:resnet10t").count_module_operations((32, 32, 3)) is None


def test_records_need_no_torch() -> None:
    check = "import sys, bakeoff.catalog.networks.outside, bakeoff.catalog.transfer; "
    check += "import bakeoff.catalog.networks.user_code as u; "
    check += "u.hash_code('json.decoder:X'); print(bool({'torch', 'torchvision', 'timm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
