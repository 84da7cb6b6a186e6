"""Optimizers without torch's compiler: nothing here is compiled, and loading it costs every worker over a second.

`torch.optim` loads it (`torch._dynamo`, 1.2 s of a core and 70 MiB with torch 2.13) with the first optimizer that is
made, where methods are marked with `torch._disable_dynamo`, and in every `step`, which is wrapped to break a compiled
graph. Both wrappers only matter to code that is compiled. Where a version of torch has other wrappers, the numbers are
the same and the compiler is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def take_step(optimizer: Optimizer) -> None:
    """Move an optimizer's parameters by one step: torch's own by the step inside the wrappers, all others as they are.

    Hooks on the optimizer's step are not called.
    """
    step: Callable[[Optimizer], object] = type(optimizer).step
    if type(optimizer).__module__.startswith("torch.optim."):
        step = inspect.unwrap(step)
    with torch.no_grad():
        step(optimizer)


def _mark_plain() -> None:
    """Have the methods that torch hides from its compiler called directly, as they would be once it is loaded."""
    for method in (Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict):
        plain: Any = inspect.unwrap(method)
        plain.__dynamo_disable = plain


_mark_plain()
