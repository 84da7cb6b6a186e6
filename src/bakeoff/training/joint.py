"""One call for the steps of many members: their optimizers stay their own, and so does every number.

A call of `torch.optim` costs far more than the arithmetic of a small network's parameters. Members whose settings are
equal, learning rate and schedule included, are handed to one optimizer that works on the states of their own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bakeoff.training.runner import Runner

_Part = tuple[torch.optim.Optimizer, dict[str, Any]]


class JointOptimizer:
    """Steps all members at once.

    Args:
        runners: bound to one network; none of them is bound again while this is used.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners
        parts: dict[tuple[type, str], list[_Part]] = defaultdict(list)
        for k, runner in enumerate(runners):
            assert runner.optimizer is not None, "members are bound before they are moved"
            for number, group in enumerate(runner.optimizer.param_groups):
                kind = (type(runner.optimizer), _describe(runner, group, k, number))
                parts[kind].append((runner.optimizer, group))
        self._joined = [(_join(found), found[0][1]) for found in parts.values()]

    def step(self, progress_epochs: Sequence[float]) -> None:
        """Move every member's parameters by one step.

        Args:
            progress_epochs: how much of its training each member has done before the step, in epochs.
        """
        for runner, progress in zip(self._runners, progress_epochs, strict=True):
            runner.prepare_step(progress)
        for optimizer, first in self._joined:
            optimizer.param_groups[0]["lr"] = first["lr"]
            optimizer.step()
        for runner in self._runners:
            runner.end_step()


def _describe(runner: Runner, group: dict[str, Any], k: int, number: int) -> str:
    """Return a text equal for groups of parameters that are always moved alike."""
    recipe = runner.member.recipe
    settings = {name: repr(value) for name, value in group.items() if name != "params"}
    rate = [recipe.schedule.model_dump(mode="json"), recipe.epochs]
    # Who waits for plateaus has a rate that the others' does not follow.
    own = [k, number] if runner.plateau is not None else []
    return json.dumps([settings, rate, own], sort_keys=True)


def _join(parts: Sequence[_Part]) -> torch.optim.Optimizer:
    """Return an optimizer over the parameters of all parts, on the very states that their own optimizers hold."""
    optimizer, group = parts[0]
    settings = {name: value for name, value in group.items() if name != "params"}
    parameters = [parameter for _, each in parts for parameter in each["params"]]
    make: Callable[..., torch.optim.Optimizer] = type(optimizer)  # every one but the base class takes parameters alone
    joint = make([{**settings, "params": parameters}])
    for own, each in parts:
        for parameter in each["params"]:
            joint.state[parameter] = own.state[parameter]
    return joint
