"""Transfer as a record: what a study file may write, and which layers are a body."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.catalog.networks.layers import AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import MLP, LeNet, expand
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.transfer import (
    FileWeights,
    StudyWeights,
    Transfer,
    TrialWeights,
    check_transfer,
    count_body_layers,
)
from bakeoff.errors import NetworkError

CONV, POOL, DROP, DENSE, HEAD = Conv(filters=2, kernel=3), Pool(), Dropout(rate=0.5), Dense(units=8), Dense(units=3)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        ("imagenet", "imagenet"),
        ({"file": "a.pt"}, FileWeights(file="a.pt")),
        ({"file": "a.pt", "sha256": "0" * 64}, FileWeights(file="a.pt", sha256="0" * 64)),
        ({"trial": "0123abcd"}, TrialWeights(trial="0123abcd")),
        ({"study": "s", "arm": "a"}, StudyWeights(study="s", arm="a")),
        ({"study": "s", "arm": "a", "block": "b"}, StudyWeights(study="s", arm="a", block="b")),
        (TrialWeights(trial="0123abcd"), TrialWeights(trial="0123abcd")),
    ],
)
def test_weights_by_their_fields(written: object, expected: object) -> None:
    transfer = Transfer.model_validate({"weights": written})
    assert transfer.weights == expected
    assert Transfer.model_validate_json(transfer.model_dump_json()) == transfer
    assert hash(transfer) == hash(Transfer.model_validate({"weights": expected}))


def test_a_later_field_is_dumped_only_where_it_is_set() -> None:
    assert "freeze_norm" not in Transfer(freeze=1).model_dump(mode="json")
    set_ = Transfer(freeze=1, freeze_norm=True)
    assert set_.model_dump(mode="json")["freeze_norm"] is True
    assert Transfer.model_validate_json(set_.model_dump_json()) == set_


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "imagenett",
            "allowed imagenet, {file: PATH}, {trial: ID}, {study: NAME, arm: LABEL}. Did you mean 'imagenet'?",
        ),
        ({}, "allowed imagenet"),
        ({"file": "a", "trial": "0123"}, "allowed imagenet"),
        (3, "given 3, allowed imagenet"),
        (["imagenet"], "allowed imagenet"),
        ({"file": "a", "sha256": "0" * 63}, "allowed 64 of 0..9 and a..f"),
        ({"file": ""}, "at least 1 character"),
        ({"trial": "XYZ"}, "allowed 4 to 64 of 0..9 and a..f"),
        ({"study": "a"}, "Field required"),
        ({"study": "a", "arm": "b", "replicate": 1}, "Extra inputs"),
    ],
)
def test_wrong_weights_are_one_error(written: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Transfer.model_validate({"weights": written})
    (error,) = caught.value.errors()
    assert message in error["msg"]


@pytest.mark.parametrize("fields", [{"freeze": "always"}, {"freeze": 3}, {"body_rate": 0.1}, {"body": "convolutions"}])
def test_good_settings(fields: dict[str, Any]) -> None:
    assert Transfer.model_validate(fields).model_dump() == {**Transfer().model_dump(), **fields}


@pytest.mark.parametrize(
    "fields",
    [{"freeze": "never"}, {"freeze": -1}, {"freeze": True}, {"body_rate": 0.0}, {"body_rate": 1.5}, {"body": "all"}],
)
def test_bad_settings(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Transfer.model_validate(fields)


@pytest.mark.parametrize(
    ("layers", "all_but_last", "convolutions"),
    [
        ((CONV, POOL, DENSE, HEAD), 3, 2),
        ((CONV, POOL, DROP, DENSE, DROP, HEAD), 4, 2),
        ((CONV, DROP, POOL, HEAD), 3, 3),
        ((DENSE, HEAD), 1, None),
        ((DROP, HEAD), None, None),
        ((HEAD,), None, None),
    ],
)
def test_bodies_of_layer_networks(
    layers: tuple[AnyLayer, ...], all_but_last: int | None, convolutions: int | None
) -> None:
    for body, expected in (("all_but_last", all_but_last), ("convolutions", convolutions)):
        if expected is None:
            with pytest.raises(NetworkError, match="no layers"):
                count_body_layers(layers, body)  # type: ignore[arg-type]
        else:
            assert count_body_layers(layers, body) == expected  # type: ignore[arg-type]


def test_named_networks() -> None:
    lenet = expand(LeNet(), (28, 28, 1), 10)
    assert count_body_layers(lenet, "all_but_last") == len(lenet) - 1
    assert count_body_layers(lenet, "convolutions") == 4


def test_published_weights_go_with_published_networks() -> None:
    published = Transfer(weights="imagenet")
    check_transfer(OutsideNetwork(name="torchvision:resnet18"), published)
    check_transfer(OutsideNetwork(name="timm:resnet10t"), published)
    check_transfer(MLP(), Transfer(weights=FileWeights(file="a")))
    check_transfer(MLP(), None)
    for network in (MLP(), OutsideNetwork(name="nets:Net")):
        with pytest.raises(NetworkError, match=f"no weights are published for {network.name}"):
            check_transfer(network, published)
