"""Networks that have a name, each a settings record that expands to layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field

from bakeoff.errors import NetworkError
from bakeoff.networks.choices import (
    NOT_EMPTY,
    Count,
    Extent,
    Padding,
    PoolKind,
    Rate,
    Record,
    collect_names,
    find_record,
    spell_out,
)
from bakeoff.networks.layers import Activation, ActivationName, AnyLayer, Conv, Dense, Dropout, Layer, Pool
from bakeoff.networks.shapes import Shape, format_shape, trace

MANY_CLASSES = 100
"""From this many classes on, LeNet and ModNet1 leave out their last hidden layer, as published for CIFAR-100."""


def _drop(rate: float) -> list[AnyLayer]:
    return [Dropout(rate=rate)] if rate else []


def _stack_dense(units: tuple[int, ...], activation: ActivationName, dropout: float) -> list[AnyLayer]:
    """Return hidden dense layers, each followed by dropout unless its rate is zero."""
    layers: list[AnyLayer] = []
    for count in units:
        layers += [Dense(units=count, activation=activation), *_drop(dropout)]
    return layers


class LeNet(Record):
    """LeNet-5 in its common modern form: two convolutions with average pooling, then dense layers."""

    name: Literal["lenet"] = "lenet"
    filters: tuple[Count, Count] = Field(default=(6, 16), description="Filters of the two convolutions.")
    kernel: Extent = Field(default=5, description="Side of both kernels, in pixels.")
    padding: Padding = Field(default="valid", description="Padding of both convolutions; same suits small images.")
    pool: PoolKind = Field(default="average", description="Kind of both 2x2 poolings.")
    units: tuple[Count, ...] | None = Field(
        default=None,
        description="Units of the hidden dense layers. By default 120, 84; only 120 at 100 classes or more.",
    )
    activation: Activation = Field(default="tanh", description="Of every layer but the last.")
    dropout: Rate = Field(default=0.0, description="Dropout after every hidden dense layer; 0 adds none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers.append(Pool(kind=self.pool))
        published = (120,) if num_classes >= MANY_CLASSES else (120, 84)
        units = published if self.units is None else self.units
        return (*layers, *_stack_dense(units, self.activation, self.dropout))


class ModNet1(Record):
    """Three times (convolution, max pooling), then dense layers with dropout."""

    name: Literal["modnet1"] = "modnet1"
    filters: tuple[Count, Count, Count] = Field(default=(32, 64, 128), description="Filters of the three convolutions.")
    kernel: Extent = Field(default=3, description="Side of all kernels, in pixels.")
    padding: Padding = Field(default="valid", description="Padding of all convolutions; same suits small images.")
    units: tuple[Count, ...] | None = Field(
        default=None,
        description="Units of the hidden dense layers. By default 256, 128; only 256 at 100 classes or more.",
    )
    activation: Activation = Field(default="relu", description="Of every layer but the last.")
    dropout: Rate = Field(default=0.5, description="Dropout after every hidden dense layer; 0 adds none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers.append(Pool())
        published = (256,) if num_classes >= MANY_CLASSES else (256, 128)
        units = published if self.units is None else self.units
        return (*layers, *_stack_dense(units, self.activation, self.dropout))


class ModNet2(Record):
    """Twice (two convolutions, the first padded; max pooling; dropout), then a dense layer with dropout."""

    name: Literal["modnet2"] = "modnet2"
    filters: tuple[Count, Count, Count, Count] = Field(
        default=(64, 64, 128, 128), description="Filters of the four convolutions."
    )
    kernel: Extent = Field(default=3, description="Side of all kernels, in pixels.")
    units: tuple[Count, ...] = Field(default=(512,), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description="Of every layer but the last.")
    dropout: Rate = Field(
        default=0.5, description="Dropout after both poolings and every hidden dense layer; 0 adds none."
    )

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for first, second in (self.filters[:2], self.filters[2:]):
            layers.append(Conv(filters=first, kernel=self.kernel, padding="same", activation=self.activation))
            layers.append(Conv(filters=second, kernel=self.kernel, padding="valid", activation=self.activation))
            layers += [Pool(), *_drop(self.dropout)]
        return (*layers, *_stack_dense(self.units, self.activation, self.dropout))


class MLP(Record):
    """A multilayer perceptron: dense layers only."""

    name: Literal["mlp"] = "mlp"
    units: tuple[Count, ...] = Field(
        default=(256, 128), description="Units of the hidden layers; none makes a softmax regression."
    )
    activation: Activation = Field(default="relu", description="Of every hidden layer.")
    dropout: Rate = Field(default=0.0, description="Dropout after every hidden layer; 0 adds none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        return tuple(_stack_dense(self.units, self.activation, self.dropout))


class CNN(Record):
    """Any number of (convolution, max pooling, dropout), then dense layers with dropout."""

    name: Literal["cnn"] = "cnn"
    filters: Annotated[tuple[Count, ...], NOT_EMPTY] = Field(
        default=(32, 64),
        description="Filters of the convolutions, each followed by a 2x2 max pooling.",
        json_schema_extra={"minItems": 1},
    )
    kernel: Extent = Field(default=3, description="Side of all kernels, in pixels.")
    padding: Padding = Field(default="same", description="Padding of all convolutions.")
    units: tuple[Count, ...] = Field(default=(128,), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description="Of every layer but the last.")
    dropout: Rate = Field(default=0.25, description="Dropout after every pooling and hidden dense layer; 0 adds none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers += [Pool(), *_drop(self.dropout)]
        return (*layers, *_stack_dense(self.units, self.activation, self.dropout))


class Layers(Record):
    """A network spelled out layer by layer; `network: {layers: [...]}` needs no name."""

    model_config = ConfigDict(json_schema_extra=None)

    name: Literal["layers"] = "layers"
    layers: Annotated[tuple[Layer, ...], NOT_EMPTY] = Field(
        max_length=1_000,
        description="The layers, first to last. A last dense layer with one output a class is added where missing.",
        json_schema_extra={"minItems": 1},
    )

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the layers as they stand, less a last one that is the head already."""
        head = Dense(units=num_classes)
        return self.layers[:-1] if self.layers[-1] == head else self.layers


