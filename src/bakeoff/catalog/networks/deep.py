"""Deeper networks, adapted to images of about 28 to 64 pixels: settings records that expand to layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bakeoff.catalog.choices import MAX_COUNT, NOT_EMPTY, Count, Extent, Rate
from bakeoff.catalog.networks.classic import drop, stack_dense
from bakeoff.catalog.networks.layers import (
    Activation,
    ActivationName,
    AnyLayer,
    BatchNorm,
    Conv,
    GlobalPool,
    PlainLayer,
    Pool,
    Residual,
)
from bakeoff.catalog.networks.settings import LayerNetwork
from bakeoff.errors import NetworkFitError

Width = Annotated[float, Field(strict=True, gt=0, le=16, allow_inf_nan=False)]
"""A factor on a network's filters, above 0 up to 16."""

Stages = tuple[Count, Count, Count, Count, Count]

_MOST_BLOCKS = 1_000

_WIDTH = "Multiplies the number of filters everywhere (rounded); 0.5 takes about a quarter of the time."
_ACTIVATION = "Activation of every layer but the last."


def scale_filters(filters: Sequence[int], width: float) -> tuple[int, ...]:
    """Return each number of filters times `width`, rounded, at least 1.

    Raises:
        NetworkError: a number becomes too large for a layer.
    """
    scaled = tuple(max(1, round(count * width)) for count in filters)
    if max(scaled) > MAX_COUNT:
        raise NetworkFitError(
            f"{max(filters):,} filters times a width of {width:g} exceed the maximum of {MAX_COUNT:,} per layer: "
            "lower one of them."
        )
    return scaled


def _convolve(
    filters: int, kernel: int, activation: ActivationName, batch_norm: bool, stride: int = 1
) -> list[PlainLayer]:
    """Return a padded convolution, with or without batch normalization."""
    if not batch_norm:
        return [Conv(filters=filters, kernel=kernel, stride=stride, padding="same", activation=activation)]
    bare = Conv(filters=filters, kernel=kernel, stride=stride, padding="same", bias=False)
    return [bare, BatchNorm(activation=activation)]


