"""The Lion optimizer, which torch.optim lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lion(torch.optim.Optimizer):
    """EvoLved sIgn mOmeNtum: every weight changes by the same amount, in the direction of a running mean's sign.

    c = beta1 m + (1 - beta1) g;  w = w - lr (sign(c) + weight_decay w);  m = beta2 m + (1 - beta2) g

    Args:
        params: tensors, or groups of them as in torch.optim.
        lr: step size, above 0.
        betas: decay of the mean gradient m in the direction of a step, and in its own update.
        weight_decay: decoupled weight decay, multiplied by the learning rate.

    Source: Chen et al. (2023), Symbolic discovery of optimization algorithms, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch overloads by closure
        """Update every parameter that has a gradient; `closure` is called first, with gradients enabled."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        mean = state["exp_avg"]
        beta1, beta2 = group["betas"]
        direction = mean.lerp(gradient, 1 - beta1).sign_()
        if group["weight_decay"] > 0:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(direction, alpha=group["lr"])
        mean.lerp_(gradient, 1 - beta2)
