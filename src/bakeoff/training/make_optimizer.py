"""From an optimizer's record to the optimizer itself, and its learning rate while training goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from bakeoff.registry import bind
from bakeoff.training.optimizers import OPTIMIZERS, AnyOptimizer


def find_class(choice: AnyOptimizer) -> type[torch.optim.Optimizer]:
    """Return the optimizer class that settings are for: torch's, ours, or another package's."""
    kind: type[torch.optim.Optimizer] = bind(OPTIMIZERS.find(choice.name).make)
    return kind


def make_optimizer(choice: AnyOptimizer, groups: Mapping[float, Sequence[nn.Parameter]]) -> torch.optim.Optimizer:
    """Return a member's own optimizer, in its fused form where torch has one.

    Args:
        choice: which, with its settings.
        groups: what it moves, by the factor on the learning rate that it has for all of training; most networks are
            one group, of factor 1.

    Returns:
        An optimizer whose groups also hold `initial_lr`, the rate before any schedule.
    """
    record, arguments = OPTIMIZERS.find(choice.name), choice.arguments()
    on_processor = all(each.device.type == "cpu" for parameters in groups.values() for each in parameters)
    if record.fused == "always" or (record.fused == "cpu" and on_processor):
        arguments["fused"] = True
    parts = []
    for factor, parameters in groups.items():
        rate = choice.learning_rate * factor
        parts.append({"params": list(parameters), "lr": rate, "initial_lr": rate})
    optimizer: torch.optim.Optimizer = find_class(choice)(parts, **arguments)
    return optimizer


def set_share(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to this share of what it is before any schedule."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * share


def complete_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter that SGD moves with momentum its buffer, of zeros where it has none.

    torch's fused SGD takes buffers for all parameters or for none, so it fails at the step in which a body thaws, or a
    layer that was skipped is used. The first step is the same: torch begins with the gradient itself, which is what
    zeros times the momentum plus the gradient come to.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
