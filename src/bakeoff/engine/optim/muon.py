"""Muon for matrices, AdamW for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_NUM_ITERATIONS = 5
_MUON_EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """MomentUm Orthogonalized by Newton-Schulz; AdamW moves vectors, and groups with `is_matrix` false.

    Filters count as matrices of a row per filter. torch's Muon, in bfloat16, is only for matrices; this one computes
    in float32, so that trials trained together and alone agree.

    Args:
        params: groups, whose matrices Muon updates unless `is_matrix` is false.
        lr: learning rate of both; a group may have its own.
        momentum: of matrices.
        nesterov: whether matrices have Nesterov momentum.
        weight_decay: decoupled, of both.
        adjust: how the learning rate depends on a matrix's shape: `original` or `match_rms_adamw`, as in torch.
        betas: AdamW's.
        eps: AdamW's.

    Source: Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks; Liu et al. (2025), Muon is
        scalable for LLM training, for `match_rms_adamw`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        adjust: str = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "adjust": adjust,
            "betas": betas,
            "eps": eps,
            "is_matrix": True,
        }
        super().__init__(params, defaults)

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
                    move = self._move_matrix if group["is_matrix"] and parameter.dim() > 1 else self._move_by_adamw
                    move(parameter, parameter.grad, group)
        return loss

    def _move_matrix(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(mean, group["momentum"]) if group["nesterov"] else mean
        matrix = orthogonalize(update.flatten(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(matrix.view(parameter.shape), alpha=group["lr"] * _find_factor(group["adjust"], *matrix.shape))

    def _move_by_adamw(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        adamw(
            [parameter],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            foreach=False,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix with orthogonal rows or columns, by five Newton-Schulz iterations.

    Source: `torch.optim.Muon`.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if is_tall else matrix
    found = found / found.norm().clamp(min=_MUON_EPSILON)
    for _ in range(_NUM_ITERATIONS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if is_tall else found


def _find_factor(adjust: str, rows: int, columns: int) -> float:
    """Return the factor on the learning rate of a matrix of this shape."""
    if adjust == "original":
        return math.sqrt(max(1.0, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns))
