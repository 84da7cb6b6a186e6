"""The classic networks: settings records that expand to layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from bakeoff.catalog.choices import NOT_EMPTY, Count, Extent, Padding, PoolKind, Rate
from bakeoff.catalog.networks.layers import Activation, ActivationName, AnyLayer, Conv, Dense, Dropout, Layer, Pool
from bakeoff.catalog.networks.settings import LayerNetwork

MANY_CLASSES = 100
"""With at least this many classes, LeNet and ModNet1 have no last hidden layer, as published for CIFAR-100."""


def drop(rate: float) -> list[AnyLayer]:
    """Return a dropout layer, or none if its rate is zero."""
    return [Dropout(rate=rate)] if rate else []


def stack_dense(units: tuple[int, ...], activation: ActivationName, dropout: float) -> list[AnyLayer]:
    """Return hidden dense layers, each followed by dropout unless its rate is zero."""
    layers: list[AnyLayer] = []
    for count in units:
        layers += [Dense(units=count, activation=activation), *drop(dropout)]
    return layers


class LeNet(LayerNetwork):
    """LeNet-5 in its common modern form: two convolutions with average pooling, then dense layers."""

    name: Literal["lenet"] = "lenet"
    filters: tuple[Count, Count] = Field(default=(6, 16), description="Filters of the two convolutions.")
    kernel: Extent = Field(default=5, description="Kernel size of both convolutions, in pixels.")
    padding: Padding = Field(default="valid", description="Padding of both convolutions; use same for small images.")
    pool: PoolKind = Field(default="average", description="max or average, for both 2x2 pooling layers.")
    units: tuple[Count, ...] | None = Field(
        default=None,
        description="Units of the hidden dense layers; null: 120 and 84, or 120 alone with 100 classes or more.",
    )
    activation: Activation = Field(default="tanh", description="Activation of every layer but the last.")
    dropout: Rate = Field(default=0.0, description="Dropout rate after every hidden dense layer; 0: none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers.append(Pool(kind=self.pool))
        published = (120,) if num_classes >= MANY_CLASSES else (120, 84)
        units = published if self.units is None else self.units
        return (*layers, *stack_dense(units, self.activation, self.dropout))


class ModNet1(LayerNetwork):
    """Three times (convolution, max pooling), then dense layers with dropout."""

    name: Literal["modnet1"] = "modnet1"
    filters: tuple[Count, Count, Count] = Field(default=(32, 64, 128), description="Filters of the three convolutions.")
    kernel: Extent = Field(default=3, description="Kernel size of all convolutions, in pixels.")
    padding: Padding = Field(default="valid", description="Padding of all convolutions; use same for small images.")
    units: tuple[Count, ...] | None = Field(
        default=None,
        description="Units of the hidden dense layers; null: 256 and 128, or 256 alone with 100 classes or more.",
    )
    activation: Activation = Field(default="relu", description="Activation of every layer but the last.")
    dropout: Rate = Field(default=0.5, description="Dropout rate after every hidden dense layer; 0: none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers.append(Pool())
        published = (256,) if num_classes >= MANY_CLASSES else (256, 128)
        units = published if self.units is None else self.units
        return (*layers, *stack_dense(units, self.activation, self.dropout))


class ModNet2(LayerNetwork):
    """Twice (two convolutions, the first padded; max pooling; dropout), then a dense layer with dropout."""

    name: Literal["modnet2"] = "modnet2"
    filters: tuple[Count, Count, Count, Count] = Field(
        default=(64, 64, 128, 128), description="Filters of the four convolutions."
    )
    kernel: Extent = Field(default=3, description="Kernel size of all convolutions, in pixels.")
    units: tuple[Count, ...] = Field(default=(512,), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description="Activation of every layer but the last.")
    dropout: Rate = Field(
        default=0.5, description="Dropout rate after both pooling layers and every hidden dense layer; 0: none."
    )

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for first, second in (self.filters[:2], self.filters[2:]):
            layers.append(Conv(filters=first, kernel=self.kernel, padding="same", activation=self.activation))
            layers.append(Conv(filters=second, kernel=self.kernel, padding="valid", activation=self.activation))
            layers += [Pool(), *drop(self.dropout)]
        return (*layers, *stack_dense(self.units, self.activation, self.dropout))


class MLP(LayerNetwork):
    """A multilayer perceptron: dense layers only."""

    name: Literal["mlp"] = "mlp"
    units: tuple[Count, ...] = Field(
        default=(256, 128), description="Units of the hidden dense layers; an empty list is softmax regression."
    )
    activation: Activation = Field(default="relu", description="Activation of every layer but the last.")
    dropout: Rate = Field(default=0.0, description="Dropout rate after every hidden dense layer; 0: none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        return tuple(stack_dense(self.units, self.activation, self.dropout))


class CNN(LayerNetwork):
    """Any number of (convolution, max pooling, dropout), then dense layers with dropout."""

    name: Literal["cnn"] = "cnn"
    filters: Annotated[tuple[Count, ...], NOT_EMPTY] = Field(
        default=(32, 64),
        description="Filters of each convolution; 2x2 max pooling follows each.",
        json_schema_extra={"minItems": 1},
    )
    kernel: Extent = Field(default=3, description="Kernel size of all convolutions, in pixels.")
    padding: Padding = Field(default="same", description="Padding of all convolutions.")
    units: tuple[Count, ...] = Field(default=(128,), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description="Activation of every layer but the last.")
    dropout: Rate = Field(
        default=0.25, description="Dropout rate after every pooling layer and hidden dense layer; 0: none."
    )

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters in self.filters:
            layers.append(Conv(filters=filters, kernel=self.kernel, padding=self.padding, activation=self.activation))
            layers += [Pool(), *drop(self.dropout)]
        return (*layers, *stack_dense(self.units, self.activation, self.dropout))


class Layers(LayerNetwork):
    """A network defined layer by layer; `network: {layers: [...]}` needs no name."""

    model_config = ConfigDict(json_schema_extra=None)

    name: Literal["layers"] = "layers"
    layers: Annotated[tuple[Layer, ...], NOT_EMPTY] = Field(
        max_length=1_000,
        description="The layers in order. A final dense layer with one output per class is added if it is missing.",
        json_schema_extra={"minItems": 1},
    )

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the layers, without a last one that already is the output layer."""
        head = Dense(units=num_classes)
        return self.layers[:-1] if self.layers[-1] == head else self.layers
