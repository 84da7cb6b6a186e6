"""One optimizer call for the steps of many members, each of which keeps its own optimizer.

A call of `torch.optim` costs far more than the arithmetic of a small network's parameters. Members with equal settings,
including learning rate and schedule, share one optimizer that works on their own states; if these are all members of a
network, it works on the network's stacks, so that nine members cost as many calls as one. The results equal those of
separate steps, except that torch's fused Adam and AdamW round the last few elements of a tensor differently, so on
stacks they agree to rounding.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.schedules import Progress
from bakeoff.engine.fused.build import FusedNetwork
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.optim.make_optimizer import skips_decay
from bakeoff.engine.optim.plain_steps import take_step
from bakeoff.engine.parts import Network


@dataclass(frozen=True)
class _Part:
    """One group of parameters of one member's optimizer."""

    optimizer: torch.optim.Optimizer
    group: dict[str, Any]


class JointOptimizer:
    """Steps all members at once.

    Args:
        runners: bound to one network; none of them may be rebound while this is used.
        network: their network; without it their parameters are updated one by one.
    """

    def __init__(self, runners: Sequence[MemberTrainer], network: Network | None = None) -> None:
        self._runners, self._network = runners, network
        self._apart: list[torch.optim.Optimizer] = []
        parts: dict[tuple[type, str], list[_Part]] = defaultdict(list)
        for k, runner in enumerate(runners):
            assert runner.optimizer is not None, "members are bound before they are updated"
            if not OPTIMIZERS.find(runner.member.recipe.optimizer.name).elementwise:
                self._apart.append(runner.optimizer)
                continue
            for number, group in enumerate(runner.optimizer.param_groups):
                kind = (type(runner.optimizer), _describe(runner, group, k, number))
                parts[kind].append(_Part(runner.optimizer, group))
        self._unclipped = all(runner.member.recipe.clip is None for runner in runners)
        self._stacked: list[_StackedParts] = []
        one_kind = len(parts) == 1 or (
            all(skips_decay(runner.member.recipe.optimizer) for runner in runners)
            and all(len(found) == len(runners) for found in parts.values())
        )
        if one_kind and not self._apart and isinstance(network, FusedNetwork) and _step_together(runners):
            self._stacked = [_StackedParts(found, network) for found in parts.values()]
            self._joined = [
                (each.optimizer, found[0].group) for each, found in zip(self._stacked, parts.values(), strict=True)
            ]
        else:
            self._joined = [(_join(found), found[0].group) for found in parts.values()]

    def step(self, progress: Sequence[Progress]) -> None:
        """Take one step for every member, given each one's training progress before it."""
        if self._network is not None and not (self._stacked and self._unclipped):
            self._network.share_gradients()
        for runner, done in zip(self._runners, progress, strict=True):
            runner.prepare_step(done)
        for optimizer, first in self._joined:
            optimizer.param_groups[0]["lr"] = first["lr"]
            take_step(optimizer)
        for optimizer in self._apart:
            take_step(optimizer)
        for runner in self._runners:
            runner.end_step()

    def return_states(self) -> None:
        """Return the states to the members' own optimizers, after the last step."""
        for stacked in self._stacked:
            stacked.return_states()


class _StackedParts:
    """An optimizer over a network's stacks that replaces the members' own until `return_states`.

    Args:
        parts: the same group of parameters of every member, in the network's order.
        network: the members' network.
    """

    def __init__(self, parts: Sequence[_Part], network: FusedNetwork) -> None:
        self._parts, self._network = parts, network
        own = {id(parameter) for parameter in parts[0].group["params"]}
        names = [name for name, parameter in network.members[0].items() if id(parameter) in own]
        self._stacks = {name: network.stacked[name] for name in names}
        self.optimizer = _make_like(parts[0], list(self._stacks.values()))
        for name, stack in self._stacks.items():
            states = [part.optimizer.state.get(network.members[k][name], {}) for k, part in enumerate(parts)]
            if states[0]:
                self.optimizer.state[stack] = {key: _stack([state[key] for state in states]) for key in states[0]}

    def return_states(self) -> None:
        for name, stack in self._stacks.items():
            for k, part in enumerate(self._parts):
                own = {key: _take(value, k) for key, value in self.optimizer.state[stack].items()}
                if own:
                    part.optimizer.state[self._network.members[k][name]] = own


def _stack(values: Sequence[Any]) -> Any:
    """Return the state of a stacked parameter: one number for all members, or one tensor per member."""
    return torch.stack(list(values)) if _is_per_weight(values[0]) else _copy(values[0])


def _take(value: Any, k: int) -> Any:
    return value[k] if _is_per_weight(value) else _copy(value)


def _is_per_weight(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _step_together(runners: Sequence[MemberTrainer]) -> bool:
    """Return whether there are several members that always step together."""
    return len(runners) > 1 and len({runner.member.recipe.accumulate for runner in runners}) == 1


def _describe(runner: MemberTrainer, group: dict[str, Any], k: int, number: int) -> str:
    """Return a text that is equal for parameter groups that are always updated alike."""
    recipe = runner.member.recipe
    settings = {name: repr(value) for name, value in group.items() if name != "params"}
    rate = [recipe.schedule.model_dump(mode="json"), recipe.epochs]
    # A plateau schedule gives a member its own learning rate.
    own = [k, number] if runner.plateau is not None else []
    return json.dumps([settings, rate, own], sort_keys=True)


def _join(parts: Sequence[_Part]) -> torch.optim.Optimizer:
    """Return an optimizer over the parameters of all parts that uses the states of their own optimizers."""
    joint = _make_like(parts[0], [parameter for part in parts for parameter in part.group["params"]])
    for part in parts:
        for parameter in part.group["params"]:
            joint.state[parameter] = part.optimizer.state[parameter]
    return joint


def _make_like(part: _Part, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
    """Return an optimizer with a part's class and settings over other parameters."""
    settings = {name: value for name, value in part.group.items() if name != "params"}
    # Every optimizer except the base class can be created from parameters alone.
    make: Callable[..., torch.optim.Optimizer] = type(part.optimizer)
    return make([{**settings, "params": list(parameters)}])
