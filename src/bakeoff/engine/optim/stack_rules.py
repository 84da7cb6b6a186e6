"""Optimizer updates for a stack of members: the arithmetic of `torch.optim`, with each member's own settings.

Shape legend: K members, the first axis of every stack; settings are broadcast over the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bakeoff.catalog.adam_family import Adam, AdamW
from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, AnyOptimizer, Lion, RMSprop
from bakeoff.registry import bind

Hyper = Mapping[str, Tensor]
Kept = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """One optimizer's update.

    Attributes:
        move: takes weights, gradients, learning rates, settings and state; changes weights and state in place.
        hyper: names of the settings it reads, as in its record.
        tensors: names of its state per weight, as in `torch.optim`.
        counts: names of its state per parameter: the number of steps taken.
    """

    move: Callable[[Tensor, Tensor, Tensor, Hyper, Kept], None]
    hyper: tuple[str, ...]
    tensors: tuple[str, ...]
    counts: tuple[str, ...] = ()


def _sgd(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    weights.sub_(rate * _decay(weights, gradients, hyper))


def _momentum(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    # torch's first buffer is the gradient itself, which equals momentum times zero plus the gradient.
    buffer = kept["momentum_buffer"]
    buffer.mul_(hyper["momentum"]).add_(_decay(weights, gradients, hyper))
    weights.sub_(rate * buffer)


def _nesterov(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    decayed, buffer = _decay(weights, gradients, hyper), kept["momentum_buffer"]
    buffer.mul_(hyper["momentum"]).add_(decayed)
    weights.sub_(rate * torch.addcmul(decayed, hyper["momentum"], buffer))


def _adam(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    _scale_by_moments(weights, _decay(weights, gradients, hyper), rate, hyper, kept)


def _adamw(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    weights.mul_(1 - rate * hyper["weight_decay"])
    _scale_by_moments(weights, gradients, rate, hyper, kept)


def _scale_by_moments(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    steps = kept["step"].add_(1).view(rate.shape)
    mean, square = kept["exp_avg"], kept["exp_avg_sq"]
    mean.lerp_(gradients, 1 - hyper["beta1"])
    square.mul_(hyper["beta2"]).addcmul_((1 - hyper["beta2"]) * gradients, gradients)
    # In float32 1 - beta2^t loses digits: these few numbers per member are computed in float64.
    first, second = (_correct(hyper[name], steps) for name in ("beta1", "beta2"))
    weights.addcdiv_(mean * (-rate / first), (square.sqrt() / second.sqrt()).add_(hyper["epsilon"]))


def _correct(beta: Tensor, steps: Tensor) -> Tensor:
    wide = torch.float32 if beta.device.type == "mps" else torch.float64
    return (1 - beta.to(wide) ** steps.to(wide)).float()


def _rmsprop(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    weights.sub_(rate * _scale_by_root(weights, gradients, hyper, kept))


def _rmsprop_momentum(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    buffer = kept["momentum_buffer"]
    buffer.mul_(hyper["momentum"]).add_(_scale_by_root(weights, gradients, hyper, kept))
    weights.sub_(rate * buffer)


def _scale_by_root(weights: Tensor, gradients: Tensor, hyper: Hyper, kept: Kept) -> Tensor:
    decayed, square = _decay(weights, gradients, hyper), kept["square_avg"]
    kept["step"].add_(1)
    square.mul_(hyper["smoothing"]).addcmul_((1 - hyper["smoothing"]) * decayed, decayed)
    root = square
    if "grad_avg" in kept:
        mean = kept["grad_avg"].lerp_(decayed, 1 - hyper["smoothing"])
        root = torch.addcmul(square, mean, mean, value=-1)
    return decayed / root.sqrt().add_(hyper["epsilon"])


def _lion(weights: Tensor, gradients: Tensor, rate: Tensor, hyper: Hyper, kept: Kept) -> None:
    mean = kept["exp_avg"]
    direction = torch.lerp(mean, gradients, (1 - hyper["beta1"]).expand_as(mean)).sign_()
    weights.mul_(1 - rate * hyper["weight_decay"]).sub_(rate * direction)
    mean.lerp_(gradients, 1 - hyper["beta2"])


def _decay(weights: Tensor, gradients: Tensor, hyper: Hyper) -> Tensor:
    """Return the gradients with an L2 penalty's added."""
    return torch.addcmul(gradients, hyper["weight_decay"], weights)


_MOMENTS = ("exp_avg", "exp_avg_sq")
_ADAM = ("beta1", "beta2", "epsilon", "weight_decay")
_ROOT = ("smoothing", "epsilon", "weight_decay")

_SGD = Rule(_sgd, ("weight_decay",), ())
_MOMENTUM = Rule(_momentum, ("momentum", "weight_decay"), ("momentum_buffer",))
_NESTEROV = Rule(_nesterov, ("momentum", "weight_decay"), ("momentum_buffer",))


def choose_sgd(settings: SGD) -> Rule:
    """Return the rule of plain SGD, momentum or Nesterov momentum."""
    return _NESTEROV if settings.nesterov else _MOMENTUM if settings.momentum else _SGD


def choose_adam(settings: Adam) -> Rule:
    """Return Adam's rule."""
    return Rule(_adam, _ADAM, _MOMENTS, ("step",))


def choose_adamw(settings: AdamW) -> Rule:
    """Return AdamW's rule."""
    return Rule(_adamw, _ADAM, _MOMENTS, ("step",))


def choose_rmsprop(settings: RMSprop) -> Rule:
    """Return RMSprop's rule: with or without momentum, centred or not."""
    move = _rmsprop_momentum if settings.momentum else _rmsprop
    hyper = (*_ROOT, "momentum") if settings.momentum else _ROOT
    buffers = ("momentum_buffer",) if settings.momentum else ()
    return Rule(move, hyper, ("square_avg", *buffers, *(("grad_avg",) if settings.centered else ())), ("step",))


def choose_lion(settings: Lion) -> Rule:
    """Return Lion's rule."""
    return Rule(_lion, ("beta1", "beta2", "weight_decay"), ("exp_avg",))


def find_rule(choice: AnyOptimizer) -> Rule | None:
    """Return the rule that updates a stack of members with this optimizer; None if there is none.

    Members with equal rules can be updated together.
    """
    path = OPTIMIZERS.find(choice.name).stack_rule
    rule: Rule | None = bind(path)(choice) if path else None
    return rule
