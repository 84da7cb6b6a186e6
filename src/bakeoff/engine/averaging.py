"""Weight averaging: the evaluated and stored network has averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bakeoff.catalog.averaging import AnyAveraging


class Average:
    """The average of one member's weights so far. It only reads the given tensors; `state` is its own copy.

    Attributes:
        choice: how to average.
        num_updates: number of averaged states.
        state: the average, with the states' names; None before the first state.
    """

    def __init__(self, choice: AnyAveraging) -> None:
        self.choice = choice
        self.num_updates = 0
        self.state: dict[str, Tensor] | None = None

    def after_step(self, state: Mapping[str, Tensor]) -> None:
        """Update after a step, if the choice averages after every step."""
        if self.choice.per_step:
            self.update(state)

    def after_epoch(self, state: Mapping[str, Tensor], epoch: int) -> None:
        """Update after `epoch` (from 1), if the choice averages this epoch."""
        if self.choice.takes_epoch(epoch):
            self.update(state)

    def update(self, state: Mapping[str, Tensor]) -> None:
        """Average one more state: parameters and batch norm's statistics. Integers are copied, not averaged.

        The first state is the average; the n-th has weight 1/n for SWA, and one minus the decay for EMA.
        """
        self.num_updates += 1
        if self.state is None:
            self.state = {name: tensor.detach().clone() for name, tensor in state.items()}
            return
        weight = self.weigh(self.num_updates)
        for name, tensor in state.items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor.detach(), weight)
            else:
                self.state[name].copy_(tensor.detach())

    def weigh(self, number: int) -> float:
        """Return the weight of the `number`-th state, from 1, relative to the average of those before."""
        return 1.0 if number == 1 else self.choice.weigh(number)

    def move_to(self, device: torch.device) -> None:
        """Move the average to a device."""
        if self.state is not None:
            self.state = {name: tensor.to(device) for name, tensor in self.state.items()}

    def pack(self) -> dict[str, Any]:
        """Return everything except the choice, as tensors and plain values."""
        return {"state": self.state, "num_updates": self.num_updates}

    @classmethod
    def unpack(cls, choice: AnyAveraging, packed: Mapping[str, Any]) -> Average:
        """Rebuild an average from `pack`'s record."""
        average = cls(choice)
        average.num_updates = packed["num_updates"]
        if packed["state"] is not None:
            average.state = {name: tensor.clone() for name, tensor in packed["state"].items()}
        return average
