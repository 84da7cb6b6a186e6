"""Builds networks from layer records: K members fused into one forward pass.

Shape legend: K members, N images, C channels, H and W pixels, L classes. A suffix on a tensor's name gives its axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from bakeoff.catalog.initializers import InitializerChoice, draw
from bakeoff.catalog.networks.fusion import fusion_key
from bakeoff.catalog.networks.layers import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Layer,
    Pool,
    Residual,
    Scale,
    Whiten,
)
from bakeoff.catalog.networks.shapes import LayerShape, find_shortcut_stride, make_shortcut, trace
from bakeoff.catalog.networks.whitening import whitening_filters
from bakeoff.engine.fused.draws import Randomness, ReplicateDraws, SharedDraws
from bakeoff.engine.fused.flow import Flow
from bakeoff.engine.fused.kernels import cast
from bakeoff.errors import NetworkFitError

_MONOTONE = ("relu", "tanh", "sigmoid", "elu", "leaky_relu")
"""Monotone activations: they commute with the maximum, so they can be applied after a max pooling."""

_WEIGHT_STREAM = 1_000_002
"""Separates the weights' random streams from the split's: default_rng(s) and default_rng([s, 0]) are the same."""

State = dict[str, Tensor]
"""One member's parameters and buffers by name: `<path>.<what>`.

A path is the layer's number; inside a residual layer `<number>.<number>`, `<number>.shortcut` or
`<number>.shortcut_norm`. Parameters are `weight` and `bias`; buffers, a batch norm's running averages, `mean` and
`variance`, and a whitening layer's `filters`.
"""

Rates = dict[str, list[float]]
"""The members' rates by the dropout layer's path."""

Draws = Randomness | SharedDraws | None

_BUFFERS = ("mean", "variance", "filters")


def is_buffer(name: str) -> bool:
    """Return whether a state's entry is a running average or a fixed filter, which no optimizer updates."""
    return name.rpartition(".")[2] in _BUFFERS


def initialize(
    layers: Sequence[Layer], image_shape_HWC: tuple[int, int, int], choice: InitializerChoice, seed: int
) -> State:
    """Initialize one member's parameters.

    Each layer has its own random stream, a function of (`seed`, layer number) alone: arms of one replicate with the
    same initializer start from the same weights, whatever else differs, and so are paired.

    Args:
        layers: the complete network, head included.
        image_shape_HWC: height, width, channels of one image.
        choice: the initializer, and whether it also applies to dense layers (otherwise they use Glorot uniform).
        seed: the replicate's seed, >= 0.

    Returns:
        float32 tensors in torch's layout: convolutions (out, in, kernel, kernel), dense layers (out, in); biases zero.
        Batch norms begin as the identity on values of mean 0 and variance 1. A whitening layer has the filters that
        whiten noise; `engine.whitening` computes those of real images.
    """
    state: State = {}
    for number, shape in enumerate(trace(layers, image_shape_HWC)):
        draws = [choice.draw] if choice.draw else []
        state |= _first_state(str(number), shape, choice, [seed, _WEIGHT_STREAM, number, *draws])
        # One word more than for a top-level layer, and never a zero at the end: all streams differ.
        inside = [seed, _WEIGHT_STREAM, number, choice.draw]
        for inner, part in enumerate(shape.inner):
            state |= _first_state(f"{number}.{inner}", part, choice, [*inside, inner + 2])
        for name, part in zip(("shortcut", "shortcut_norm"), shape.shortcut, strict=False):
            state |= _first_state(f"{number}.{name}", part, choice, [*inside, 1])
    return state


