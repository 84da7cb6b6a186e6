"""Operations with hand-written backward passes that are faster than torch's for the same numbers.

Shape legend: K members, N images, C channels, H and W pixels, I and O a layer's inputs and outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_SLOPES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": torch.ops.aten.tanh_backward,
    "sigmoid": torch.ops.aten.sigmoid_backward,
}
"""Activations that a convolution can apply before writing its output, with their gradient as a function of the output.

Not ReLU: oneDNN's turns NaN into 0, and a diverged member would continue undetected.
"""

_LANES = 16
"""Float32 numbers in a vector register: a convolution with fewer output channels per group leaves lanes empty."""

_WIDE_KERNEL = 5
"""Kernels of at least this size gain from filling the lanes; smaller ones do not (docs/log.md)."""


_LEAST_STRIDED_CHANNELS = 16
"""oneDNN's float32 weight gradient of a 1x1 convolution with a stride writes past its memory for few channels (torch
2.13; seen for 2 to 12, under AVX2 and AVX-512): a crash, or worse. With fewer channels than this images are subsampled
first, which gives the same sum."""


def convolve(
    images: Tensor, kernel: Tensor, bias: Tensor | None, *, stride: int, padding: int, groups: int, activation: str
) -> tuple[Tensor, bool]:
    """Convolve and, if oneDNN can do both at once, activate; return whether it did.

    Activating before the result is rounded and written saves a pass over memory: LeNet's tanh took a sixth of a step.
    The argument is then the unrounded sum, so results differ in the last digit.
    """
    if stride > 1 and kernel.shape[2:] == (1, 1) and padding == 0 and images.shape[1] < _LEAST_STRIDED_CHANNELS:
        images, stride = images[:, :, ::stride, ::stride], 1
    if _can_activate(images.device.type, images.dtype):
        if _is_better_in_rows(images, kernel, stride, groups):
            images, kernel, padding = *_lay_out_rows(images, kernel, padding), 0
        if activation in _SLOPES:
            return _convolve_by_library(images, kernel, bias, stride, padding, groups, activation), True
        if images.requires_grad and _fills_lanes_in_pairs(images, kernel, stride):
            return _convolve_by_library(images, kernel, bias, stride, padding, groups, "none"), activation == "linear"
    return F.conv2d(images, kernel, bias, stride=stride, padding=padding, groups=groups), activation == "linear"


@functools.cache
def _can_activate(device: str, dtype: torch.dtype) -> bool:
    """Return whether oneDNN is available and activates: without bfloat16 arithmetic (AVX2) it silently skips tanh."""
    if device != "cpu" or dtype not in (torch.float32, torch.bfloat16) or not torch._C._has_mkldnn:
        return False
    try:
        images = torch.ones(1, 6, 9, 9, dtype=dtype).to(memory_format=torch.channels_last)
        kernel = torch.full((12, 6, 3, 3), 0.05, dtype=dtype)
        results = [_run_convolution(images, kernel, None, 1, 1, 1, activation) for activation in ("sigmoid", "tanh")]
        plain = F.conv2d(images, kernel, padding=1).float()
        expected = (plain.sigmoid(), plain.tanh())
        return all(torch.allclose(a.float(), b, atol=0.02) for a, b in zip(results, expected, strict=True))
    except (
        AttributeError,
        RuntimeError,
    ):  # missing in other builds or releases: torch does not guarantee this operator
        return False


def _run_convolution(
    images: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int, activation: str
) -> Tensor:
    run = torch.ops.mkldnn._convolution_pointwise
    result: Tensor = run(images, kernel, bias, [padding] * 2, [stride] * 2, [1, 1], groups, activation, [], "")
    return result


def _is_better_in_rows(images: Tensor, kernel: Tensor, stride: int, groups: int) -> bool:
    """Return whether `_lay_out_rows` makes a convolution faster: grayscale images in bfloat16 with a wide kernel."""
    grey = images.shape[1] == groups == stride == 1 and not images.requires_grad
    return grey and images.dtype == torch.bfloat16 and min(kernel.shape[2:]) >= _WIDE_KERNEL


def _lay_out_rows(images_N1HW: Tensor, kernel_O1SS: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Return images whose channels are a pixel and its right neighbours, and the matching kernel, one column wide.

    bfloat16 products work on pairs of channels, which grayscale images lack. On 28 x 28 images, the first layer of nine
    LeNets takes 1.8 instead of 4.9 ms, forward and backward.
    """
    side = kernel_O1SS.shape[-1]
    padded_N1HW = F.pad(images_N1HW, (padding,) * 4) if padding else images_N1HW
    rows_NSHW = padded_N1HW.squeeze(1).unfold(2, side, 1).permute(0, 3, 1, 2)
    return rows_NSHW.contiguous(memory_format=torch.channels_last), kernel_O1SS.permute(0, 3, 2, 1)


