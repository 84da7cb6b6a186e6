"""One member built from torch's own modules, dropout left out: what a fused network must equal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, GlobalPool, Pool, Residual

MODULES: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
}


def _pad_as_keras(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Windows(nn.Module):
    """Pooling with `same` padding, window by window: a window holds the pixels of the image that it covers."""

    def __init__(self, layer: Pool) -> None:
        super().__init__()
        self.kind, self.size, self.stride = layer.kind, layer.size, layer.stride or layer.size

    def forward(self, images: Tensor) -> Tensor:
        starts = []
        for size in images.shape[-2:]:
            before, _ = _pad_as_keras(size, self.size, self.stride)
            starts.append([n * self.stride - before for n in range(math.ceil(size / self.stride))])
        take = torch.amax if self.kind == "max" else torch.mean
        rows = [
            torch.stack(
                [take(images[..., max(r, 0) : r + self.size, max(c, 0) : c + self.size], (-2, -1)) for c in starts[1]],
                -1,
            )
            for r in starts[0]
        ]
        return torch.stack(rows, -2)


class _GlobalPool(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(2)
        return flat.mean(2) if self.kind == "average" else flat.max(2).values


class _Sum(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, value: Tensor) -> Tensor:
        total: Tensor = self.branch(value) + self.shortcut(value)
        return total


class PlainNetwork(nn.Module):
    """One member, from torch's own modules.

    Args:
        layers: the network.
        image_shape_HWC: of one image.
        state: the member's parameters and running averages, copied.
    """

    def __init__(self, layers: Sequence[AnyLayer], image_shape_HWC: tuple[int, int, int], state: dict[str, Tensor]):
        super().__init__()
        self.state = state
        self.named: dict[str, Tensor] = {}
        height, width, channels = image_shape_HWC
        self.body = self._chain(layers, torch.zeros(2, channels, height, width), "")[0]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits

    def gradients(self) -> dict[str, Tensor]:
        """Return every parameter's gradient under the name it has in a state."""
        return {name: value.grad for name, value in self.named.items() if value.grad is not None}

    def averages(self) -> dict[str, Tensor]:
        """Return every running average under the name it has in a state."""
        return {name: value for name, value in self.named.items() if not isinstance(value, nn.Parameter)}

    def _chain(self, layers: Sequence[AnyLayer], value: Tensor, prefix: str) -> tuple[nn.Sequential, Tensor]:
        chain = nn.Sequential()
        for number, layer in enumerate(layers):
            for part in self._build(layer, value, f"{prefix}{number}"):
                chain.append(part)
                value = part.eval()(value).detach()
                part.train()
        return chain, value

    def _build(self, layer: AnyLayer, value: Tensor, path: str) -> list[nn.Module]:
        parts: list[nn.Module] = []
        if isinstance(layer, Conv):
            if layer.padding == "same":
                rows, columns = (_pad_as_keras(size, layer.kernel, layer.stride) for size in value.shape[-2:])
                parts.append(nn.ZeroPad2d((*columns, *rows)))
            conv = nn.Conv2d(value.shape[1], layer.filters, layer.kernel, layer.stride, bias=layer.bias)
            parts.append(self._load(conv, path))
        elif isinstance(layer, Dense):
            dense = nn.Linear(value[0].numel(), layer.units, bias=layer.bias)
            parts += [nn.Flatten(), self._load(dense, path)]
        elif isinstance(layer, BatchNorm):
            kind = nn.BatchNorm2d if value.dim() == 4 else nn.BatchNorm1d
            parts.append(self._load(kind(value.shape[1], layer.epsilon, layer.momentum), path))
        elif isinstance(layer, Pool):
            plain = nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d
            parts.append(_Windows(layer) if layer.padding == "same" else plain(layer.size, layer.stride))
        elif isinstance(layer, GlobalPool):
            parts.append(_GlobalPool(layer.kind))
        elif isinstance(layer, Residual):
            parts.append(self._sum(layer, value, path))
        if isinstance(layer, Conv | Dense | BatchNorm | Residual):
            parts.append(MODULES[layer.activation]())
        return parts

    def _sum(self, layer: Residual, value: Tensor, path: str) -> _Sum:
        branch, result = self._chain(layer.layers, value, f"{path}.")
        if result.shape == value.shape:
            return _Sum(branch, nn.Identity())
        stride = next(s for s in range(1, 99) if math.ceil(value.shape[-1] / s) == result.shape[-1])
        conv = nn.Conv2d(value.shape[1], result.shape[1], 1, stride, bias=False)
        norm = nn.BatchNorm2d(result.shape[1])
        return _Sum(
            branch, nn.Sequential(self._load(conv, f"{path}.shortcut"), self._load(norm, f"{path}.shortcut_norm"))
        )

    def _load(self, module: nn.Module, path: str) -> nn.Module:
        tensors = dict(module.named_parameters())
        buffers = dict(module.named_buffers())
        if buffers:
            tensors |= {"mean": buffers["running_mean"], "variance": buffers["running_var"]}  # type: ignore[dict-item]
        for name, tensor in tensors.items():
            with torch.no_grad():
                tensor.copy_(self.state[f"{path}.{name}"])
            self.named[f"{path}.{name}"] = tensor
        return module


@pytest.fixture
def plain_network() -> type[PlainNetwork]:
    return PlainNetwork
