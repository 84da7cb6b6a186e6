"""One update for all members of a cohort: every stacked parameter at once, each member with its own settings.

The arithmetic is that of the members' optimizers in `torch.optim`, written for stacks. Each optimizer's state is a view
of the stacked state, so checkpoints are the same either way.

Shape legend: K members, S steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Progress
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.optim.make_optimizer import skips_decay
from bakeoff.engine.optim.stack_rules import Rule, find_rule
from bakeoff.engine.optim.stacks import read_stacks
from bakeoff.engine.parts import Network


def fits(recipes: Sequence[Recipe]) -> bool:
    """Return whether such members can be updated at once: all step after every batch, with stacked optimizers."""
    return all(recipe.accumulate == 1 and find_rule(recipe.optimizer) is not None for recipe in recipes)


class StackedOptimizer:
    """Updates all members of a network at once.

    `step` never synchronizes with the device and depends on the step number only through tensors on it, so it can be
    recorded and replayed.

    Args:
        network: the network whose parameters are updated.
        runners: its members, bound to it.
        num_steps: steps per epoch.
    """

    def __init__(self, network: Network, runners: Sequence[MemberTrainer], num_steps: int) -> None:
        self._stacks, self._runners = read_stacks(network), runners
        first = next(iter(self._stacks.parameters.values()))
        self._device = first.device
        zeros = torch.zeros(num_steps, len(runners), device=self._device)
        self._shares_SK, self._newest_SK = zeros, zeros.clone()
        self._number = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._runs = [_Run(start, end, runners[start:end], self._device) for start, end in _find_runs(runners)]
        self._norm_K = self._limits("norm")
        self._value_K = self._limits("value")
        self._averages = self._stack_averages()

    def begin_epoch(self, progress: Sequence[Progress]) -> None:
        """Compute what changes from step to step of an epoch: learning rates and weights of averages.

        Args:
            progress: training progress before each step.
        """
        shares = [[runner.rate_share(done) for runner in self._runners] for done in progress]
        self._shares_SK[: len(shares)].copy_(torch.tensor(shares))
        newest = [[_weigh(runner, number) for runner in self._runners] for number in range(1, len(progress) + 1)]
        self._newest_SK[: len(newest)].copy_(torch.tensor(newest))
        self._number.zero_()

    def end_epoch(self, num_steps: int) -> None:
        """Update the averages' counts of included states."""
        for runner in self._runners:
            if runner.average is not None and runner.average.choice.per_step:
                runner.average.num_updates += num_steps

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient by one step."""
        gradients = self._clip(self._stacks.gradients())
        share_K = self._shares_SK.index_select(0, self._number)[0]
        for run in self._runs:
            run.move(self._stacks.parameters, gradients, share_K[run.start : run.end])
        if self._averages:
            newest_K = self._newest_SK.index_select(0, self._number)[0]
            for name, stack in self._stacks.everything().items():
                self._update_average(self._averages[name], stack, newest_K)
        self._number += 1

    def _update_average(self, average: Tensor, stack: Tensor, newest_K: Tensor) -> None:
        if average.is_floating_point():
            average.lerp_(stack, _spread(newest_K, stack))
        else:
            average.copy_(torch.where(_spread(newest_K, stack) > 0, stack, average))

    def _clip(self, gradients: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self._norm_K is not None:
            squares = [gradient.flatten(1).norm(dim=1).square() for gradient in gradients.values()]
            scale_K = (self._norm_K / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
            gradients = {name: gradient * _spread(scale_K, gradient) for name, gradient in gradients.items()}
        if self._value_K is not None:
            limits = {name: _spread(self._value_K, gradient) for name, gradient in gradients.items()}
            gradients = {
                name: torch.maximum(torch.minimum(gradient, limits[name]), -limits[name])
                for name, gradient in gradients.items()
            }
        return gradients

    def _limits(self, kind: str) -> Tensor | None:
        """Return each member's limit of a kind, infinite if it has none; None if no member has one."""
        clips = [runner.member.recipe.clip for runner in self._runners]
        limits = [math.inf if clip is None else getattr(clip, kind) or math.inf for clip in clips]
        return None if all(math.isinf(limit) for limit in limits) else torch.tensor(limits, device=self._device)

    def _stack_averages(self) -> dict[str, Tensor]:
        """Stack the averages that are updated after every step; the members' own become views."""
        averaging = {
            k: runner.average
            for k, runner in enumerate(self._runners)
            if runner.average is not None and runner.average.choice.per_step
        }
        stacks = {name: stack.clone() for name, stack in self._stacks.everything().items()} if averaging else {}
        for k, average in averaging.items():
            for name, stack in stacks.items():
                if average.state is not None:
                    stack[k].copy_(average.state[name])
            average.state = {name: stack[k] for name, stack in stacks.items()}
        return stacks


