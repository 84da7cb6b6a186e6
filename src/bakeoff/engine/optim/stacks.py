"""The tensors of any kind of network, stacked with the members along the first axis.

Shape legend: K members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from bakeoff.engine.fused.build import FusedNetwork
from bakeoff.engine.parts import Network


@dataclass(frozen=True)
class Stacks:
    """A network's parameters and buffers as stacks (K, ...), which share its memory.

    Attributes:
        leaves: the leaf tensors for gradients, by the same names; a stack of one member may lack the first axis.
        refresh: updates the leaves' gradients.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]
    refresh: Callable[[], None]

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of those parameters that have one."""
        self.refresh()
        return {
            name: leaf.grad.view(self.parameters[name].shape)
            for name, leaf in self.leaves.items()
            if leaf.grad is not None
        }

    def everything(self) -> dict[str, Tensor]:
        """Return parameters and buffers."""
        return {**self.parameters, **self.buffers}


def read_stacks(network: Network) -> Stacks:
    """Return a network's stacks."""
    if isinstance(network, FusedNetwork):
        parameters = {name: stack.detach() for name, stack in network.stacked.items()}
        return Stacks(parameters, network.stacked_buffers, network.stacked, lambda: None)
    member, buffers = network.members[0], network.member_buffers[0]
    return Stacks(
        {name: parameter.detach().unsqueeze(0) for name, parameter in member.items()},
        {name: buffer.unsqueeze(0) for name, buffer in buffers.items()},
        member,
        network.share_gradients,
    )