class _Convolve(torch.autograd.Function):
    """Convolution with an optional fused activation, and a faster equivalent of torch's backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        kernel: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        groups: int,
        activation: str,
    ) -> Tensor:
        result = _run_convolution(images, kernel, bias, stride, padding, groups, activation)
        ctx.save_for_backward(images, kernel, result if activation in _SLOPES else None)
        ctx.settings = (stride, padding, groups, activation, bias is not None)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, kernel, result = ctx.saved_tensors
        stride, padding, groups, activation, has_bias = ctx.settings
        gradient = _SLOPES[activation](gradients[0], result) if activation in _SLOPES else gradients[0]
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], has_bias and ctx.needs_input_grad[2]]
        into_images = None
        if wanted[0] and _fills_lanes_in_pairs(images, kernel, stride):
            into_images, wanted[0] = _differentiate_in_pairs(gradient, kernel, padding, groups), False
        found: tuple[Tensor | None, ...] = (None, None, None)
        if any(wanted):
            found = _differentiate(gradient, images, kernel, ctx.settings, wanted)
        return (found[0] if into_images is None else into_images, *found[1:], None, None, None, None)


def _fills_lanes_in_pairs(images: Tensor, kernel: Tensor, stride: int) -> bool:
    """Return whether `_differentiate_in_pairs` computes this convolution's input gradient faster."""
    _, channels, *sides = kernel.shape
    return 2 * channels <= _LANES and min(sides) >= _WIDE_KERNEL and stride == 1 and images.shape[-1] % 2 == 0


def _differentiate_in_pairs(gradient_NOHW: Tensor, kernel: Tensor, padding: int, groups: int) -> Tensor:
    """Return the input gradient of a convolution with stride 1 and few channels per group.

    It is a convolution of the output gradient with the mirrored kernel, in which every pixel fills as many lanes as
    there are channels: six of sixteen in LeNet's second layer. So two neighbours in a row are computed as one pixel
    with twice the channels, with a kernel one column wider, shifted for the second: LeNet's takes 2.0, not 4.4 ms.
    """
    side, channels = kernel.shape[-1], kernel.shape[1]
    num_outputs = len(kernel) // groups
    mirrored = kernel.view(groups, num_outputs, channels, side, side).flip(3, 4).transpose(1, 2)
    both = kernel.new_zeros(groups, 2, channels, num_outputs, side, side + 1)
    both[:, 0, ..., :side], both[:, 1, ..., 1:] = mirrored, mirrored
    wide = both.view(-1, num_outputs, side, side + 1)
    pairs = F.conv2d(gradient_NOHW, wide, stride=(1, 2), padding=side - 1 - padding, groups=groups)
    num_images, _, height, half = pairs.shape
    parted = pairs.permute(0, 2, 3, 1).reshape(num_images, height, half, groups, 2, channels)
    images_NHWC = parted.transpose(3, 4).reshape(num_images, height, 2 * half, groups * channels)
    return images_NHWC.permute(0, 3, 1, 2)


def _differentiate(
    gradient: Tensor, images: Tensor, kernel: Tensor, settings: tuple[int, int, int, str, bool], wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding, groups, _, has_bias = settings
    sizes = [len(kernel)] if has_bias else None
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, images, kernel, sizes, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, wanted
    )
    return found