def _first_state(path: str, shape: LayerShape, choice: InitializerChoice, stream: Sequence[int]) -> State:
    layer = shape.layer
    if isinstance(layer, BatchNorm):
        zeros, ones = torch.zeros(shape.input_shape[-1]), torch.ones(shape.input_shape[-1])
        values = {"weight": ones, "bias": zeros, "mean": zeros.clone(), "variance": ones.clone()}
        if not layer.scale:
            del values["weight"]
        return {f"{path}.{name}": value for name, value in values.items()}
    if isinstance(layer, Whiten):
        size = layer.kernel**2 * shape.input_shape[-1]
        filters = whitening_filters(np.eye(size), layer.epsilon)
        shaped = filters.reshape(2 * size, shape.input_shape[-1], layer.kernel, layer.kernel)
        return {f"{path}.filters": torch.from_numpy(shaped), f"{path}.bias": torch.zeros(2 * size)}
    if not isinstance(layer, Conv | Dense):
        return {}
    weight_shape = _weight_shape(layer, shape.input_shape)
    everywhere = choice.where == "everywhere" or isinstance(layer, Conv)
    name = choice.name if everywhere else "glorot_uniform"
    state = {f"{path}.weight": torch.from_numpy(draw(name, weight_shape, np.random.default_rng(stream)))}
    return {**state, f"{path}.bias": torch.zeros(weight_shape[0])} if layer.bias else state


