"""Layer records become arithmetic: K members of one network, folded into one forward pass.

Shape legend: K members, N images, C channels, H and W pixels, F features, L classes. A suffix on a tensor's name
gives its axes; (KC) is one axis of K x C channels, members outermost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bakeoff.errors import NetworkError
from bakeoff.networks.fusion import fusion_key
from bakeoff.networks.initializers import InitializerChoice, draw
from bakeoff.networks.layers import Conv, Dense, Dropout, Layer, Pool
from bakeoff.networks.shapes import pad_same, trace

_MONOTONE = ("relu", "tanh", "sigmoid", "elu", "leaky_relu")
"""Activations that never fall: they commute with taking a maximum, so they may wait until after a max pooling."""

_WEIGHT_STREAM = 1_000_002
"""Keeps the weights' random streams apart from the split's: default_rng(s) and default_rng([s, 0]) are the same."""

State = dict[str, Tensor]
"""One member's parameters by name: `<layer number>.weight`, `<layer number>.bias`."""

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "swish": F.silu,
    "elu": F.elu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
}


def initialize(
    layers: Sequence[Layer], image_shape_HWC: tuple[int, int, int], choice: InitializerChoice, seed: int
) -> State:
    """Draw one member's first parameters.

    Each layer has a stream of its own, a function of (`seed`, layer number) alone: arms of one replicate that share
    an initializer start from the same weights, whatever else they vary, and so are paired.

    Args:
        layers: the complete network, head included.
        image_shape_HWC: height, width, channels of one image.
        choice: the initializer, and whether dense layers take it too (else they take Glorot uniform).
        seed: the replicate's seed, >= 0.

    Returns:
        float32 tensors in torch's layout: convolutions (out, in, kernel, kernel), dense layers (out, in); biases zero.
    """
    state: State = {}
    for number, shape in enumerate(trace(layers, image_shape_HWC)):
        layer = shape.layer
        if not isinstance(layer, Conv | Dense):
            continue
        weight_shape = _weight_shape(layer, shape.input_shape)
        everywhere = choice.where == "everywhere" or isinstance(layer, Conv)
        name = choice.name if everywhere else "glorot_uniform"
        stream = [seed, _WEIGHT_STREAM, number, *([choice.draw] if choice.draw else [])]
        weight = draw(name, weight_shape, np.random.default_rng(stream))
        state[f"{number}.weight"] = torch.from_numpy(weight)
        state[f"{number}.bias"] = torch.zeros(weight_shape[0])
    return state