def _convolve_by_library(*arguments: Any) -> Tensor:
    result: Tensor = _Convolve.apply(*arguments)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return result


class _MultiplyMembers(torch.autograd.Function):
    """One matrix product per member, whose weight gradient has the memory layout of the weights.

    torch's is transposed: copying it took a quarter of ModNet2's step. The numbers are bit-identical.
    """

    @staticmethod
    def forward(ctx: Any, values_KNI: Tensor, weight_KOI: Tensor, bias_KO: Tensor | None) -> Tensor:
        ctx.save_for_backward(values_KNI, weight_KOI)
        if bias_KO is None:
            return torch.bmm(values_KNI, weight_KOI.transpose(1, 2))
        return torch.baddbmm(bias_KO.unsqueeze(1), values_KNI, weight_KOI.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        values_KNI, weight_KOI = ctx.saved_tensors
        (gradient_KNO,) = gradients
        into_values, into_weight, into_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient_KNO, weight_KOI) if into_values else None,
            torch.bmm(gradient_KNO.transpose(1, 2), values_KNI) if into_weight else None,
            gradient_KNO.sum(1) if into_bias else None,
        )


def multiply_members(values_KNI: Tensor, weight_KOI: Tensor, bias_KO: Tensor | None) -> Tensor:
    """Return each member's values times its weights, plus its bias: (K, N, O)."""
    product: Tensor = _MultiplyMembers.apply(values_KNI, weight_KOI, bias_KO)  # type: ignore[no-untyped-call]
    return product


class _JoinMembers(torch.autograd.Function):
    """Stack the members' values as rows of features, with gradients in the memory format of the values."""

    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> Tensor:
        ctx.shape = values[0].shape
        return torch.stack([value.reshape(ctx.shape[-4 if value.dim() == 4 else -2], -1) for value in values])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        parts = [part.view(ctx.shape) for part in gradients[0]]
        if len(ctx.shape) < 4:
            return tuple(parts)
        return tuple(part.contiguous(memory_format=torch.channels_last) for part in parts)


def join_members(values: Sequence[Tensor]) -> Tensor:
    """Return (K, N, F) of each member's images (N, C, H, W), flattened, or features (N, F) or (1, N, F)."""
    joined: Tensor = _JoinMembers.apply(*values)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return joined


class _Cast(torch.autograd.Function):
    """A cast whose gradient has the memory layout of its input, with one copy instead of two."""

    @staticmethod
    def forward(ctx: Any, stack: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = stack.dtype
        return stack.to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.dtype, memory_format=torch.contiguous_format), None


def cast(stack: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a contiguous stack of parameters cast to the arithmetic's dtype, differentiably; no needless copy."""
    if stack.dtype == dtype:
        return stack
    changed: Tensor = _Cast.apply(stack, dtype)  # type: ignore[no-untyped-call]
    return changed


class _AverageTiles(torch.autograd.Function):
    """Average pooling of windows that tile the image, with a backward pass that only copies.

    torch's backward for channels-last bfloat16 took 12% of LeNet's training time. Every pixel's gradient is its
    window's, divided by the window's size, so it is enough to copy it along the contiguous channels: first along a row,
    then row by row, because many short copies are slow.
    """

    @staticmethod
    def forward(ctx: Any, images_NCHW: Tensor, size: int) -> Tensor:
        ctx.size = size
        return F.avg_pool2d(images_NCHW, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        size = ctx.size
        pooled_NHWC = gradients[0].permute(0, 2, 3, 1) / (size * size)
        num_images, height, width, channels = pooled_NHWC.shape
        wide = pooled_NHWC.unsqueeze(3).expand(-1, -1, -1, size, -1).reshape(num_images, height, 1, -1)
        rows = wide.expand(-1, -1, size, -1)
        whole_NHWC = rows.reshape(num_images, height * size, width * size, channels)
        return whole_NHWC.permute(0, 3, 1, 2), None


def average_tiles(images_NCHW: Tensor, size: int) -> Tensor:
    """Return the average of every window of side `size`, for windows that tile the images."""
    pooled: Tensor = _AverageTiles.apply(images_NCHW, size)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return pooled
