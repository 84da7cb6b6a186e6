from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bakeoff.catalog.networks.layers import AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import (
    CNN,
    MLP,
    NETWORKS,
    AlexNet,
    Layers,
    LeNet,
    ModNet1,
    ModNet2,
    NetworkChoice,
    OutsideNetwork,
    expand,
)
from bakeoff.catalog.networks.outside import OUTSIDE_NAMES, TORCHVISION_NAMES
from bakeoff.errors import NetworkError, UnknownNetworkError

CHOICE: TypeAdapter[Any] = TypeAdapter(NetworkChoice)
NAMED = [record for record in NETWORKS if record.name != "layers"]
MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


def conv(filters: int, kernel: int, padding: Any, activation: Any) -> Conv:
    return Conv(filters=filters, kernel=kernel, padding=padding, activation=activation)


LENET_BODY: tuple[AnyLayer, ...] = (
    conv(6, 5, "valid", "tanh"),
    Pool(kind="average", size=2),
    conv(16, 5, "valid", "tanh"),
    Pool(kind="average", size=2),
    Dense(units=120, activation="tanh"),
)
MODNET1_BODY: tuple[AnyLayer, ...] = (
    conv(32, 3, "valid", "relu"),
    Pool(kind="max", size=2),
    conv(64, 3, "valid", "relu"),
    Pool(kind="max", size=2),
    conv(128, 3, "valid", "relu"),
    Pool(kind="max", size=2),
    Dense(units=256, activation="relu"),
    Dropout(rate=0.5),
)
MODNET2_BODY: tuple[AnyLayer, ...] = (
    conv(64, 3, "same", "relu"),
    conv(64, 3, "valid", "relu"),
    Pool(kind="max", size=2),
    Dropout(rate=0.5),
    conv(128, 3, "same", "relu"),
    conv(128, 3, "valid", "relu"),
    Pool(kind="max", size=2),
    Dropout(rate=0.5),
    Dense(units=512, activation="relu"),
    Dropout(rate=0.5),
)


@pytest.mark.parametrize("num_classes", [10, 36, 99])
def test_the_published_networks_below_100_classes(num_classes: int) -> None:
    head = Dense(units=num_classes, activation="linear")
    assert expand(LeNet(), MNIST, num_classes) == (*LENET_BODY, Dense(units=84, activation="tanh"), head)
    second_hidden = (Dense(units=128, activation="relu"), Dropout(rate=0.5))
    assert expand(ModNet1(), MNIST, num_classes) == (*MODNET1_BODY, *second_hidden, head)
    assert expand(ModNet2(), MNIST, num_classes) == (*MODNET2_BODY, head)


@pytest.mark.parametrize("num_classes", [100, 200])
def test_the_published_networks_from_100_classes_on(num_classes: int) -> None:
    head = Dense(units=num_classes, activation="linear")
    assert expand(LeNet(), CIFAR, num_classes) == (*LENET_BODY, head)
    assert expand(ModNet1(), CIFAR, num_classes) == (*MODNET1_BODY, head)
    assert expand(ModNet2(), CIFAR, num_classes) == (*MODNET2_BODY, head)


def test_units_given_are_units_taken_however_many_classes() -> None:
    for num_classes in (10, 100):
        layers = expand(LeNet(units=(30, 20)), CIFAR, num_classes)
        assert [layer.units for layer in layers if isinstance(layer, Dense)] == [30, 20, num_classes]
        layers = expand(ModNet1(units=()), CIFAR, num_classes)
        assert [layer.units for layer in layers if isinstance(layer, Dense)] == [num_classes]


def test_mlp_and_cnn() -> None:
    head = Dense(units=10)
    assert expand(MLP(), MNIST, 10) == (
        Dense(units=256, activation="relu"),
        Dense(units=128, activation="relu"),
        head,
    )
    assert expand(MLP(units=()), MNIST, 10) == (head,)
    assert expand(CNN(filters=(4,), kernel=5, units=(8,), activation="tanh", dropout=0.1), MNIST, 10) == (
        conv(4, 5, "same", "tanh"),
        Pool(kind="max", size=2),
        Dropout(rate=0.1),
        Dense(units=8, activation="tanh"),
        Dropout(rate=0.1),
        head,
    )


