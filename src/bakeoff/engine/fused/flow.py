"""The activations that flow through a fused network, and the layers' operations on them.

Shape legend: K members, N images, C channels, H and W pixels, F features. A suffix on a tensor's name gives its axes;
(KC) is one axis of K x C channels, members outermost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.networks.layers import BatchNorm, Conv, GlobalPool, Pool
from bakeoff.catalog.networks.shapes import pad_same
from bakeoff.engine.fused.draws import Randomness, ReplicateDraws, SharedDraws
from bakeoff.engine.fused.kernels import average_tiles, convolve, join_members, multiply_members

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


class Flow:
    """Activations in one of several layouts.

    shared: (N, C, H, W) or (N, F), the same for all members; folded: (N, (KC), H, W); dense: (K, N, F). Between the
    first two is a value with S sources, (N, (SC), H, W): the images of S replicates, each shared by K / S adjacent
    members.

    Args:
        images: (N, C, H, W), the same for all members, or (S, N, C, H, W), where S divides K.
        num_members: K.

    Raises:
        ValueError: S does not divide K; members would be trained on each other's images.
    """

    def __init__(self, images: Tensor, num_members: int) -> None:
        self.num_members = num_members
        self.num_sources = 1 if images.dim() == 4 else len(images)
        if num_members % self.num_sources:
            raise ValueError(f"{self.num_sources} copies of the images for {num_members} members")
        self.shared = images.dim() == 4 or num_members == 1
        self.value = images if images.dim() == 4 else _fold(images)

    @classmethod
    def join(cls, flows: Sequence[Flow]) -> Flow:
        """Return the values of members computed in turn as one dense value, (K, N, F)."""
        joined = flows[0].fork()
        joined.value, joined.num_members, joined.shared = join_members([f.value for f in flows]), len(flows), False
        return joined

    def fork(self) -> Flow:
        """Return a copy that can be changed independently."""
        branch = Flow.__new__(Flow)
        branch.value, branch.num_members, branch.shared = self.value, self.num_members, self.shared
        branch.num_sources = self.num_sources
        return branch

    def add(self, branch: Flow) -> None:
        """Add the value of a branch."""
        self._spread()
        branch._spread()
        if self.shared and not branch.shared:
            self._separate()
        self.value = self.value + branch.value

    def convolve(self, layer: Conv, weight_KOIHW: Tensor, bias_KO: Tensor | None, activation: str = "linear") -> None:
        """Convolve, then activate."""
        padding = self._pad(layer)
        self.value, activated = convolve(
            self.value,
            weight_KOIHW.flatten(0, 1),
            None if bias_KO is None else bias_KO.flatten(),
            stride=layer.stride,
            padding=padding,
            groups=1 if self.shared else self.num_sources if self.num_sources > 1 else self.num_members,
            activation=activation,
        )
        self.shared, self.num_sources = False, 1
        if not activated:
            self.activate(activation)

    def activate(self, activation: str) -> None:
        """Apply an activation by its name."""
        self.value = _ACTIVATIONS[activation](self.value)

    def _pad(self, layer: Conv) -> int:
        """Return the symmetric padding; if 'same' is asymmetric (Keras puts the odd pixel after), pad here instead."""
        if layer.padding == "valid":
            return 0
        (top, bottom), (left, right) = (pad_same(size, layer.kernel, layer.stride) for size in self.value.shape[-2:])
        if top == bottom == left == right:
            return top
        self.value = F.pad(self.value, (left, right, top, bottom))
        return 0

    def pool(self, layer: Pool) -> None:
        """Take the maximum or the average of every window."""
        stride = layer.stride or layer.size
        if layer.padding == "same":
            self.value = _pool_same(self.value, layer, stride)
        elif layer.kind == "max":
            self.value = F.max_pool2d(self.value, layer.size, stride)
        elif stride == layer.size and all(size % stride == 0 for size in self.value.shape[-2:]):
            self.value = average_tiles(self.value, layer.size)
        else:
            self.value = F.avg_pool2d(self.value, layer.size, stride)

    def pool_globally(self, layer: GlobalPool) -> None:
        """Reduce to one number per channel."""
        self._spread()
        pooled = self.value.mean((2, 3)) if layer.kind == "average" else self.value.amax((2, 3))
        self.value = pooled if self.shared else pooled.view(len(pooled), self.num_members, -1).transpose(0, 1)

    def multiply(self, weight_KOI: Tensor, bias_KO: Tensor | None) -> None:
        """Apply a dense layer without its activation."""
        self._spread()
        self._flatten()
        if self.shared:
            # One product for all members: (N, I) x (I, (KO)), never K copies of the images.
            weight_IO = weight_KOI.flatten(0, 1).t()
            product = (
                self.value @ weight_IO if bias_KO is None else torch.addmm(bias_KO.flatten(), self.value, weight_IO)
            )
            self.value = product.view(len(product), self.num_members, -1).transpose(0, 1)
        else:
            self.value = multiply_members(self.value, weight_KOI, bias_KO)
        self.shared = False

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

    def normalize(
        self,
        layer: BatchNorm,
        weight_KC: Tensor | None,
        bias_KC: Tensor,
        mean_KC: Tensor,
        variance_KC: Tensor,
        training: bool,
    ) -> None:
        """Normalize every channel of every member, without the activation.

        Args:
            layer: the settings.
            weight_KC: the scale, float32 whatever the value's dtype, None for 1; likewise the others.
            bias_KC: the shift.
            mean_KC: running mean; updated in place in training.
            variance_KC: running unbiased variance; updated in place in training.
            training: whether to use the batch's statistics, except if it has only one value per channel.
        """
        self._spread()
        if self.shared:
            self._separate()
        value, dense = self.value, self.value.dim() == 3
        if dense:
            value = value.transpose(0, 1).flatten(1)
        several = value.numel() > value.shape[1]
        value = F.batch_norm(
            value,
            mean_KC.view(-1),
            variance_KC.view(-1),
            None if weight_KC is None else weight_KC.flatten(),
            bias_KC.flatten(),
            training and several,
            layer.momentum,
            layer.epsilon,
        )
        self.value = value.view(len(value), self.num_members, -1).transpose(0, 1) if dense else value

    def drop(self, rates: Sequence[float], generator: Randomness | SharedDraws, path: str = "") -> None:
        """Apply dropout with one draw for all members: masks depend on the replicate, never on the cohort.

        Members with a higher rate drop a superset of what members with a lower one drop.
        """
        self._spread()
        if isinstance(generator, SharedDraws):
            self._drop_alone(rates[0], generator, path)
            return
        if isinstance(generator, ReplicateDraws):
            self._drop_apart(rates, generator)
            return
        if self.shared and len(set(rates)) > 1:
            self._separate()
        # Drawn even if every rate is zero: otherwise later masks would depend on the members' rates.
        uniform = torch.rand(self._mask_shape(), generator=generator, device=generator.device)
        if max(rates) == 0.0:
            return
        value = self.value
        folded = value.dim() == 4 and not self.shared
        view = self._by_member() if folded else value
        if value.dim() == 4:
            uniform = uniform.permute(0, 3, 1, 2)  # drawn channels-last, the memory format of the activations
        if len(set(rates)) == 1:
            mask = (uniform >= rates[0]).to(value.dtype).div_(1 - rates[0])
            mask = mask.unsqueeze(1) if folded else mask
        else:
            rate = _place_rates(tuple(rates), uniform.device).view(-1, *[1] * uniform.dim())
            mask = (uniform >= rate).to(value.dtype).mul_((1 / (1 - rate)).to(value.dtype))
            mask = mask.transpose(0, 1) if folded else mask
        dropped = view * mask
        self.value = dropped.flatten(1, 2) if folded else dropped

    def _drop_alone(self, rate: float, draws: SharedDraws, path: str) -> None:
        """Apply dropout for the only member of this flow, with the draw of all that are computed in turn."""
        mask = draws.mask(path, self._mask_shape(), rate, self.value.dtype)
        if mask is not None:
            self.value = self.value * (mask.permute(0, 3, 1, 2) if self.value.dim() == 4 else mask)

    def _drop_apart(self, rates: Sequence[float], draws: ReplicateDraws) -> None:
        """Apply dropout for members of several replicates, with the draw that each would have alone."""
        if self.shared:
            self._separate()
        shape = self._mask_shape()
        drawn = [torch.rand(shape, generator=each, device=each.device) for each in draws.generators]
        if max(rates) == 0.0:
            return
        uniform_KN = torch.stack([drawn[number] for number in draws.replicate_of_K])
        rate_K = _place_rates(tuple(rates), uniform_KN.device).view(-1, *[1] * (uniform_KN.dim() - 1))
        mask_KN = (uniform_KN >= rate_K).to(self.value.dtype).mul_((1 / (1 - rate_K)).to(self.value.dtype))
        if self.value.dim() == 3:
            self.value = self.value * mask_KN
        else:
            self.value = (self._by_member() * mask_KN.permute(1, 0, 4, 2, 3)).flatten(1, 2)

    def _spread(self) -> None:
        """Give every member its own copy of its source's value, if there are several sources."""
        if 1 < self.num_sources < self.num_members:
            num_images, _, height, width = self.value.shape
            by_source = self.value.view(num_images, self.num_sources, -1, height, width)
            copies = by_source.repeat_interleave(self.num_members // self.num_sources, dim=1)
            self.value = copies.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        self.num_sources = 1

    def _separate(self) -> None:
        """Give each member its own copy of a shared value."""
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


@functools.lru_cache(maxsize=64)
def _place_rates(rates: tuple[float, ...], device: torch.device) -> Tensor:
    """Return dropout rates on a device, copied once: a copy in every step would synchronize with the device."""
    return torch.tensor(rates, device=device)


def _fold(images_KNCHW: Tensor) -> Tensor:
    """Return (N, (KC), H, W) in channels-last memory format."""
    return images_KNCHW.permute(1, 3, 4, 0, 2).flatten(3).permute(0, 3, 1, 2)


def _pool_same(images_NCHW: Tensor, layer: Pool, stride: int) -> Tensor:
    """Pool with `same` padding, which never is a maximum and does not count in an average."""
    (top, bottom), (left, right) = (pad_same(size, layer.size, stride) for size in images_NCHW.shape[-2:])
    sides = (left, right, top, bottom)
    if len(set(sides)) == 1:
        if layer.kind == "max":
            return F.max_pool2d(images_NCHW, layer.size, stride, padding=top)
        return F.avg_pool2d(images_NCHW, layer.size, stride, padding=top, count_include_pad=False)
    if layer.kind == "max":
        return F.max_pool2d(F.pad(images_NCHW, sides, value=-torch.inf), layer.size, stride)
    inside = F.pad(images_NCHW.new_ones(1, 1, *images_NCHW.shape[-2:]), sides)
    share = F.avg_pool2d(inside.float(), layer.size, stride)
    return (F.avg_pool2d(F.pad(images_NCHW, sides), layer.size, stride).float() / share).to(images_NCHW.dtype)
