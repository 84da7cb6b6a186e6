"""One call for many members' steps: bit for bit what their own optimizers do, on their own states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import Conv, Dense
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Progress
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.optim.joint import JointOptimizer
from bakeoff.messages import Member
from bakeoff.registry import Registry

NAMES = [record.name for record in OPTIMIZERS]
STEPS = 5
START = Progress(0.0, 0, 1)


def _make(recipes: list[dict[str, Any]]) -> list[MemberTrainer]:
    runners = []
    for number, fields in enumerate(recipes):
        recipe = Recipe.model_validate({"network": "lenet", "epochs": 4, **fields})
        generator = torch.Generator().manual_seed(number)
        parameters = {
            "0.weight": nn.Parameter(torch.randn(7, 5, generator=generator)),
            "0.bias": nn.Parameter(torch.randn(7, generator=generator)),
        }
        runner = MemberTrainer.start(Member(trial_id=str(number), recipe=recipe), (Dense(units=7),), {})
        runner.bind(parameters, {}, frozenset())
        runners.append(runner)
    return runners


def _give_gradients(runners: list[MemberTrainer], number: int) -> None:
    for k, runner in enumerate(runners):
        generator = torch.Generator().manual_seed(100 * number + k)
        for parameter in runner.parameters.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)


def _train(
    runners: list[MemberTrainer], move: Callable[[list[MemberTrainer], list[Progress]], object]
) -> list[torch.Tensor]:
    for number in range(STEPS):
        _give_gradients(runners, number)
        move(runners, [Progress(0.5 * number, number, 2)] * len(runners))
    states = [state for runner in runners for state in _optimizer(runner).state.values()]
    kept = [value for state in states for _, value in sorted(state.items()) if torch.is_tensor(value)]
    averages = [runner.average.state or {} for runner in runners if runner.average is not None]
    kept += [value for average in averages for value in average.values()]
    return [parameter.detach() for runner in runners for parameter in runner.parameters.values()] + kept


def _optimizer(runner: MemberTrainer) -> torch.optim.Optimizer:
    assert runner.optimizer is not None
    return runner.optimizer


def _each(runners: list[MemberTrainer], progress: list[Progress]) -> None:
    for runner, done in zip(runners, progress, strict=True):
        runner.step(done)


def _check_equal(recipes: list[dict[str, Any]]) -> None:
    ours, theirs = _make(recipes), _make(recipes)
    joint = JointOptimizer(ours)
    found = _train(ours, lambda runners, progress: joint.step(progress))
    expected = _train(theirs, _each)
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    for one, other in zip(ours, theirs, strict=True):
        mine, others = _optimizer(one).state_dict(), _optimizer(other).state_dict()
        assert mine["param_groups"] == others["param_groups"]
        assert str({key: state for key, state in mine["state"].items() if state}) == str(others["state"])


@pytest.mark.parametrize("name", NAMES)
def test_equal_members_move_as_by_themselves(name: str) -> None:
    _check_equal([{"optimizer": name}] * 3)


@pytest.mark.parametrize("name", NAMES)
def test_members_keep_their_own_settings(name: str) -> None:
    rates = (0.001, 0.1, 0.001)
    _check_equal([{"optimizer": {"name": name, "learning_rate": rate}} for rate in rates])


def test_kinds_schedules_lengths_clips_and_averages_may_differ() -> None:
    adam = {"optimizer": {"name": "adam", "weight_decay": 0.01}}
    _check_equal(
        [
            adam,
            {**adam, "schedule": "cosine"},
            {**adam, "schedule": "cosine", "epochs": 9},
            {**adam, "clip": {"norm": 0.5}},
            {**adam, "averaging": {"name": "ema"}},
            {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True}},
            {"optimizer": {"name": "sgd", "momentum": 0.9}},
            adam,
        ]
    )


def test_a_rate_lowered_at_a_plateau_lowers_no_other() -> None:
    recipes: list[dict[str, Any]] = [{"optimizer": "sgd", "schedule": "plateau"}] * 2
    ours, theirs = _make(recipes), _make(recipes)
    for runners in (ours, theirs):
        assert runners[1].plateau is not None
        runners[1].plateau.share = 0.1
    joint = JointOptimizer(ours)
    found = _train(ours, lambda runners, progress: joint.step(progress))
    assert all(torch.equal(one, other) for one, other in zip(found, _train(theirs, _each), strict=True))


def test_equal_members_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    runners, calls = _make([{"optimizer": "adam"}] * 9), list[torch.optim.Optimizer]()
    monkeypatch.setattr("bakeoff.engine.optim.joint.take_step", calls.append)
    JointOptimizer(runners).step([START] * 9)
    assert len(calls) == 1


def test_equal_members_that_skip_decay_are_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = {"name": "adamw", "weight_decay": 0.1, "decay_norms_and_biases": False}
    (network, runners), calls = _fuse([{"optimizer": optimizer}] * 9), list[torch.optim.Optimizer]()
    monkeypatch.setattr("bakeoff.engine.optim.joint.take_step", calls.append)
    JointOptimizer(runners, network).step([START] * 9)
    found = [(group["weight_decay"], len(group["params"])) for call in calls for group in call.param_groups]
    assert found == [(0.1, 2), (0.0, 2)]  # the stacks of two layers


LAYERS = (Conv(filters=3, kernel=3), Dense(units=7))


def _fuse(recipes: list[dict[str, Any]]) -> tuple[FusedNetwork, list[MemberTrainer]]:
    """Return members of one network, bound to it."""
    members = [Recipe.model_validate({"network": "lenet", "epochs": 4, **fields}) for fields in recipes]
    states = [initialize(LAYERS, (6, 5, 2), InitializerChoice(name="he_normal"), seed) for seed in range(len(members))]
    network = FusedNetwork([LAYERS] * len(members), states)
    runners = []
    for k, recipe in enumerate(members):
        runner = MemberTrainer.start(Member(trial_id=str(k), recipe=recipe), LAYERS, {})
        runner.bind(network.members[k], {}, frozenset())
        runners.append(runner)
    return network, runners


def _train_fused(network: FusedNetwork, runners: list[MemberTrainer], joint: JointOptimizer | None, first: int) -> None:
    for number in range(first, first + STEPS):
        generator = torch.Generator().manual_seed(number)
        for stack in network.stacked.values():
            stack.grad = torch.randn(stack.shape, generator=generator)
        if joint is None:
            network.share_gradients()
            _each(runners, [Progress(0.1 * number, number, 10)] * len(runners))
        else:
            joint.step([Progress(0.1 * number, number, 10)] * len(runners))
    if joint is not None:
        joint.return_states()


def _list_tensors(network: FusedNetwork, runners: list[MemberTrainer]) -> list[torch.Tensor]:
    """Return all that training changes: weights, what optimizers keep, averages."""
    states = [state for runner in runners for state in _optimizer(runner).state_dict()["state"].values()]
    kept = [value for state in states for _, value in sorted(state.items()) if torch.is_tensor(value)]
    averages = [runner.average.state or {} for runner in runners if runner.average is not None]
    return [*network.stacked.values(), *kept, *(value for average in averages for value in average.values())]


@pytest.mark.parametrize(
    "fields", [{}, {"schedule": "cosine"}, {"clip": {"norm": 0.5}}, {"averaging": "ema"}], ids=lambda each: str(each)
)
@pytest.mark.parametrize("skip", [{}, {"weight_decay": 0.1, "decay_norms_and_biases": False}], ids=["all", "skip"])
@pytest.mark.parametrize("name", NAMES)
def test_stacks_move_as_their_members_by_themselves(name: str, skip: dict[str, Any], fields: dict[str, Any]) -> None:
    if OPTIMIZERS.find(name).settings.averages_itself and "averaging" in fields:
        pytest.skip("it averages the weights itself")
    recipes = [{"optimizer": {"name": name, **skip}, **fields}] * 3
    (network, ours), (other, theirs) = _fuse(recipes), _fuse(recipes)
    # Twice, as epochs follow each other; then by themselves, as when others have left and one is due alone.
    for first in (0, STEPS):
        _train_fused(network, ours, JointOptimizer(ours, network), first)
        _train_fused(other, theirs, None, first)
    _train_fused(network, ours, None, 2 * STEPS)
    _train_fused(other, theirs, None, 2 * STEPS)
    found, expected = _list_tensors(network, ours), _list_tensors(other, theirs)
    assert len(found) == len(expected)
    # torch's fused Adam rounds the last numbers of a tensor, fewer than a register holds, in another way.
    exact = name not in ("adam", "adamw")
    for mine, others in zip(found, expected, strict=True):
        assert torch.equal(mine, others) if exact else torch.allclose(mine, others, rtol=1e-5, atol=1e-8)
    # What one member keeps is its own: nobody else's step moves it.
    kept = [value for state in _optimizer(ours[0]).state.values() for value in state.values() if torch.is_tensor(value)]
    rest = [value for each in ours[1:] for state in _optimizer(each).state.values() for value in state.values()]
    assert not {value.data_ptr() for value in kept} & {value.data_ptr() for value in rest if torch.is_tensor(value)}


def test_members_that_step_at_different_times_are_not_stacked() -> None:
    network, runners = _fuse([{"optimizer": "adam"}, {"optimizer": "adam", "accumulate": 2}])
    joint = JointOptimizer(runners, network)
    for stack in network.stacked.values():
        stack.grad = torch.ones_like(stack)
    joint.step([START, START])
    joint.return_states()
    steps = [state["step"] for runner in runners for state in _optimizer(runner).state.values()]
    assert len({step.data_ptr() for step in steps}) == len(steps)


class _Normed(torch.optim.SGD):
    """Steps as long as the gradient of all parameters together: who is moved in one call matters."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        gradients = [parameter.grad for group in self.param_groups for parameter in group["params"]]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient /= norm
        super().step()


def test_an_optimizer_that_is_not_elementwise_moves_its_own_member_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    normed = replace(OPTIMIZERS.find("sgd"), make=_Normed, fused="never", elementwise=False)
    for module in ("joint", "make_optimizer"):
        found = Registry("optimizer", [normed, OPTIMIZERS.find("adam")])
        monkeypatch.setattr(f"bakeoff.engine.optim.{module}.OPTIMIZERS", found)
    _check_equal([{"optimizer": "sgd"}, {"optimizer": "adam"}, {"optimizer": "sgd"}, {"optimizer": "adam"}])
