"""Creates optimizers from their records, and sets their learning rates during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from bakeoff.catalog.optimizers import OPTIMIZERS, AnyOptimizer
from bakeoff.registry import bind


def find_class(choice: AnyOptimizer) -> type[torch.optim.Optimizer]:
    """Return the optimizer class for settings: torch's, ours or another package's."""
    kind: type[torch.optim.Optimizer] = bind(OPTIMIZERS.find(choice.name).make)
    return kind


def make_optimizer(
    choice: AnyOptimizer, groups: Mapping[float, Sequence[nn.Parameter]], head: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return a member's own optimizer, fused if torch has a fused version.

    Args:
        choice: the optimizer's settings.
        groups: parameters by the constant factor on their learning rate; most networks are one group of factor 1.
        head: those of the last layer, which optimizers for matrices treat like biases.

    Returns:
        An optimizer whose groups also hold `initial_lr`, the rate before any schedule. Parameters that weight decay
        skips have a group of their own.
    """
    record, arguments = OPTIMIZERS.find(choice.name), choice.arguments()
    on_cpu = all(each.device.type == "cpu" for parameters in groups.values() for each in parameters)
    if record.fused == "always" or (record.fused == "cpu" and on_cpu):
        arguments["fused"] = True
    parts = []
    for factor, parameters in groups.items():
        for is_matrix, alike in _split_by_shape(choice, parameters, head):
            rate = choice.find_rate(is_matrix=is_matrix) * factor
            kind = {"is_matrix": is_matrix} if choice.splits_matrices else {}
            for decays, members in _split_by_decay(choice, alike):
                decay = {} if decays else {"weight_decay": 0.0}
                parts.append({"params": members, "lr": rate, "initial_lr": rate, **kind, **decay})
    optimizer: torch.optim.Optimizer = find_class(choice)(parts, **arguments)
    return optimizer


def skips_decay(choice: AnyOptimizer) -> bool:
    """Return whether weight decay skips the parameters of one dimension: norms and biases."""
    return getattr(choice, "decay_norms_and_biases", True) is False and getattr(choice, "weight_decay", 0.0) != 0


def _split_by_shape(
    choice: AnyOptimizer, parameters: Sequence[nn.Parameter], head: Sequence[nn.Parameter]
) -> list[tuple[bool, list[nn.Parameter]]]:
    """Return a group's matrices and filters before the head, and the rest; one group if that makes no difference."""
    if not choice.splits_matrices:
        return [(False, list(parameters))]
    in_head = {id(each) for each in head}
    parts = [
        (is_matrix, [each for each in parameters if (each.dim() > 1 and id(each) not in in_head) == is_matrix])
        for is_matrix in (True, False)
    ]
    return [(is_matrix, members) for is_matrix, members in parts if members]


def _split_by_decay(choice: AnyOptimizer, parameters: Sequence[nn.Parameter]) -> list[tuple[bool, list[nn.Parameter]]]:
    """Return a group's parameters with and without weight decay; one group if all of them have it."""
    if not skips_decay(choice):
        return [(True, list(parameters))]
    parts = [(decays, [each for each in parameters if (each.dim() > 1) == decays]) for decays in (True, False)]
    return [(decays, members) for decays, members in parts if members]


def set_share(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to this factor times its initial rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * share


def complete_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter that SGD updates with momentum a buffer, of zeros if it has none.

    torch's fused SGD takes buffers for all parameters or for none, so it would fail at the step in which a body is
    unfrozen or a skipped layer is used. The first step is unchanged: torch initializes the buffer with the gradient,
    which equals momentum times zero plus the gradient.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
