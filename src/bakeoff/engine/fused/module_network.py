"""A body and its head as one trained network, with the interface of a fused network of one member.

Shape legend: K = 1 member, N images, C channels, H and W pixels, F features, L classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import Layer
from bakeoff.engine.fused.build import FusedNetwork, State, initialize
from bakeoff.engine.fused.draws import Randomness, ReplicateDraws
from bakeoff.engine.fused.modules import Body

BODY = "body."
HEAD = "head."

_MAX_SEED = 2**62


def first_state(body: Body, head: Sequence[Layer], choice: InitializerChoice, seed: int) -> State:
    """Return the current parameters and buffers of a body, and initial ones of a head.

    The head is initialized like a head on cached features: an arm with a frozen body starts the same either way.

    Returns:
        Copies, named `body.<torch's name>` and `head.<layer number>.weight`.
    """
    state = {f"{BODY}{name}": value.detach().clone() for name, value in body.state().items()}
    drawn = initialize(head, (1, 1, body.num_features), choice, seed)
    return state | {f"{HEAD}{name}": value for name, value in drawn.items()}


def split_state(state: Mapping[str, Tensor]) -> tuple[State, State]:
    """Return the body's and the head's part of a state, each under its own names, without the prefix."""
    body = {name.removeprefix(BODY): value for name, value in state.items() if name.startswith(BODY)}
    head = {name.removeprefix(HEAD): value for name, value in state.items() if name.startswith(HEAD)}
    return body, head


class ModuleNetwork:
    """One member whose body is a torch module.

    The body's module is called functionally with this network's own parameters and buffers, so several networks can
    share it. The head is a `FusedNetwork` of one member on the features.

    Args:
        body: maps images to features.
        head: the layers above, ending in one output per class.
        state: parameters and buffers by `first_state`'s names. They are copied.
        dtype: the dtype of the arithmetic; parameters, gradients, buffers and logits stay float32.
        body_frozen: whether the body is in evaluation mode without gradients; may be changed between steps.
        norms_frozen: whether the body's batch norms are always in evaluation mode; their scale and shift are trained.
    """

    num_members = 1

    def __init__(
        self,
        body: Body,
        head: Sequence[Layer],
        state: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        body_frozen: bool = False,
        norms_frozen: bool = False,
    ) -> None:
        self.body, self.dtype, self.body_frozen = body, dtype, body_frozen
        self._frozen_norms = [each for each in body.modules() if norms_frozen and isinstance(each, _BatchNorm)]
        body_state, head_state = split_state(state)
        body.to(next(iter(body_state.values())).device)  # including tables that are not part of its state
        self.head = FusedNetwork([head], [head_state], dtype)
        # Buffers outside a module's state (computed tables) stay in the shared module.
        trained = {name: value for name, value in body.state().items() if isinstance(value, nn.Parameter)}
        self._parameters = {
            name: nn.Parameter(body_state[name].detach().clone(), requires_grad=value.requires_grad)
            for name, value in trained.items()
        }
        self._buffers = {name: body_state[name].detach().clone() for name in body.state() if name not in trained}
        self.members: list[dict[str, nn.Parameter]] = [
            {f"{BODY}{name}": value for name, value in self._parameters.items()}
            | {f"{HEAD}{name}": value for name, value in self.head.members[0].items()}
        ]
        self.member_buffers: list[State] = [
            {f"{BODY}{name}": value for name, value in self._buffers.items()}
            | {f"{HEAD}{name}": value for name, value in self.head.member_buffers[0].items()}
        ]

    def clear_gradients(self) -> None:
        """Reset the gradients."""
        self.head.clear_gradients()
        for parameter in self._parameters.values():
            parameter.grad = None

    def share_gradients(self) -> None:
        """Set the gradients of the member's parameters; a frozen body has none."""
        self.head.share_gradients()

    def cast(self) -> State:
        """Return the head's parameters in the arithmetic's dtype; the body's are cast by autocast."""
        return self.head.cast()

    def __call__(self, images: Tensor, weights: State, dropout: Randomness | None = None) -> Tensor:
        """Return float32 logits_KNL.

        Args:
            images: (N, C, H, W) or (1, N, C, H, W), in `self.dtype`.
            weights: the result of `cast`.
            dropout: random source in training, also inside the body; None in evaluation.
        """
        if isinstance(dropout, ReplicateDraws):
            (dropout,) = dropout.generators
        features_NF = self.compute_features(images[0] if images.dim() == 5 else images, dropout)
        return self.head(features_NF[:, :, None, None].to(self.dtype), weights, dropout)

    def compute_features(self, images_NCHW: Tensor, dropout: torch.Generator | None = None) -> Tensor:
        """Return the body's features_NF; in training its random numbers come from `dropout`."""
        training = dropout is not None and not self.body_frozen
        self.body.train(training)
        for norm in self._frozen_norms:
            norm.eval()
        device = images_NCHW.device
        # A captured step cannot be reseeded, so this is done only if necessary.
        seeded = training and (device.type == "cpu" or self.body.draws)
        with (
            torch.set_grad_enabled(torch.is_grad_enabled() and not self.body_frozen),
            torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], enabled=seeded),
        ):
            if seeded and dropout is not None:
                # The body uses torch's global generator: seeded here, it is also a function of the replicate.
                torch.manual_seed(int(torch.randint(_MAX_SEED, (), generator=dropout, device=dropout.device)))
            features_NF: Tensor = torch.func.functional_call(
                self.body,
                {f"network.{name}": value for name, value in (self._parameters | self._buffers).items()},
                (images_NCHW,),
            )
        return features_NF


class FrozenBody:
    """A body that only computes features, without randomness or gradients.

    Args:
        body: the body's shared module.
        state: its parameters and buffers, by the names of `Body.state` or with the prefix `body.`.
        dtype: the dtype of the arithmetic.
    """

    def __init__(self, body: Body, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
        named = split_state(state)[0] or state
        self.num_features = body.num_features
        self._body, self._dtype = body, dtype
        self._state = {f"network.{name}": named[name].detach() for name in body.state()}
        body.to(next(iter(self._state.values())).device)

    @torch.no_grad()
    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Return float32 features_NF."""
        self._body.eval()
        with torch.autocast(images_NCHW.device.type, self._dtype, enabled=self._dtype != torch.float32):
            features_NF: Tensor = torch.func.functional_call(self._body, self._state, (images_NCHW,))
        return features_NF.float()


class FrozenLayers:
    """The leading layers of a layer network as a body that only computes features.

    Args:
        layers: the body's layers.
        state: their parameters and buffers; others are ignored.
        num_features: length of the flattened output.
        dtype: the dtype of the arithmetic.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        state: Mapping[str, Tensor],
        num_features: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        own = {name: value for name, value in state.items() if int(name.partition(".")[0]) < len(layers)}
        self.num_features = num_features
        self._network = FusedNetwork([layers], [own], dtype, frozen_layers=len(layers))

    @torch.no_grad()
    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Return float32 features_NF, flattened channel by channel, as for a dense layer."""
        value = self._network(images_NCHW, self._network.cast())
        return (value[0] if value.dim() == 3 else value).flatten(1)