class _Run:
    """Adjacent members with the same kind of optimizer."""

    def __init__(self, start: int, end: int, runners: Sequence[MemberTrainer], device: torch.device) -> None:
        self.start, self.end = start, end
        self._runners = runners
        choices = [runner.member.recipe.optimizer for runner in runners]
        rule = find_rule(choices[0])
        assert rule is not None, "`fits` was asked before"
        self._rule = rule
        self._hyper = {
            name: torch.tensor([[_hyper_of(choice, name)] for choice in choices], device=device)
            for name in self._rule.hyper
        }
        self._hyper_flat = dict(self._hyper)
        if "weight_decay" in self._hyper:
            skipped = torch.tensor([[skips_decay(choice)] for choice in choices], device=device)
            self._hyper_flat["weight_decay"] = self._hyper["weight_decay"].masked_fill(skipped, 0.0)
        self._names: tuple[str, ...] = ()
        self._groups: list[_Group] = []

    def move(self, stacks: Mapping[str, Tensor], gradients: Mapping[str, Tensor], share_K: Tensor) -> None:
        """Update these members' part of all stacked parameters that have a gradient."""
        own = {name: stacks[name][self.start : self.end] for name in gradients}
        if tuple(gradients) != self._names:
            self._names, self._groups = tuple(gradients), self._group(own)
        for group in self._groups:
            group.move(own, {name: gradients[name][self.start : self.end] for name in group.names}, share_K)

    def _group(self, own: Mapping[str, Tensor]) -> list[_Group]:
        """Group parameters whose elements are all updated alike."""
        alike: dict[tuple[Any, ...], list[str]] = {}
        for name, stack in own.items():
            is_flat = stack.dim() <= 2  # of one dimension in each member: a norm's, or a bias
            states = [_find_state(runner, name) for runner in self._runners]
            counts = [float(state.get(key, 0)) for _, state in states for key in self._rule.counts]
            alike.setdefault((is_flat, *(rate for rate, _ in states), *counts), []).append(name)
        return [
            _Group(names, own, self._rule, self._hyper_flat if key[0] else self._hyper, self._runners)
            for key, names in alike.items()
        ]


class _Group:
    """Parameters that are updated as one matrix of a row per member: a few large operations in place of many small.

    The members' optimizers hold views of the state.
    """

    def __init__(
        self,
        names: Sequence[str],
        own: Mapping[str, Tensor],
        rule: Rule,
        hyper: Mapping[str, Tensor],
        runners: Sequence[MemberTrainer],
    ) -> None:
        self.names, self._rule, self._hyper = names, rule, hyper
        self._sizes = [own[name][0].numel() for name in names]
        device, num_members = own[names[0]].device, len(runners)
        self._kept = {key: torch.zeros(num_members, sum(self._sizes), device=device) for key in rule.tensors}
        self._kept |= {key: torch.zeros(num_members, device=device) for key in rule.counts}
        # Each parameter's optimizer counts its own steps; here they are all equal.
        self._counts = {key: torch.zeros(len(names), num_members, device=device) for key in rule.counts}
        for k, runner in enumerate(runners):
            for number, name in enumerate(names):
                self._share_state(k, number, runner.parameters[name], _find_state(runner, name)[1])
        rates = [[_find_state(runner, names[0])[0]] for runner in runners]
        self._rates_K1 = torch.tensor(rates, device=device)

    def _share_state(self, k: int, number: int, parameter: Tensor, state: dict[str, Any]) -> None:
        """Take over one parameter's state from a member's optimizer, which then holds views."""
        start = sum(self._sizes[:number])
        views = {
            key: self._kept[key][k, start : start + self._sizes[number]].view(parameter.shape)
            for key in self._rule.tensors
        }
        for key, view in views.items():
            if torch.is_tensor(state.get(key)):
                view.copy_(state[key].view(view.shape))
        for key in self._rule.counts:
            if torch.is_tensor(state.get(key)):
                self._kept[key][k].copy_(state[key])
                self._counts[key][number, k].copy_(state[key])
            views[key] = self._counts[key][number, k]
        state.update(views)

    def move(self, own: Mapping[str, Tensor], gradients: Mapping[str, Tensor], share_K: Tensor) -> None:
        """Update the group's parameters."""
        parts = [own[name] for name in self.names]
        weights = torch.cat([part.flatten(1) for part in parts], dim=1)
        gradient = torch.cat([gradients[name].flatten(1) for name in self.names], dim=1)
        self._rule.move(weights, gradient, share_K[:, None] * self._rates_K1, self._hyper, self._kept)
        for key, counts in self._counts.items():
            counts.copy_(self._kept[key])
        moved = torch.split(weights, self._sizes, dim=1)
        torch._foreach_copy_(parts, [new.view(part.shape) for new, part in zip(moved, parts, strict=True)])


def _find_state(runner: MemberTrainer, name: str) -> tuple[float, dict[str, Any]]:
    """Return the initial learning rate and the optimizer's state of a member's parameter."""
    optimizer, parameter = _optimizer_of(runner), runner.parameters[name]
    return _initial_rate(optimizer, parameter), optimizer.state[parameter]


def _optimizer_of(runner: MemberTrainer) -> torch.optim.Optimizer:
    assert runner.optimizer is not None, "members are bound before they are updated"
    return runner.optimizer


def _initial_rate(optimizer: torch.optim.Optimizer, parameter: Tensor) -> float:
    groups = (group for group in optimizer.param_groups if any(each is parameter for each in group["params"]))
    return float(next(groups)["initial_lr"])


def _hyper_of(choice: Any, name: str) -> float:
    return float(getattr(choice, name))


def _weigh(runner: MemberTrainer, number: int) -> float:
    """Return the weight in a member's average of the state after an epoch's step `number` (from 1); 0 without one."""
    average = runner.average
    if average is None or not average.choice.per_step:
        return 0.0
    return average.weigh(average.num_updates + number)


def _find_runs(runners: Sequence[MemberTrainer]) -> list[tuple[int, int]]:
    """Return the start and end of each run of members whose optimizers have the same rule."""
    kinds = [find_rule(runner.member.recipe.optimizer) for runner in runners]
    starts = [k for k in range(len(kinds)) if k == 0 or kinds[k] != kinds[k - 1]]
    return list(zip(starts, [*starts[1:], len(kinds)], strict=True))


def _spread(values_K: Tensor, like: Tensor) -> Tensor:
    """Return one number per member in a shape that broadcasts over a stack."""
    return values_K.view(-1, *[1] * (like.dim() - 1))
