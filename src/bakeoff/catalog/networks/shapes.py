"""Shapes of the activations in a network, and the cost of its layers.

Shapes are `(height, width, channels)` for images, and `(units,)` after flattening.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bakeoff.catalog.choices import Padding
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, GlobalPool, Pool, Residual, Whiten
from bakeoff.errors import NetworkError, NetworkFitError

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class LayerShape:
    """One layer with its input and output shape.

    Attributes:
        layer: the layer's record.
        input_shape: `(height, width, channels)` or `(units,)`.
        output_shape: likewise.
        num_parameters: trained weights and biases.
        num_multiply_adds: multiplications (each with its addition) of one forward pass of one image; biases,
            activations, normalization and pooling are not counted.
        inner: the layers inside a residual one.
        shortcut: the convolution and the normalization on its shortcut, if any.
    """

    layer: AnyLayer
    input_shape: Shape
    output_shape: Shape
    num_parameters: int = 0
    num_multiply_adds: int = 0
    inner: tuple[LayerShape, ...] = ()
    shortcut: tuple[LayerShape, ...] = ()


def trace(layers: Sequence[AnyLayer], image_shape_HWC: Shape) -> tuple[LayerShape, ...]:
    """Trace an image's shape through the layers.

    Args:
        layers: a network, first layer first.
        image_shape_HWC: height, width, channels of the images.

    Returns:
        One record per layer, in the same order.

    Raises:
        NetworkError: a layer does not fit its input; names the layer (counted from 1) and its input.
    """
    return _trace_all(layers, tuple(image_shape_HWC), "")


def format_shape(shape: Shape) -> str:
    """Format a shape like `28x28x1`."""
    return "x".join(str(size) for size in shape)


def pad_same(size: int, kernel: int, stride: int = 1) -> tuple[int, int]:
    """Return how many zeros `same` padding adds before and after a side.

    Args:
        size: the image's height or width, in pixels.
        kernel: the kernel's side, in pixels.
        stride: step between neighbouring outputs, in pixels.

    Returns:
        Zeros before and after, for `ceil(size / stride)` outputs. An odd one is added after, as in Keras.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def find_shortcut_stride(size: tuple[int, int], result: tuple[int, int]) -> int | None:
    """Return the stride of a 1x1 convolution that reduces height and width from `size` to `result`, if there is one.

    >>> find_shortcut_stride((28, 28), (14, 14))
    2
    """
    stride = math.ceil(size[0] / result[0])
    fits = all(math.ceil(before / stride) == after for before, after in zip(size, result, strict=True))
    return stride if fits else None


def make_shortcut(filters: int, stride: int) -> tuple[Conv, BatchNorm]:
    """Return the layers on a residual layer's shortcut if its layers change the image's shape."""
    return Conv(filters=filters, kernel=1, stride=stride, bias=False), BatchNorm()


def _trace_all(layers: Sequence[AnyLayer], shape: Shape, prefix: str) -> tuple[LayerShape, ...]:
    traced: list[LayerShape] = []
    for number, layer in enumerate(layers, start=1):
        traced.append(_trace_layer(f"{prefix}{number}", layer, shape))
        shape = traced[-1].output_shape
    return tuple(traced)


def _trace_layer(number: str, layer: AnyLayer, shape: Shape) -> LayerShape:
    if isinstance(layer, Conv):
        return _trace_conv(number, layer, shape)
    if isinstance(layer, Pool):
        return _trace_pool(number, layer, shape)
    if isinstance(layer, GlobalPool):
        return LayerShape(layer, shape, _require_image(f"layer {number} (global_pool)", shape)[2:])
    if isinstance(layer, Dense):
        return _trace_dense(layer, shape)
    if isinstance(layer, Residual):
        return _trace_residual(number, layer, shape)
    if isinstance(layer, Whiten):
        return _trace_whiten(number, layer, shape)
    per_channel = 1 + layer.scale if isinstance(layer, BatchNorm) else 0
    return LayerShape(layer, shape, shape, num_parameters=per_channel * shape[-1])


