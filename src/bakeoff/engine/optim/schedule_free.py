"""Schedule-free SGD and AdamW, which average their iterates instead of lowering the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class ScheduleFree(torch.optim.Optimizer):
    """Takes gradients at y, between the fast iterate z and the average x, which is what is evaluated.

    The parameters are y; z is in the state; x follows from both.

    Args:
        params: tensors, or groups of them as in torch.optim.
        lr: learning rate; larger ones of the past give later iterates a larger weight in the average.
        beta: y = (1 - beta) z + beta x.
        beta2: decay of the running mean of squared gradients, by whose root AdamW divides; None: SGD.
        weight_decay: decoupled, at y.
        eps: added to AdamW's denominator.

    Source: Defazio et al. (2024), The road less scheduled; `schedulefree`'s `AdamWScheduleFree`, `SGDScheduleFree`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        beta: float,
        weight_decay: float,
        beta2: float | None = None,
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "beta": beta, "beta2": beta2, "weight_decay": weight_decay, "eps": eps}
        # Grown in every step, and stored with the groups.
        counts = {"num_steps": 0, "largest_lr": 0.0, "weight_sum": 0.0}
        super().__init__(params, {**defaults, **counts})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch overloads by closure
        """Update every parameter that has a gradient; `closure` is called first, with gradients enabled."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            group["num_steps"] += 1
            group["largest_lr"] = max(group["largest_lr"], group["lr"])
            weight = group["largest_lr"] ** 2
            group["weight_sum"] += weight
            newest = weight / group["weight_sum"] if group["weight_sum"] else 0.0
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group, newest)
        return loss

    def _move(self, y: Tensor, gradient: Tensor, group: dict[str, Any], newest: float) -> None:
        """Move one parameter; `newest` is the weight of the new z in the average."""
        state, lr = self.state[y], group["lr"]
        if not state:
            state["z"] = y.detach().clone(memory_format=torch.preserve_format)
            if group["beta2"] is not None:
                state["exp_avg_sq"] = torch.zeros_like(y, memory_format=torch.preserve_format)
        direction = gradient
        if group["beta2"] is not None:
            squares = state["exp_avg_sq"].mul_(group["beta2"]).addcmul_(gradient, gradient, value=1 - group["beta2"])
            correction = 1 - group["beta2"] ** group["num_steps"]
            direction = gradient / squares.div(correction).sqrt_().add_(group["eps"])
        if group["weight_decay"]:
            direction = direction.add(y, alpha=group["weight_decay"])
        y.lerp_(state["z"], newest)
        y.add_(direction, alpha=lr * (group["beta"] * (1 - newest) - 1))
        state["z"].sub_(direction, alpha=lr)

    @torch.no_grad()
    def average_weights(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the average x of each parameter, by name; of one that has not moved, its value."""
        betas = {id(each): group["beta"] for group in self.param_groups for each in group["params"]}
        return {
            name: y.detach().lerp(self.state[y]["z"], 1 - 1 / betas[id(y)]) if self.state.get(y) else y.detach().clone()
            for name, y in parameters.items()
        }


class SGDScheduleFree(ScheduleFree):
    """Schedule-free SGD."""

    def __init__(self, params: Iterable[Any], lr: float = 1.0, beta: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, beta, weight_decay)


class AdamWScheduleFree(ScheduleFree):
    """Schedule-free AdamW."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0025,
        beta: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, beta, weight_decay, beta2, eps)
