"""Gradient clipping, per member."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from bakeoff.catalog.clipping import Clip


def clip(parameters: Iterable[nn.Parameter], choice: Clip) -> None:
    """Clip the gradients of one member, in place.

    Args:
        parameters: all of the member's parameters: the norm is the L2 norm of its whole gradient.
        choice: the limit.

    Non-finite gradients stay so: the member then fails by its own loss, which is reported.

    Source: Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks, section 3.2.
    """
    if choice.norm is not None:
        clip_grad_norm_(parameters, choice.norm)
    elif choice.value is not None:
        clip_grad_value_(parameters, choice.value)