def _trace_whiten(number: str, layer: Whiten, shape: Shape) -> LayerShape:
    title = f"layer {number} (whiten, kernel {layer.kernel})"
    height, width, channels = _require_image(title, shape)
    if number != "1":
        raise NetworkFitError(f"{title} whitens the input images: make it the first layer.")
    if layer.kernel > min(height, width):
        raise _refuse(title, shape, f"make its kernel at most {min(height, width)}")
    rows, columns = (_count_steps(size, layer.kernel, 1, "valid") for size in (height, width))
    size = layer.kernel**2 * channels
    return LayerShape(layer, shape, (rows, columns, 2 * size), 2 * size, 2 * size**2 * rows * columns)


def _trace_residual(number: str, layer: Residual, shape: Shape) -> LayerShape:
    inner = _trace_all(layer.layers, shape, f"{number}.")
    result = inner[-1].output_shape
    shortcut = () if result == shape else _trace_shortcut(number, shape, result)
    parts = (*inner, *shortcut)
    return LayerShape(
        layer,
        shape,
        result,
        sum(part.num_parameters for part in parts),
        sum(part.num_multiply_adds for part in parts),
        inner,
        shortcut,
    )


def _trace_shortcut(number: str, shape: Shape, result: Shape) -> tuple[LayerShape, ...]:
    title = f"layer {number} (residual)"
    if len(shape) != 3 or len(result) != 3:
        raise NetworkFitError(
            f"{title} turns its {format_shape(shape)} input into {format_shape(result)} and cannot add the two: "
            "only images may change their shape; give its last layer the input's shape."
        )
    stride = find_shortcut_stride((shape[0], shape[1]), (result[0], result[1]))
    if stride is None:
        raise NetworkFitError(
            f"{title} turns its {format_shape(shape)} input into {format_shape(result)}, and no stride of a shortcut "
            "does that: set padding: same in its layers."
        )
    return _trace_all(make_shortcut(result[2], stride), shape, f"{number}.shortcut.")


def _trace_conv(number: str, layer: Conv, shape: Shape) -> LayerShape:
    title = f"layer {number} (conv, kernel {layer.kernel}, padding {layer.padding})"
    height, width, channels = _require_image(title, shape)
    if layer.padding == "valid" and layer.kernel > min(height, width):
        remedy = f"make its kernel at most {min(height, width)}, or set padding: same"
        raise _refuse(title, shape, remedy)
    rows, columns = (_count_steps(size, layer.kernel, layer.stride, layer.padding) for size in (height, width))
    num_weights = layer.kernel**2 * channels * layer.filters
    num_parameters = num_weights + (layer.filters if layer.bias else 0)
    return LayerShape(layer, shape, (rows, columns, layer.filters), num_parameters, num_weights * rows * columns)


def _trace_pool(number: str, layer: Pool, shape: Shape) -> LayerShape:
    title = f"layer {number} (pool, size {layer.size})"
    height, width, channels = _require_image(title, shape)
    if layer.padding == "valid" and layer.size > min(height, width):
        remedy = "leave it out, or keep the image larger before it (padding: same, a smaller kernel, fewer pools)"
        raise _refuse(title, shape, remedy)
    stride = layer.stride or layer.size
    rows, columns = (_count_steps(size, layer.size, stride, layer.padding) for size in (height, width))
    return LayerShape(layer, shape, (rows, columns, channels))


def _trace_dense(layer: Dense, shape: Shape) -> LayerShape:
    num_weights = math.prod(shape) * layer.units
    return LayerShape(layer, shape, (layer.units,), num_weights + (layer.units if layer.bias else 0), num_weights)


def _count_steps(size: int, window: int, stride: int, padding: Padding) -> int:
    """Return the number of windows along a side."""
    return math.ceil(size / stride) if padding == "same" else (size - window) // stride + 1


def _require_image(title: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise NetworkFitError(
            f"{title} needs rows and columns, but a dense layer before it left {shape[0]} plain numbers: "
            "move it before the first dense layer."
        )
    height, width, channels = shape
    return height, width, channels


def _refuse(title: str, shape: Shape, remedy: str) -> NetworkError:
    return NetworkFitError(f"{title} does not fit its {format_shape(shape)} input: {remedy}.")