def test_lenet_takes_a_size_for_small_images() -> None:
    with pytest.raises(NetworkError, match=r"^lenet on 8x8x1 .*layer 3 .* 2x2x6"):
        expand(LeNet(), (8, 8, 1), 10)
    layers = expand(CHOICE.validate_python({"name": "lenet", "kernel": 3, "padding": "same"}), (8, 8, 1), 10)
    assert layers[0] == conv(6, 3, "same", "tanh")


@pytest.mark.parametrize("record", NAMED, ids=lambda record: record.name)
def test_every_named_network_keeps_the_contract(record: Any) -> None:
    """It has a summary and a source, is called by its bare name, fits the usual images and ends in the head."""
    assert record.summary
    assert record.source
    network = CHOICE.validate_python(record.name)
    assert network == record.settings()
    assert CHOICE.validate_python(network.model_dump(mode="json")) == network
    assert hash(network) == hash(record.settings())
    for shape in (MNIST, CIFAR, (28, 28, 3), (32, 32, 1)):
        for num_classes in (2, 10, 100):
            assert expand(network, shape, num_classes)[-1] == Dense(units=num_classes, activation="linear")


@pytest.mark.parametrize("record", NAMED, ids=lambda record: record.name)
def test_every_named_network_takes_activation_and_dropout(record: Any) -> None:
    without = expand(record.settings(dropout=0.0, activation="elu"), CIFAR, 10)
    dropped = expand(record.settings(dropout=0.3, activation="elu"), CIFAR, 10)
    assert not any(isinstance(layer, Dropout) for layer in without)
    assert tuple(layer for layer in dropped if not isinstance(layer, Dropout)) == without
    assert {layer.rate for layer in dropped if isinstance(layer, Dropout)} == {0.3}
    if record.name == "resnet":  # its activations follow batch normalization
        without = tuple(layer for layer in without if not isinstance(layer, Conv))
    assert {layer.activation for layer in without[:-1] if hasattr(layer, "activation")} == {"elu"}


def test_the_registry_agrees_with_the_union() -> None:
    assert tuple(record.settings.model_fields["name"].default for record in NETWORKS) == NETWORKS.names
    assert NETWORKS.find("modnet2").settings is ModNet2
    with pytest.raises(NetworkError, match=r"'modnet3'.* lenet, .* 'modnet"):
        NETWORKS.find("modnet3", UnknownNetworkError)