AnyNetwork: TypeAlias = LeNet | ModNet1 | ModNet2 | MLP | CNN | Layers


@dataclass(frozen=True)
class NetworkRecord:
    """One network that a study can name.

    Attributes:
        name: as written in a study file.
        summary: what it is, in one line.
        source: where it was published.
        settings: the record that holds its settings.
    """

    name: str
    summary: str
    source: str
    settings: type[AnyNetwork]


NETWORKS: tuple[NetworkRecord, ...] = (
    NetworkRecord(
        "lenet",
        "two 5x5 convolutions with average pooling, tanh",
        "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition",
        LeNet,
    ),
    NetworkRecord("modnet1", "three 3x3 convolutions with max pooling, ReLU, dropout", "weight-init study", ModNet1),
    NetworkRecord("modnet2", "four 3x3 convolutions in two pairs, ReLU, dropout", "weight-init study", ModNet2),
    NetworkRecord("mlp", "dense layers only", "Rumelhart, Hinton and Williams (1986)", MLP),
    NetworkRecord("cnn", "convolutions with max pooling, as many as filters are given", "common practice", CNN),
    NetworkRecord("layers", "spelled out layer by layer in the study", "the study file", Layers),
)

NETWORK_NAMES: tuple[str, ...] = collect_names(NETWORKS)

_Tagged: TypeAlias = Annotated[AnyNetwork, Field(discriminator="name")]


def _spell_out_network(value: object) -> object:
    if isinstance(value, Mapping) and "name" not in value and "layers" in value:
        return {"name": "layers", **value}
    return spell_out(value, kind="network", allowed=NETWORK_NAMES)


NetworkChoice: TypeAlias = Annotated[
    _Tagged,
    BeforeValidator(
        _spell_out_network,
        json_schema_input_type=Literal["lenet", "modnet1", "modnet2", "mlp", "cnn"] | _Tagged,
    ),
]
"""A network in a recipe: a bare name, a mapping of a name and settings, `{layers: [...]}`, or one of the records."""


def find_network(name: str) -> NetworkRecord:
    """Return the network of this name.

    Raises:
        NetworkError: when there is none; lists the names and the nearest one.
    """
    return find_record(name, kind="network", records=NETWORKS)


def expand(network: AnyNetwork, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Spell a network out for these images and classes.

    Args:
        network: a network's settings.
        image_shape_HWC: height, width, channels of the images.
        num_classes: how many classes the last layer tells apart.

    Returns:
        Every layer, ending in a linear dense layer of `num_classes` units. They fit the images.

    Raises:
        NetworkError: when a layer does not fit what reaches it.
    """
    layers = (*network.expand(num_classes), Dense(units=num_classes))
    try:
        trace(layers, image_shape_HWC)
    except NetworkError as error:
        raise NetworkError(f"{network.name} on {format_shape(image_shape_HWC)} images: {error}") from None
    return layers