class AlexNet(LayerNetwork):
    """AlexNet for small images: five convolutions, three overlapping max poolings, two dense layers with dropout.

    The filters are torchvision's. The 11x11 convolution with stride 4 is replaced by a 5x5 one with stride 2, the 5x5
    one by a 3x3 one, poolings are padded, and dense layers have 1,024 units instead of 4,096: images of 28 and 32
    pixels reach the dense layers as 2x2. With Glorot uniform and Adam at 0.001 it stayed at chance for hundreds of
    steps when measured; it learns with `initializer: {name: he_normal, where: everywhere}`, at 0.0003, or with batch
    normalization.
    """

    name: Literal["alexnet"] = "alexnet"
    filters: Stages = Field(default=(64, 192, 384, 256, 256), description="Filters of the five convolutions.")
    width: Width = Field(default=1.0, description=_WIDTH)
    kernel: Extent = Field(default=5, description="Kernel size of the first convolution, in pixels; the others use 3.")
    stride: Extent = Field(
        default=2,
        description="Stride of the first convolution, in pixels; 1 keeps finer detail at four times the cost.",
    )
    units: tuple[Count, ...] = Field(default=(1_024, 1_024), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description=_ACTIVATION)
    dropout: Rate = Field(default=0.5, description="Dropout rate after every hidden dense layer; 0: none.")
    batch_norm: bool = Field(default=False, description="Whether batch normalization follows every convolution.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        first, *others = scale_filters(self.filters, self.width)
        pool = Pool(size=3, stride=2, padding="same")
        layers: list[AnyLayer] = [*_convolve(first, self.kernel, self.activation, self.batch_norm, self.stride), pool]
        for number, filters in enumerate(others):
            layers += _convolve(filters, 3, self.activation, self.batch_norm)
            if number in (0, 3):
                layers.append(pool)
        return (*layers, *stack_dense(self.units, self.activation, self.dropout))


class _VGG(LayerNetwork):
    """The common part of both VGGs: stages of 3x3 convolutions, a pooling after each, then dense layers."""

    depths: ClassVar[tuple[int, ...]]
    """Convolutions of each stage."""

    name: str
    filters: Stages = Field(
        default=(64, 128, 256, 512, 512), description="Filters of the convolutions in each of the five stages."
    )
    width: Width = Field(default=1.0, description=_WIDTH)
    units: tuple[Count, ...] = Field(default=(512, 512), description="Units of the hidden dense layers.")
    activation: Activation = Field(default="relu", description=_ACTIVATION)
    dropout: Rate = Field(default=0.5, description="Dropout rate after every hidden dense layer; 0: none.")
    batch_norm: bool = Field(default=False, description="Whether batch normalization follows every convolution.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers."""
        layers: list[AnyLayer] = []
        for filters, depth in zip(scale_filters(self.filters, self.width), self.depths, strict=True):
            for _ in range(depth):
                layers += _convolve(filters, 3, self.activation, self.batch_norm)
            layers.append(Pool(padding="same"))
        return (*layers, *stack_dense(self.units, self.activation, self.dropout))


class VGG11(_VGG):
    """VGG-11 (configuration A) for small images: eight 3x3 convolutions in five stages, two dense layers with dropout.

    Dense layers have 512 units instead of 4,096, and poolings are padded: images of 28 and 32 pixels reach the dense
    layers as 1x1. Without batch normalization it needs `initializer: {name: he_normal, where: everywhere}`.
    """

    depths: ClassVar[tuple[int, ...]] = (1, 1, 2, 2, 2)

    name: Literal["vgg11"] = "vgg11"


class VGG16(_VGG):
    """VGG-16 (configuration D) for small images: thirteen 3x3 convolutions in five stages, two dense layers.

    Dense layers have 512 units instead of 4,096, and poolings are padded: images of 28 and 32 pixels reach the dense
    layers as 1x1. Without batch normalization it needs `initializer: {name: he_normal, where: everywhere}`.
    """

    depths: ClassVar[tuple[int, ...]] = (2, 2, 3, 3, 3)

    name: Literal["vgg16"] = "vgg16"


class ResNet(LayerNetwork):
    """A residual network as published for CIFAR-10, by default with 20 layers.

    A 3x3 convolution, then stages of blocks of two 3x3 convolutions, each with batch normalization; every stage but
    the first begins with stride 2. The average over the image goes to the last layer. If a block changes the shape, its
    shortcut is a 1x1 convolution (the paper's option B; on CIFAR-10 it used option A).
    """

    name: Literal["resnet"] = "resnet"
    blocks: Annotated[tuple[Count, ...], NOT_EMPTY] = Field(
        default=(3, 3, 3), description="Number of residual blocks in each stage.", json_schema_extra={"minItems": 1}
    )
    filters: Annotated[tuple[Count, ...], NOT_EMPTY] = Field(
        default=(16, 32, 64),
        description="Filters of the convolutions in each stage.",
        json_schema_extra={"minItems": 1},
    )
    width: Width = Field(default=1.0, description=_WIDTH)
    activation: Activation = Field(default="relu", description="Activation of every layer but the last.")
    dropout: Rate = Field(default=0.0, description="Dropout rate before the last layer; 0: none.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the hidden layers.

        Raises:
            NetworkError: stages and filters do not match, or there are more than 1,000 blocks.
        """
        if len(self.blocks) != len(self.filters):
            raise NetworkFitError(
                f"blocks has {len(self.blocks)} stages, but filters has {len(self.filters)}: give both the same number."
            )
        if sum(self.blocks) > _MOST_BLOCKS:
            raise NetworkFitError(f"{sum(self.blocks):,} blocks, allowed {_MOST_BLOCKS:,}.")
        stages = scale_filters(self.filters, self.width)
        layers: list[AnyLayer] = [*_convolve(stages[0], 3, self.activation, batch_norm=True)]
        for stage, (filters, num_blocks) in enumerate(zip(stages, self.blocks, strict=True)):
            for block in range(num_blocks):
                layers.append(_make_block(filters, 2 if stage and not block else 1, self.activation))
        return (*layers, GlobalPool(), *drop(self.dropout))


def _make_block(filters: int, stride: int, activation: ActivationName) -> Residual:
    first = _convolve(filters, 3, activation, batch_norm=True, stride=stride)
    second = _convolve(filters, 3, "linear", batch_norm=True)
    return Residual(layers=(*first, *second), activation=activation)
