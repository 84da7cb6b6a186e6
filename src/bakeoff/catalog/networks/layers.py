"""Layers as records, in a study file and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from bakeoff.catalog.choices import (
    NOT_EMPTY,
    Count,
    Extent,
    Padding,
    PoolKind,
    Rate,
    Record,
    check_name,
    collect_names,
    expand_name,
)


@dataclass(frozen=True)
class ActivationRecord:
    """An activation function.

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
    ActivationRecord("elu", "x if positive, else exp(x) - 1"),
    ActivationRecord("gelu", "x * Phi(x), with Phi the normal distribution function"),
    ActivationRecord("leaky_relu", "x if positive, else 0.01 x"),
)

ActivationName = Literal["linear", "relu", "tanh", "sigmoid", "swish", "elu", "gelu", "leaky_relu"]

Activation: TypeAlias = Annotated[
    ActivationName,
    BeforeValidator(
        partial(check_name, kind="activation", allowed=collect_names(ACTIVATIONS)),
        json_schema_input_type=ActivationName,
    ),
]


_BIAS = "Whether the layer has a bias; it has no effect before batch normalization."


class Conv(Record):
    """A two-dimensional convolution, then an activation.

    `same` padding gives `ceil(size / stride)` outputs; if the zeros cannot be equal on both sides, the extra one comes
    after (below, right), as in Keras.
    """

    type: Literal["conv"] = "conv"
    filters: Count = Field(description="Number of output channels.")
    kernel: Extent = Field(description="Kernel size, in pixels; kernels are square.")
    stride: Extent = Field(default=1, description="Stride, in pixels.")
    padding: Padding = Field(
        default="valid", description="valid: no padding. same: zero padding that gives ceil(size / stride) outputs."
    )
    activation: Activation = Field(default="linear", description="Activation applied to the output.")
    bias: bool = Field(default=True, description=_BIAS)


class Pool(Record):
    """Pooling: the maximum or the average of each window, without its padding."""

    type: Literal["pool"] = "pool"
    kind: PoolKind = Field(default="max", description="max or average, over each window.")
    size: Extent = Field(default=2, description="Window size, in pixels; windows are square.")
    stride: Extent | None = Field(default=None, description="Stride, in pixels; null: the window size.")
    padding: Padding = Field(
        default="valid",
        description="valid: no padding; incomplete windows at the border are dropped. same: padding that gives "
        "ceil(size / stride) outputs.",
    )


class GlobalPool(Record):
    """Global pooling: the average or the maximum of each channel over the whole image."""

    type: Literal["global_pool"] = "global_pool"
    kind: PoolKind = Field(default="average", description="average or max, over the whole channel.")


class Dense(Record):
    """A fully connected layer, then an activation. Images are flattened first: channel, row, column."""

    type: Literal["dense"] = "dense"
    units: Count = Field(description="Number of outputs.")
    activation: Activation = Field(default="linear", description="Activation applied to the output.")
    bias: bool = Field(default=True, description=_BIAS)


class BatchNorm(Record):
    """Batch normalization, then an activation (Ioffe and Szegedy, 2015).

    In training a channel is normalized by its mean and variance over the batch and the image, in evaluation by their
    running averages. A batch with one value per channel has no variance, so it is normalized as in evaluation.
    """

    type: Literal["batch_norm"] = "batch_norm"
    momentum: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = Field(
        default=0.1,
        description="Weight of the newest batch in the running averages, above 0 and up to 1 (PyTorch's convention).",
    )
    epsilon: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = Field(
        default=1e-5, description="Added to the variance for numerical stability, above 0."
    )
    activation: Activation = Field(default="linear", description="Activation applied to the output.")
    scale: bool = Field(
        default=True, strict=True, description="Whether the scale (gamma) is trained; otherwise it stays 1."
    )
    shift_rate: Annotated[float, Field(strict=True, gt=0, le=10_000, allow_inf_nan=False)] = Field(
        default=1.0,
        description="Multiplies the learning rate of the shifts (beta) under SGD; their weight decay per step stays "
        "the same.",
    )

    @model_serializer(mode="wrap")
    def _omit_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit later fields at their defaults, so that trials from before they existed keep their identity."""
        dumped: dict[str, Any] = handler(self)
        for name, default in (("scale", True), ("shift_rate", 1.0)):
            if dumped.get(name) == default:
                del dumped[name]
        return dumped


class Scale(Record):
    """Multiplication by a constant; before the last layer it keeps the initial logits small."""

    type: Literal["scale"] = "scale"
    factor: Annotated[float, Field(strict=True, gt=0, le=1_000, allow_inf_nan=False)] = Field(
        description="The constant factor, above 0."
    )


class Whiten(Record):
    """A convolution with fixed filters that whiten the images' patches; its biases are trained.

    The filters are the eigenvectors of the covariance of the training images' patches, each divided by the root of its
    eigenvalue, and their negatives: 2 x channels x kernel^2 outputs, without padding. Must be the first layer.
    """

    type: Literal["whiten"] = "whiten"
    kernel: Extent = Field(default=2, description="Patch size, in pixels; patches are square.")
    epsilon: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = Field(
        default=5e-4,
        description="Added to the eigenvalues, above 0, so that directions of little variance are not amplified.",
    )
    activation: Activation = Field(default="linear", description="Activation applied to the output.")


class Dropout(Record):
    """Dropout: zeroes a random fraction of its inputs in training and scales up the rest; inactive in evaluation."""

    type: Literal["dropout"] = "dropout"
    rate: Rate = Field(description="Fraction of the inputs set to zero, from 0 up to but not including 1.")


PlainLayer: TypeAlias = Conv | Pool | GlobalPool | Dense | BatchNorm | Dropout | Scale

PLAIN_LAYER_TYPES: tuple[str, ...] = ("conv", "pool", "global_pool", "dense", "batch_norm", "dropout", "scale")

InnerLayer: TypeAlias = Annotated[
    Annotated[PlainLayer, Field(discriminator="type")],
    BeforeValidator(
        partial(expand_name, kind="layer type in a residual layer", allowed=PLAIN_LAYER_TYPES, tag="type"),
        json_schema_input_type=Annotated[PlainLayer, Field(discriminator="type")],
    ),
]
"""One layer inside a residual layer; these cannot be nested."""


class Residual(Record):
    """Layers whose output is added to their input, then an activation: activation(layers(x) + shortcut(x)).

    The shortcut is the input itself or, if the layers change an image's shape, a 1x1 convolution without biases and a
    batch normalization (He, Zhang, Ren and Sun, 2016, option B).
    """

    type: Literal["residual"] = "residual"
    layers: Annotated[tuple[InnerLayer, ...], NOT_EMPTY] = Field(
        max_length=1_000, description="The layers in order.", json_schema_extra={"minItems": 1}
    )
    activation: Activation = Field(default="relu", description="Activation applied to the sum.")


AnyLayer: TypeAlias = PlainLayer | Residual | Whiten

LAYER_TYPES: tuple[str, ...] = (*PLAIN_LAYER_TYPES, "residual", "whiten")

Layer: TypeAlias = Annotated[
    Annotated[AnyLayer, Field(discriminator="type")],
    BeforeValidator(
        partial(expand_name, kind="layer type", allowed=LAYER_TYPES, tag="type"),
        json_schema_input_type=Annotated[AnyLayer, Field(discriminator="type")],
    ),
]
"""One layer of a network: a mapping with its `type` in a study file, one of the records in Python."""
