"""Optimizers without torch's compiler: nothing here is compiled, and loading it costs every worker over a second.

`torch.optim` loads it (`torch._dynamo`, 1.2 s of CPU time and 70 MiB with torch 2.13) when the first optimizer is made,
because methods are marked with `torch._disable_dynamo`, and in every `step`, which is wrapped to break a compiled
graph. Both wrappers matter only to compiled code. If a version of torch has other wrappers, the numbers are the same
and the compiler is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def take_step(optimizer: Optimizer) -> None:
    """Take one optimizer step: of torch's own optimizers without the wrappers, of all others as usual.

    Hooks on the optimizer's step are not called.
    """
    step: Callable[[Optimizer], object] = type(optimizer).step
    if type(optimizer).__module__.startswith("torch.optim."):
        step = inspect.unwrap(step)
    with torch.no_grad():
        step(optimizer)


def _mark_plain() -> None:
    """Call the methods that torch hides from its compiler directly, as if the compiler were loaded."""
    for method in (Optimizer.add_param_group, Optimizer.zero_grad, Optimizer.state_dict, Optimizer.load_state_dict):
        plain: Any = inspect.unwrap(method)
        plain.__dynamo_disable = plain


_mark_plain()