def _weight_shape(layer: Conv | Dense, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(layer, Conv):
        return (layer.filters, input_shape[-1], layer.kernel, layer.kernel)
    return (layer.units, int(np.prod(input_shape)))


class FusedNetwork:
    """K >= 1 members of one network whose arithmetic is one forward pass.

    Every parameter is kept stacked, (K, ...). A member's own parameters are views of it (`members`), so separate
    optimizers update the stacked tensors in place. On images that all members share, the first convolution is one
    dense convolution with K x filters outputs; later ones are grouped, and dense layers are one batched product.

    Args:
        member_layers: each member's layers; equal but for dropout rates.
        states: each member's parameters, float32. They are copied.
        dtype: what the arithmetic runs in; parameters, gradients and logits stay float32.

    Raises:
        NetworkError: if the members' networks cannot be fused.
    """

    def __init__(
        self, member_layers: Sequence[Sequence[Layer]], states: Sequence[State], dtype: torch.dtype = torch.float32
    ) -> None:
        if len({fusion_key(layers) for layers in member_layers}) != 1:
            raise NetworkError("these networks differ in more than their dropout rates and cannot be fused")
        self.layers = tuple(member_layers[0])
        self.num_members = len(states)
        self.dtype = dtype
        self.stacked = {name: torch.stack([state[name] for state in states]).requires_grad_() for name in states[0]}
        self.members: list[dict[str, nn.Parameter]] = [
            {name: nn.Parameter(stack.detach()[k]) for name, stack in self.stacked.items()}
            for k in range(self.num_members)
        ]
        self._activating = _find_late_activations(self.layers)
        self._activated_late = {number - 1 for number in self._activating}
        self._rates = {
            number: [_rate(layers[number]) for layers in member_layers]
            for number, layer in enumerate(self.layers)
            if isinstance(layer, Dropout)
        }

    def clear_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for stack in self.stacked.values():
            stack.grad = None

    def share_gradients(self) -> None:
        """Give every member's parameters its slice of the stacked gradients, as views."""
        for name, stack in self.stacked.items():
            if stack.grad is not None:
                for k, member in enumerate(self.members):
                    member[name].grad = stack.grad[k]

    def cast(self) -> State:
        """Return the stacked parameters in the arithmetic's dtype, differentiable. Cast once, use for many batches."""
        return {name: stack.to(self.dtype) for name, stack in self.stacked.items()}

    def __call__(self, images_NCHW: Tensor, weights: State, dropout: torch.Generator | None = None) -> Tensor:
        """Return float32 logits_KNL of the same images for every member.

        Args:
            images_NCHW: in `self.dtype`, channels-last memory format for speed.
            weights: what `cast` returned.
            dropout: source of the dropout masks, or None to leave dropout out (evaluation).
        """
        x = _Activations(images_NCHW, self.num_members)
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                x.convolve(layer, weights[f"{number}.weight"], weights[f"{number}.bias"])
                if number not in self._activated_late:
                    x.activate(layer.activation)
            elif isinstance(layer, Pool):
                x.pool(layer)
                if number in self._activating:
                    x.activate(self._activating[number])
            elif isinstance(layer, Dense):
                x.multiply(layer, weights[f"{number}.weight"], weights[f"{number}.bias"])
            elif dropout is not None:
                x.drop(self._rates[number], dropout)
        return x.value.float()


class _Activations:
    """The value that flows through a fused network, and which of its forms it has.

    shared: (N, C, H, W) or (N, F), one value for all members; folded: (N, (KC), H, W); dense: (K, N, F).
    """

    def __init__(self, images_NCHW: Tensor, num_members: int) -> None:
        self.value = images_NCHW
        self.num_members = num_members
        self.shared = True

    def convolve(self, layer: Conv, weight_KOIHW: Tensor, bias_KO: Tensor) -> None:
        padding = self._pad(layer)
        self.value = F.conv2d(
            self.value,
            weight_KOIHW.flatten(0, 1),
            bias_KO.flatten(),
            stride=layer.stride,
            padding=padding,
            groups=1 if self.shared else self.num_members,
        )
        self.shared = False

    def activate(self, activation: str) -> None:
        self.value = _ACTIVATIONS[activation](self.value)

    def _pad(self, layer: Conv) -> int:
        """Return the symmetric padding; where 'same' is lopsided (Keras puts the odd pixel after), pad here instead."""
        if layer.padding == "valid":
            return 0
        (top, bottom), (left, right) = (pad_same(size, layer.kernel, layer.stride) for size in self.value.shape[-2:])
        if top == bottom == left == right:
            return top
        self.value = F.pad(self.value, (left, right, top, bottom))
        return 0

    def pool(self, layer: Pool) -> None:
        stride = layer.stride or layer.size
        if layer.kind == "max":
            self.value = F.max_pool2d(self.value, layer.size, stride)
        elif stride == layer.size and all(size % stride == 0 for size in self.value.shape[-2:]):
            self.value = _average_tiles(self.value, layer.size)
        else:
            self.value = F.avg_pool2d(self.value, layer.size, stride)

    def multiply(self, layer: Dense, weight_KOI: Tensor, bias_KO: Tensor) -> None:
        self._flatten()
        if self.shared:
            # One product for all members: (N, I) x (I, (KO)), never K copies of the images.
            product = torch.addmm(bias_KO.flatten(), self.value, weight_KOI.flatten(0, 1).t())
            self.value = product.view(len(product), self.num_members, -1).transpose(0, 1)
        else:
            self.value = torch.baddbmm(bias_KO.unsqueeze(1), self.value, weight_KOI.transpose(1, 2))
        self.shared = False
        self.activate(layer.activation)

    def _flatten(self) -> None:
        if self.value.dim() != 4:
            return
        if self.shared:
            self.value = self.value.flatten(1)
        else:
            self.value = self._by_member().flatten(2).transpose(0, 1)

    def _by_member(self) -> Tensor:
        """Return a folded value as (N, K, C, H, W), a view."""
        num_images, _, height, width = self.value.shape
        return self.value.view(num_images, self.num_members, -1, height, width)

    def drop(self, rates: Sequence[float], generator: torch.Generator) -> None:
        """Drop with one draw for all members: a mask depends on the replicate, never on who trains beside whom.

        Members with a higher rate drop a superset of what members with a lower one drop.
        """
        self._separate(rates)
        # Drawn even where every rate is zero: else the masks after it would depend on the rates of the others.
        uniform = torch.rand(self._mask_shape(), generator=generator)
        if max(rates) == 0.0:
            return
        value = self.value
        folded = value.dim() == 4 and not self.shared
        view = self._by_member() if folded else value
        if value.dim() == 4:
            uniform = uniform.permute(0, 3, 1, 2)  # drawn channels-last, as the activations lie in memory
        if len(set(rates)) == 1:
            mask = (uniform >= rates[0]).to(value.dtype).div_(1 - rates[0])
            mask = mask.unsqueeze(1) if folded else mask
        else:
            rate = torch.tensor(rates).view(-1, *[1] * uniform.dim())
            mask = (uniform >= rate).to(value.dtype).mul_((1 / (1 - rate)).to(value.dtype))
            mask = mask.transpose(0, 1) if folded else mask
        dropped = view * mask
        self.value = dropped.flatten(1, 2) if folded else dropped

    def _separate(self, rates: Sequence[float]) -> None:
        """Give each member its own copy of a shared value when their rates differ."""
        if self.shared and len(set(rates)) > 1:
            if self.value.dim() == 4:
                self.value = self.value.repeat(1, self.num_members, 1, 1)
            else:
                self.value = self.value.expand(self.num_members, -1, -1)
            self.shared = False

    def _mask_shape(self) -> tuple[int, ...]:
        if self.value.dim() != 4:
            return tuple(self.value.shape[-2:])
        num_images, channels, height, width = self.value.shape
        return (num_images, height, width, channels if self.shared else channels // self.num_members)


class _AverageTiles(torch.autograd.Function):
    """Average pooling of windows that tile the image, with a backward pass that is one copy.

    torch's own backward for channels-last bfloat16 took 12% of LeNet's training time; every pixel's gradient is its
    window's, divided, so spreading it along the contiguous channels does the same.
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
        spread = pooled_NHWC[:, :, None, :, None, :].expand(-1, -1, size, -1, size, -1)
        whole_NHWC = spread.reshape(num_images, height * size, width * size, channels)
        return whole_NHWC.permute(0, 3, 1, 2), None


def _average_tiles(images_NCHW: Tensor, size: int) -> Tensor:
    pooled: Tensor = _AverageTiles.apply(images_NCHW, size)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return pooled


def _find_late_activations(layers: Sequence[Layer]) -> dict[int, str]:
    """Return pool number -> activation of the convolution before it, where it may wait until after the pooling.

    max(f(x)) = f(max(x)) for a monotone f: the same values and gradients, from a quarter of the evaluations.
    """
    return {
        number + 1: layer.activation
        for number, (layer, pool) in enumerate(pairwise(layers))
        if isinstance(layer, Conv) and layer.activation in _MONOTONE and isinstance(pool, Pool) and pool.kind == "max"
    }


def _rate(layer: Layer) -> float:
    return layer.rate if isinstance(layer, Dropout) else 0.0
