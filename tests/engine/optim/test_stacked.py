"""All members moved at once take the steps that their own optimizers in torch would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.catalog.averaging import EMA
from bakeoff.catalog.clipping import Clip
from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import BatchNorm, Conv, Dense, Layer
from bakeoff.catalog.networks.named import MLP
from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, Adadelta, Adam, AdamW, AnyOptimizer, Lion, RMSprop
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Cosine, Progress
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.optim.stack_rules import find_rule
from bakeoff.engine.optim.stacked import StackedOptimizer, fits
from bakeoff.messages import Member

LAYERS: tuple[Layer, ...] = (Conv(filters=3, kernel=3), BatchNorm(activation="relu"), Dense(units=4))
SHAPE = (5, 5, 2)
NUM_STEPS = 6

CHOICES: tuple[AnyOptimizer, ...] = (
    SGD(learning_rate=0.1, weight_decay=0.01),
    SGD(learning_rate=0.1, momentum=0.9),
    SGD(learning_rate=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    Adam(learning_rate=0.01),
    Adam(learning_rate=0.02, beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.1),
    AdamW(learning_rate=0.03),
    RMSprop(learning_rate=0.01),
    RMSprop(learning_rate=0.01, momentum=0.9),
    RMSprop(learning_rate=0.01, centered=True, weight_decay=0.1),
    RMSprop(learning_rate=0.01, centered=True, momentum=0.5, smoothing=0.9),
    Lion(learning_rate=0.001, weight_decay=0.1),
    SGD(learning_rate=0.1, momentum=0.9, weight_decay=0.1, decay_norms_and_biases=False),
    Adam(learning_rate=0.01, weight_decay=0.1, decay_norms_and_biases=False),
    AdamW(learning_rate=0.03, weight_decay=0.5, decay_norms_and_biases=False),
    AdamW(learning_rate=0.03, weight_decay=0.5),
    RMSprop(learning_rate=0.01, weight_decay=0.1, decay_norms_and_biases=False),
    Lion(learning_rate=0.001, weight_decay=0.1, decay_norms_and_biases=False),
)


def _make(recipes: Sequence[Recipe]) -> tuple[FusedNetwork, list[MemberTrainer]]:
    states = [initialize(LAYERS, SHAPE, InitializerChoice(), seed) for seed in range(len(recipes))]
    network = FusedNetwork([LAYERS] * len(recipes), states)
    runners = [
        MemberTrainer.start(Member(trial_id=str(k), recipe=recipe), LAYERS, states[k])
        for k, recipe in enumerate(recipes)
    ]
    for k, runner in enumerate(runners):
        runner.bind(network.members[k], network.member_buffers[k], frozenset())
    return network, runners


def _set_gradients(network: FusedNetwork, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for stack in network.stacked.values():
        stack.grad = torch.randn(stack.shape, generator=generator)


def _progress(step: int) -> Progress:
    return Progress(step / NUM_STEPS, step, NUM_STEPS)


def _step_apart(network: FusedNetwork, runners: Sequence[MemberTrainer], steps: Sequence[int]) -> None:
    for step in steps:
        _set_gradients(network, step)
        network.share_gradients()
        for runner in runners:
            runner.step(_progress(step))


def _step_together(network: FusedNetwork, runners: Sequence[MemberTrainer], steps: Sequence[int]) -> None:
    optimizer = StackedOptimizer(network, runners, len(steps))
    optimizer.begin_epoch([_progress(step) for step in steps])
    for step in steps:
        _set_gradients(network, step)
        optimizer.step()
    optimizer.end_epoch(len(steps))


def _recipes(**fields: Any) -> list[Recipe]:
    return [Recipe(network=MLP(name="mlp"), optimizer=choice, epochs=1, **fields) for choice in CHOICES]


def _states(runners: Sequence[MemberTrainer]) -> list[dict[str, Tensor]]:
    return [{name: tensor.detach().clone() for name, tensor in runner.judged_state().items()} for runner in runners]


def test_every_rule_is_tried() -> None:
    rules = [record for record in OPTIMIZERS if record.stack_rule]
    assert {type(choice) for choice in CHOICES} == {record.settings for record in rules}
    assert all(find_rule(choice) is not None for choice in CHOICES)


@pytest.mark.parametrize(
    "fields",
    [{}, {"schedule": Cosine()}, {"clip": Clip(norm=0.5)}, {"clip": Clip(value=0.3)}, {"averaging": EMA(decay=0.7)}],
    ids=["plain", "schedule", "norm", "value", "average"],
)
def test_the_steps_are_those_of_the_members_own_optimizers(fields: dict[str, Any]) -> None:
    results = []
    for move in (_step_apart, _step_together):
        network, runners = _make(_recipes(**fields))
        move(network, runners, range(NUM_STEPS))
        results.append(_states(runners))
    for apart, together in zip(*results, strict=True):
        torch.testing.assert_close(together, apart, rtol=2e-5, atol=2e-6)


def test_members_may_differ_in_clipping_and_averaging() -> None:
    mixed: list[dict[str, Any]] = [
        {},
        {"clip": Clip(norm=0.1)},
        {"averaging": EMA(decay=0.5)},
        {"clip": Clip(value=0.1)},
    ]
    recipes = [Recipe(network=MLP(name="mlp"), optimizer=Adam(), epochs=1, **fields) for fields in mixed]
    results = []
    for move in (_step_apart, _step_together):
        network, runners = _make(recipes)
        move(network, runners, range(NUM_STEPS))
        results.append((_states(runners), [runner.average is None for runner in runners]))
    assert results[0][1] == results[1][1]
    for apart, together in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(together, apart, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("order", [(_step_apart, _step_together), (_step_together, _step_apart)])
def test_one_takes_up_where_the_other_left_off(order: tuple[Any, Any]) -> None:
    first, second = range(NUM_STEPS // 2), range(NUM_STEPS // 2, NUM_STEPS)
    fields = {"averaging": EMA(decay=0.9)}
    network, runners = _make(_recipes(**fields))
    order[0](network, runners, first)
    packed = [runner.pack() for runner in runners]
    restored = [MemberTrainer.unpack(runner.member, LAYERS, each) for runner, each in zip(runners, packed, strict=True)]
    again = FusedNetwork([LAYERS] * len(restored), [{k: v.detach() for k, v in r.state.items()} for r in restored])
    for k, runner in enumerate(restored):
        runner.bind(again.members[k], again.member_buffers[k], frozenset())
    order[1](again, restored, second)
    network, runners = _make(_recipes(**fields))
    _step_apart(network, runners, range(NUM_STEPS))
    for straight, broken in zip(_states(runners), _states(restored), strict=True):
        torch.testing.assert_close(broken, straight, rtol=2e-5, atol=2e-6)


class _Counter(TorchDispatchMode):
    """Counts the operations that write a tensor: each is at least one kernel on a GPU."""

    num_calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_calls += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("choice", CHOICES)
def test_more_layers_take_no_more_operations(choice: AnyOptimizer) -> None:
    """Whatever the number of parameters, their elements are updated as one or two matrices."""
    found = []
    for num_layers in (1, 9):
        layers = (*[Dense(units=4, activation="relu")] * num_layers, Dense(units=4))
        states = [initialize(layers, SHAPE, InitializerChoice(), seed) for seed in range(2)]
        network = FusedNetwork([layers] * 2, states)
        recipe = Recipe(network=MLP(name="mlp"), optimizer=choice, epochs=1)
        runners = [
            MemberTrainer.start(Member(trial_id=str(k), recipe=recipe), layers, states[k]) for k in range(len(states))
        ]
        for k, runner in enumerate(runners):
            runner.bind(network.members[k], network.member_buffers[k], frozenset())
        optimizer = StackedOptimizer(network, runners, 2)
        optimizer.begin_epoch([_progress(0), _progress(1)])
        _set_gradients(network, 0)
        optimizer.step()
        with _Counter() as counter:
            optimizer.step()
        found.append(counter.num_calls)
    assert found[0] == found[1]


def test_what_has_no_gradient_stays() -> None:
    network, runners = _make(_recipes())
    network.freeze(2)
    before = {name: stack.detach().clone() for name, stack in network.stacked.items()}
    optimizer = StackedOptimizer(network, runners, 1)
    optimizer.begin_epoch([_progress(0)])
    _set_gradients(network, 0)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        network.stacked[name].grad = None
    optimizer.step()
    moved = {name for name, stack in network.stacked.items() if not torch.equal(stack.detach(), before[name])}
    assert moved == {"2.weight", "2.bias"}


def test_a_member_that_is_not_finite_leaves_the_others_alone() -> None:
    recipes = [Recipe(network=MLP(name="mlp"), optimizer=Adam(), epochs=1, clip=Clip(norm=1.0)) for _ in range(2)]
    network, runners = _make(recipes)
    optimizer = StackedOptimizer(network, runners, 1)
    optimizer.begin_epoch([_progress(0)])
    _set_gradients(network, 0)
    for stack in network.stacked.values():
        assert stack.grad is not None
        stack.grad[1] = torch.nan
    optimizer.step()
    for stack in network.stacked.values():
        assert stack[0].isfinite().all()
        assert stack[1].isnan().all()


def test_who_cannot_be_moved_at_once() -> None:
    def recipe(**fields: Any) -> Recipe:
        return Recipe(network=MLP(name="mlp"), **fields)

    assert fits([recipe(), recipe(optimizer=SGD())])
    assert not fits([recipe(), recipe(accumulate=2)])
    assert not fits([recipe(), recipe(optimizer=Adadelta())])