class TestLayersSpelledOut:
    GIVEN = ({"type": "conv", "filters": 3, "kernel": 3}, "pool", {"type": "dense", "units": 5, "activation": "relu"})

    @pytest.mark.parametrize("extra", [{}, {"name": "layers"}])
    def test_the_name_may_be_left_out(self, extra: dict[str, str]) -> None:
        network = CHOICE.validate_python({**extra, "layers": self.GIVEN})
        assert network == Layers(layers=(Conv(filters=3, kernel=3), Pool(), Dense(units=5, activation="relu")))

    def test_the_head_is_added_only_where_missing(self) -> None:
        body = Layers(layers=self.GIVEN)  # type: ignore[arg-type]
        complete = Layers(layers=(*body.layers, Dense(units=10)))
        assert expand(body, MNIST, 10) == expand(complete, MNIST, 10) == (*body.layers, Dense(units=10))
        assert expand(complete, MNIST, 11) == (*body.layers, Dense(units=10), Dense(units=11))

    def test_every_wrong_layer_is_reported_and_nothing_else(self) -> None:
        wrong = [{"type": "cnv"}, {"type": "conv", "filters": 0, "kernel": 3}, "pool", 5]
        with pytest.raises(ValidationError) as caught:
            CHOICE.validate_python({"layers": wrong})
        assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [
            ("unknown_name", ("layers", "layers", 0)),
            ("greater_than_equal", ("layers", "layers", 1, "conv", "filters")),
            ("unknown_name", ("layers", "layers", 3)),
        ]

    def test_an_impossible_layer_is_named_with_its_network(self) -> None:
        with pytest.raises(NetworkError, match=r"^layers on 28x28x1 .*layer 1 \(conv, kernel 40"):
            expand(Layers(layers=(Conv(filters=1, kernel=40),)), MNIST, 10)


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ("lenett", [("unknown_name", ())]),
        ("LeNet", [("unknown_name", ())]),
        ({"filters": [6, 16]}, [("unknown_name", ())]),
        (None, [("unknown_name", ())]),
        ({"name": "layers"}, [("missing", ("layers", "layers"))]),
        ({"layers": []}, [("too_short", ("layers", "layers"))]),
        ({"name": "cnn", "filters": []}, [("too_short", ("cnn", "filters"))]),
        ({"name": "cnn", "filters": ["many"]}, [("int_type", ("cnn", "filters", 0))]),
        ({"name": "lenet", "filters": [6]}, [("missing", ("lenet", "filters", 1))]),
        ({"name": "lenet", "filters": [6, 16, 32]}, [("too_long", ("lenet", "filters"))]),
        ({"name": "modnet1", "dropout": 1.0}, [("less_than", ("modnet1", "dropout"))]),
        ({"name": "mlp", "units": [0]}, [("greater_than_equal", ("mlp", "units", 0))]),
        (
            {"name": "modnet2", "kernal": 3, "activation": "rellu"},
            [("unknown_name", ("modnet2", "activation")), ("extra_forbidden", ("modnet2", "kernal"))],
        ),
    ],
)
def test_errors_concern_one_network_only(given: object, errors: list[tuple[str, tuple[str | int, ...]]]) -> None:
    with pytest.raises(ValidationError) as caught:
        CHOICE.validate_python(given)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == errors


def test_an_unknown_network_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValidationError) as caught:
        CHOICE.validate_python("lenett")
    (error,) = caught.value.errors()
    assert "'lenett'" in error["msg"]
    assert ", ".join((*NETWORKS.names, *OUTSIDE_NAMES)) in error["msg"]
    assert error["msg"].endswith("'lenet'?")
    assert error["ctx"]["allowed"] == [*NETWORKS.names, *OUTSIDE_NAMES]


@pytest.mark.parametrize("name", [*TORCHVISION_NAMES, "timm:resnet18.a1_in1k", "package.module:Class"])
def test_outside_networks_are_told_by_their_colon(name: str) -> None:
    network = CHOICE.validate_python(name)
    assert network == OutsideNetwork(name=name) == CHOICE.validate_python({"name": name})
    assert CHOICE.validate_python(network.model_dump(mode="json")) == network
    assert CHOICE.validate_python({"name": name, "units": [8]}).units == (8,)
    with pytest.raises(NetworkError, match="another library"):
        expand(network, CIFAR, 10)


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ("torchvision:resnet19", [("unknown_name", ())]),
        ("my module:Class", [("unknown_name", ())]),
        ({"name": "torchvision:resnet18", "width": 2}, [("extra_forbidden", ("outside", "width"))]),
        ({"name": "timm:resnet18", "dropout": 1.0}, [("less_than", ("outside", "dropout"))]),
    ],
)
def test_errors_of_outside_networks(given: object, errors: list[tuple[str, tuple[str | int, ...]]]) -> None:
    with pytest.raises(ValidationError) as caught:
        CHOICE.validate_python(given)
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == errors


def test_a_setting_of_a_deep_network_may_be_given_by_name() -> None:
    network = CHOICE.validate_python({"name": "alexnet", "dropout": 0.3, "activation": "tanh"})
    assert network == AlexNet(dropout=0.3, activation="tanh")


def test_the_schema_allows_bare_names_and_explains_every_field() -> None:
    schema = CHOICE.json_schema()
    bare = [option["enum"] for option in schema["anyOf"] if "enum" in option]
    assert bare == [[record.name for record in NAMED]]
    definitions = schema["$defs"]
    assert definitions["LeNet"]["required"] == ["name"]
    assert definitions["Layers"]["required"] == ["layers"]
    for record in NETWORKS:
        fields = definitions[record.settings.__name__]["properties"]
        assert all(field["description"] for name, field in fields.items() if name != "name")