def _weight_shape(layer: Conv | Dense, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(layer, Conv):
        return (layer.filters, input_shape[-1], layer.kernel, layer.kernel)
    return (layer.units, int(np.prod(input_shape)))


@dataclass(frozen=True)
class Values:
    """The stacked parameters, buffers and dropout rates with which layers are applied: of all members, or of one."""

    weights: State
    buffers: State
    rates: Rates


class FusedNetwork:
    """K >= 1 members of one network, computed in one forward pass.

    Every parameter is stored stacked, (K, ...). A member's own parameters are views of it (`members`), so separate
    optimizers update the stacked tensors in place; likewise its running averages (`member_buffers`). On images that
    all members share, the first convolution is one dense convolution with K x filters outputs; later ones are
    grouped, dense layers are one batched product, batch norm is one over K x C channels. With `in_turn`, all layers
    before the first dense one are computed member by member instead: the grouped convolutions of wide networks are
    slower than as many single ones.

    Args:
        member_layers: each member's layers; equal except for dropout rates.
        states: each member's parameters and buffers, float32. They are copied.
        dtype: the dtype of the arithmetic; parameters, gradients, batch norm's statistics and logits stay float32.
        frozen_layers: number of leading layers that are frozen, see `freeze`.
        frozen_norms: number of leading layers whose batch norms are always in evaluation mode; their scale and shift
            are trained.
        in_turn: whether the layers before the first dense one are computed member by member; equal to rounding. Not
            for members of several replicates.

    Raises:
        NetworkError: if the members' networks cannot be fused.
    """

    def __init__(
        self,
        member_layers: Sequence[Sequence[Layer]],
        states: Sequence[State],
        dtype: torch.dtype = torch.float32,
        frozen_layers: int = 0,
        frozen_norms: int = 0,
        in_turn: bool = False,
    ) -> None:
        if len({fusion_key(layers) for layers in member_layers}) != 1:
            raise NetworkFitError("these networks differ in more than their dropout rates and cannot be fused")
        self.layers = tuple(member_layers[0])
        self.num_members = len(states)
        self.dtype = dtype
        self._frozen_norms = frozen_norms
        self.in_turn = in_turn
        stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        self.stacked = {name: stack.requires_grad_() for name, stack in stacked.items() if not is_buffer(name)}
        self.stacked_buffers = {name: stack for name, stack in stacked.items() if is_buffer(name)}
        self.members: list[dict[str, nn.Parameter]] = [
            {name: nn.Parameter(stack.detach()[k]) for name, stack in self.stacked.items()}
            for k in range(self.num_members)
        ]
        self.member_buffers: list[State] = [
            {name: stack[k] for name, stack in self.stacked_buffers.items()} for k in range(self.num_members)
        ]
        self._activating = dict(_find_late_activations(self.layers))
        self._activated_late = {_name_before(path) for path in self._activating}
        self._rates = _collect_rates(member_layers)
        self._kept_exact = {name.rpartition(".")[0] for name in self.stacked_buffers}
        self.freeze(frozen_layers)

    def freeze(self, num_layers: int) -> None:
        """Put the first `num_layers` layers into evaluation mode without gradients; the others are trained."""
        self.frozen_layers = num_layers
        for name, stack in self.stacked.items():
            stack.requires_grad_(_number(name) >= num_layers)

    def clear_gradients(self) -> None:
        """Reset the gradients."""
        for stack in self.stacked.values():
            stack.grad = None

    def share_gradients(self) -> None:
        """Set every member's gradients to views of the stacked gradients; those of frozen parameters to None."""
        for name, stack in self.stacked.items():
            parts = [None] * self.num_members if stack.grad is None else stack.grad.unbind()
            for member, part in zip(self.members, parts, strict=True):
                member[name].grad = part

    def cast(self) -> State:
        """Return the stacked parameters in the arithmetic's dtype, differentiable. Cast once, use for many batches.

        Batch norm's stay float32: its kernels accept them together with bfloat16 values.
        """
        return {
            name: stack if name.rpartition(".")[0] in self._kept_exact else cast(stack, self.dtype)
            for name, stack in self.stacked.items()
        }

    def __call__(self, images_NCHW: Tensor, weights: State, dropout: Randomness | None = None) -> Tensor:
        """Return float32 logits_KNL of every member.

        Args:
            images_NCHW: in `self.dtype`, channels-last memory format for speed; the same for every member, or
                (S, N, C, H, W), of S replicates, each for K / S adjacent members; S = K: one per member.
            weights: the result of `cast`.
            dropout: random source of dropout masks in training, in which batch norm uses the batch's statistics and
                updates its running averages; None in evaluation.
        """
        first_dense = count_layers_in_turn(self.layers) if self.in_turn and self.num_members > 1 else 0
        if first_dense and not isinstance(dropout, ReplicateDraws):
            x = self._take_turns(images_NCHW, weights, dropout, first_dense)
        else:
            x, first_dense = Flow(images_NCHW, self.num_members), 0
        values = Values(weights, self.stacked_buffers, self._rates)
        self._run(x, range(first_dense, len(self.layers)), values, dropout)
        return x.value.float()

    def _take_turns(
        self, images_NCHW: Tensor, weights: State, dropout: torch.Generator | None, num_layers: int
    ) -> Flow:
        """Compute the first layers member by member, each to the last of them while its activations are cached."""
        own = [images_NCHW] * self.num_members
        if images_NCHW.dim() == 5:
            sources = [images.contiguous(memory_format=torch.channels_last) for images in images_NCHW]
            own = [sources[k * len(sources) // self.num_members] for k in range(self.num_members)]
        flows = [Flow(images, 1) for images in own]
        draws = None if dropout is None else SharedDraws(dropout)
        # Split once: the gradient of a slice is as large as the whole.
        parts = {name: torch.split(stack, 1) for name, stack in weights.items() if _number(name) < num_layers}
        for k, flow in enumerate(flows):
            values = Values(
                {name: part[k] for name, part in parts.items()},
                {name: stack[k : k + 1] for name, stack in self.stacked_buffers.items()},
                {path: rates[k : k + 1] for path, rates in self._rates.items()},
            )
            self._run(flow, range(num_layers), values, draws)
        return Flow.join(flows)

    def _run(self, x: Flow, numbers: range, values: Values, dropout: Draws) -> None:
        for number in numbers:
            self._apply(x, self.layers[number], str(number), values, None if number < self.frozen_layers else dropout)

    def _apply(self, x: Flow, layer: Layer, path: str, values: Values, dropout: Draws) -> None:
        if isinstance(layer, Conv):
            activation = "linear" if path in self._activated_late else layer.activation
            x.convolve(layer, values.weights[f"{path}.weight"], values.weights.get(f"{path}.bias"), activation)
        elif isinstance(layer, Dense):
            x.multiply(values.weights[f"{path}.weight"], values.weights.get(f"{path}.bias"))
        elif isinstance(layer, BatchNorm):
            self._normalize(x, layer, path, values, training=dropout is not None)
        elif isinstance(layer, Residual):
            self._add_residual(x, layer, path, values, dropout)
        elif isinstance(layer, Whiten):
            filters = values.buffers[f"{path}.filters"].to(self.dtype)
            bare = Conv(filters=filters.shape[1], kernel=layer.kernel)
            x.convolve(bare, filters, values.weights[f"{path}.bias"].to(self.dtype))
        else:
            self._apply_untrained(x, layer, path, values.rates, dropout)
        if isinstance(layer, Dense | BatchNorm | Residual | Whiten) and path not in self._activated_late:
            x.activate(layer.activation)

    def _apply_untrained(
        self, x: Flow, layer: Pool | GlobalPool | Scale | Dropout, path: str, rates: Rates, dropout: Draws
    ) -> None:
        if isinstance(layer, Pool):
            x.pool(layer)
            x.activate(self._activating.get(path, "linear"))
        elif isinstance(layer, GlobalPool):
            x.pool_globally(layer)
        elif isinstance(layer, Scale):
            x.value = x.value * layer.factor
        elif dropout is not None:
            x.drop(rates[path], dropout, path)

    def _normalize(self, x: Flow, layer: BatchNorm, path: str, values: Values, training: bool) -> None:
        # Under SGD a parameter multiplied by s changes s^2 times as fast, with the same decay.
        shift = values.weights[f"{path}.bias"]
        x.normalize(
            layer,
            values.weights.get(f"{path}.weight"),
            shift if layer.shift_rate == 1.0 else shift * layer.shift_rate**0.5,
            values.buffers[f"{path}.mean"],
            values.buffers[f"{path}.variance"],
            training and _number(path) >= self._frozen_norms,
        )

    def _add_residual(self, x: Flow, layer: Residual, path: str, values: Values, dropout: Draws) -> None:
        branch = x.fork()
        for number, inner in enumerate(layer.layers):
            self._apply(branch, inner, f"{path}.{number}", values, dropout)
        kernel = values.weights.get(f"{path}.shortcut.weight")
        if kernel is not None:
            stride = find_shortcut_stride(_size(x.value), _size(branch.value))
            assert stride is not None, "the network was traced before its weights were initialized"
            conv, norm = make_shortcut(kernel.shape[1], stride)
            x.convolve(conv, kernel, None)
            self._normalize(x, norm, f"{path}.shortcut_norm", values, training=dropout is not None)
        x.add(branch)


def count_layers_in_turn(layers: Sequence[Layer]) -> int:
    """Return how many of a network's first layers may be computed member by member; 0 without a convolution."""
    count = next((number for number, layer in enumerate(layers) if isinstance(layer, Dense)), len(layers))
    return count if any(isinstance(layer, Conv | Residual | Whiten) for layer in layers[:count]) else 0


def _number(name: str) -> int:
    """Return the number of the layer to which a name in a state belongs."""
    return int(name.partition(".")[0])


def _size(images_NCHW: Tensor) -> tuple[int, int]:
    height, width = images_NCHW.shape[-2:]
    return height, width


def _name_before(path: str) -> str:
    outer, dot, number = path.rpartition(".")
    return f"{outer}{dot}{int(number) - 1}"


def _find_late_activations(layers: Sequence[Layer], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each pool with the preceding layer's activation, if that can be applied after the pooling.

    max(f(x)) = f(max(x)) for a monotone f: the same values and gradients with a quarter of the evaluations.
    """
    for number, layer in enumerate(layers):
        if isinstance(layer, Residual):
            yield from _find_late_activations(layer.layers, f"{prefix}{number}.")
    for number, (layer, pool) in enumerate(pairwise(layers), start=1):
        activation = layer.activation if isinstance(layer, Conv | BatchNorm) else "linear"
        if activation in _MONOTONE and isinstance(pool, Pool) and pool.kind == "max":
            yield f"{prefix}{number}", activation


def _collect_rates(member_layers: Sequence[Sequence[Layer]], prefix: str = "") -> Rates:
    """Return the members' dropout rates by the layer's path."""
    rates: Rates = {}
    for number, layers in enumerate(zip(*member_layers, strict=True)):
        if isinstance(layers[0], Dropout):
            rates[f"{prefix}{number}"] = [layer.rate for layer in layers]
        elif isinstance(layers[0], Residual):
            rates |= _collect_rates([layer.layers for layer in layers], f"{prefix}{number}.")
    return rates
