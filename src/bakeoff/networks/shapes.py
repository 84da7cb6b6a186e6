"""What happens to an image's shape on its way through the layers, and what that costs.

Shapes are `(height, width, channels)` while an image has rows and columns, and `(units,)` afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bakeoff.errors import NetworkError
from bakeoff.networks.choices import Padding
from bakeoff.networks.layers import AnyLayer, Conv, Dense, Dropout, Pool

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class LayerShape:
    """One layer between the shape it meets and the shape it makes.

    Attributes:
        layer: the layer's record.
        input_shape: `(height, width, channels)` or `(units,)`.
        output_shape: likewise.
        num_parameters: trained weights and biases.
        num_multiply_adds: multiplications (each with its addition) of one forward pass of one image; biases,
            activations and pooling are not counted.
    """

    layer: AnyLayer
    input_shape: Shape
    output_shape: Shape
    num_parameters: int = 0
    num_multiply_adds: int = 0


def trace(layers: Sequence[AnyLayer], image_shape_HWC: Shape) -> tuple[LayerShape, ...]:
    """Follow an image's shape through the layers.

    Args:
        layers: a network, first layer first.
        image_shape_HWC: height, width, channels of the images.

    Returns:
        One record a layer, in the same order.

    Raises:
        NetworkError: when a layer cannot take what reaches it; names the layer (counted from 1) and its input.
    """
    traced: list[LayerShape] = []
    shape = tuple(image_shape_HWC)
    for number, layer in enumerate(layers, start=1):
        traced.append(_trace_layer(number, layer, shape))
        shape = traced[-1].output_shape
    return tuple(traced)


def format_shape(shape: Shape) -> str:
    """Write a shape as in `28x28x1`."""
    return "x".join(str(size) for size in shape)


def pad_same(size: int, kernel: int, stride: int = 1) -> tuple[int, int]:
    """Return how many zeros `same` padding puts before and after a side.

    Args:
        size: the image's height or width, in pixels.
        kernel: the kernel's side, in pixels.
        stride: step between neighbouring outputs, in pixels.

    Returns:
        Zeros before and after, so that `ceil(size / stride)` outputs result. An odd one comes after, as in Keras.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _trace_layer(number: int, layer: AnyLayer, shape: Shape) -> LayerShape:
    if isinstance(layer, Conv):
        return _trace_conv(number, layer, shape)
    if isinstance(layer, Pool):
        return _trace_pool(number, layer, shape)
    if isinstance(layer, Dense):
        return _trace_dense(layer, shape)
    assert isinstance(layer, Dropout)
    return LayerShape(layer, shape, shape)


def _trace_conv(number: int, layer: Conv, shape: Shape) -> LayerShape:
    title = f"layer {number} (conv, kernel {layer.kernel}, padding {layer.padding})"
    height, width, channels = _require_image(title, shape)
    if layer.padding == "valid" and layer.kernel > min(height, width):
        remedy = f"make its kernel at most {min(height, width)}, or set padding: same"
        raise _refuse(title, shape, remedy)
    rows, columns = (_count_steps(size, layer.kernel, layer.stride, layer.padding) for size in (height, width))
    num_weights = layer.kernel**2 * channels * layer.filters
    return LayerShape(
        layer, shape, (rows, columns, layer.filters), num_weights + layer.filters, num_weights * rows * columns
    )


def _trace_pool(number: int, layer: Pool, shape: Shape) -> LayerShape:
    title = f"layer {number} (pool, size {layer.size})"
    height, width, channels = _require_image(title, shape)
    if layer.size > min(height, width):
        remedy = "leave it out, or keep the image larger before it (padding: same, a smaller kernel, fewer pools)"
        raise _refuse(title, shape, remedy)
    stride = layer.stride or layer.size
    rows, columns = (_count_steps(size, layer.size, stride, "valid") for size in (height, width))
    return LayerShape(layer, shape, (rows, columns, channels))


def _trace_dense(layer: Dense, shape: Shape) -> LayerShape:
    num_weights = math.prod(shape) * layer.units
    return LayerShape(layer, shape, (layer.units,), num_weights + layer.units, num_weights)


def _count_steps(size: int, window: int, stride: int, padding: Padding) -> int:
    """Return how many windows stand along a side."""
    return math.ceil(size / stride) if padding == "same" else (size - window) // stride + 1


def _require_image(title: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise NetworkError(
            f"{title} needs rows and columns, but a dense layer before it left {shape[0]} plain numbers: "
            "move it before the first dense layer."
        )
    height, width, channels = shape
    return height, width, channels


def _refuse(title: str, shape: Shape, remedy: str) -> NetworkError:
    return NetworkError(f"{title} does not fit its {format_shape(shape)} input: {remedy}.")
