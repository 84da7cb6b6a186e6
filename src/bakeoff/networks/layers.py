"""Layers as records: what a network is made of, in a study file and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from bakeoff.networks.choices import (
    Count,
    Extent,
    Padding,
    PoolKind,
    Rate,
    Record,
    check_name,
    collect_names,
    spell_out,
)


@dataclass(frozen=True)
class ActivationRecord:
    """One activation that a layer may apply to its output.

    Attributes:
        name: as written in a study file.
        summary: its formula, in one line.
    """

    name: str
    summary: str


ACTIVATIONS: tuple[ActivationRecord, ...] = (
    ActivationRecord("linear", "x, no activation"),
    ActivationRecord("relu", "max(x, 0)"),
    ActivationRecord("tanh", "hyperbolic tangent of x"),
    ActivationRecord("sigmoid", "1 / (1 + exp(-x))"),
    ActivationRecord("swish", "x * sigmoid(x), also called SiLU"),
    ActivationRecord("elu", "x where positive, exp(x) - 1 elsewhere"),
    ActivationRecord("gelu", "x * Phi(x), with Phi the normal distribution function"),
    ActivationRecord("leaky_relu", "x where positive, 0.01 x elsewhere"),
)

ActivationName = Literal["linear", "relu", "tanh", "sigmoid", "swish", "elu", "gelu", "leaky_relu"]

Activation: TypeAlias = Annotated[
    ActivationName,
    BeforeValidator(
        partial(check_name, kind="activation", allowed=collect_names(ACTIVATIONS)),
        json_schema_input_type=ActivationName,
    ),
]


class Conv(Record):
    """A two-dimensional convolution with biases, then an activation.

    `same` padding gives `ceil(size / stride)` outputs; where the zeros around the image cannot be equal on both
    sides, the extra one comes after (below, right), as in Keras.
    """

    type: Literal["conv"] = "conv"
    filters: Count = Field(description="Number of output channels.")
    kernel: Extent = Field(description="Side of the square kernel, in pixels.")
    stride: Extent = Field(default=1, description="Step between neighbouring outputs, in pixels.")
    padding: Padding = Field(
        default="valid", description="valid: no zeros around the image. same: ceil(size / stride) outputs."
    )
    activation: Activation = Field(default="linear", description="Applied to every output.")


class Pool(Record):
    """The maximum or the average of every window; windows that would reach past the image are left out."""

    type: Literal["pool"] = "pool"
    kind: PoolKind = Field(default="max", description="What is taken of a window.")
    size: Extent = Field(default=2, description="Side of the square window, in pixels.")
    stride: Extent | None = Field(
        default=None, description="Step between neighbouring windows, in pixels; by default the window's side."
    )


class Dense(Record):
    """A fully connected layer with biases, then an activation. Images are flattened first: channel, row, column."""

    type: Literal["dense"] = "dense"
    units: Count = Field(description="Number of outputs.")
    activation: Activation = Field(default="linear", description="Applied to every output.")


class Dropout(Record):
    """Sets a random share of its inputs to zero in training and scales up the rest; does nothing in evaluation."""

    type: Literal["dropout"] = "dropout"
    rate: Rate = Field(description="Share of the inputs set to zero, from 0 up to, not including, 1.")


LAYER_TYPES: tuple[str, ...] = ("conv", "pool", "dense", "dropout")

AnyLayer: TypeAlias = Conv | Pool | Dense | Dropout

Layer: TypeAlias = Annotated[
    Annotated[AnyLayer, Field(discriminator="type")],
    BeforeValidator(
        partial(spell_out, kind="layer type", allowed=LAYER_TYPES, tag="type"),
        json_schema_input_type=Annotated[AnyLayer, Field(discriminator="type")],
    ),
]
"""One layer of a network: a mapping with its `type` in a study file, one of the four records in Python."""
