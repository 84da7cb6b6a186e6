"""The numeric probe: it agrees where bfloat16 is sound, and says so where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.catalog.networks.named import MLP, LeNet
from bakeoff.catalog.optimizers import SGD, Adam
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images
from bakeoff.engine import probe
from bakeoff.engine.fused.build import FusedNetwork
from bakeoff.engine.probe import LARGEST_DIFFERENCE, probe_numeric
from bakeoff.messages import DataView, Member, ProbeDone, ProbeTask, TaskDone


@pytest.fixture
def digits_like() -> Images:
    """100 images of the digits' shape."""
    generator = np.random.default_rng(0)
    return Images(
        pixels=generator.integers(0, 256, (100, 8, 8, 1), dtype=np.uint8),
        labels=np.arange(100) % 10,
        class_names=tuple("0123456789"),
        fingerprint="f",
    )


LENET = LeNet(kernel=3, padding="same")
RECIPES = (
    Recipe(network=LENET, initializer={"name": "he_normal"}, optimizer=Adam()),  # type: ignore[arg-type]
    Recipe(network=LENET, initializer={"name": "orthogonal"}, optimizer=SGD(momentum=0.9)),  # type: ignore[arg-type]
)


def _probe(images: Images, recipes: tuple[Recipe, ...] = RECIPES, cohort: tuple[Recipe, ...] = ()) -> ProbeDone:
    members, whole = (
        tuple(Member(trial_id=str(number), recipe=recipe) for number, recipe in enumerate(each))
        for each in (recipes, cohort)
    )
    data = DataView(source=DataSource(name="digits"), validation=0.1, fingerprint="f", seed=3)
    events: list[Any] = []
    task = ProbeTask(probe_id="p", label="", members=members, data=data, cohort=whole)
    probe_numeric(task, images, Path("unused"), events.append)
    done, last = events
    assert last == TaskDone(task_id="p")
    assert isinstance(done, ProbeDone)
    return done


def test_lenet_agrees_on_digits(digits_like: Images) -> None:
    done = _probe(digits_like)
    assert done.agrees
    assert 0 < done.relative_difference < 0.05
    assert done.seconds_per_step.keys() == {"float32", "bfloat16"}
    assert done.seconds_alone.keys() == done.seconds_per_step.keys()
    assert all(seconds > 0 for seconds in (*done.seconds_per_step.values(), *done.seconds_alone.values()))
    assert done.num_members == 2


def test_one_member_is_not_probed_alone_again(digits_like: Images) -> None:
    done = _probe(digits_like, RECIPES[:1])
    assert done.seconds_alone == {}
    assert done.num_members == 1


def test_the_difference_repeats(digits_like: Images) -> None:
    assert _probe(digits_like).relative_difference == _probe(digits_like).relative_difference


def test_more_images_than_there_are_in_a_batch_are_not_needed(digits_like: Images) -> None:
    assert _probe(digits_like, (Recipe(network=MLP(units=(9,)), batch_size=256),)).agrees


def _break(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Spoil what the fused network computes in bfloat16, and that alone."""
    real = FusedNetwork.__call__

    def call(self: FusedNetwork, *arguments: Any, **named: Any) -> torch.Tensor:
        logits = real(self, *arguments, **named)
        return spoil(logits) if self.dtype == torch.bfloat16 else logits

    monkeypatch.setattr(FusedNetwork, "__call__", call)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda logits_KNL: logits_KNL * float("nan"),
        lambda logits_KNL: logits_KNL * float("inf"),
        lambda logits_KNL: -logits_KNL,
        lambda logits_KNL: logits_KNL * 3,
        lambda logits_KNL: logits_KNL.roll(1, dims=1),
        # One member of two is wrong.
        lambda logits_KNL: torch.cat([logits_KNL[:1], -logits_KNL[1:]]),
    ],
    ids=["nan", "inf", "sign", "scale", "order", "one member"],
)
def test_broken_bfloat16_does_not_agree(
    spoil: Callable[[torch.Tensor], torch.Tensor], digits_like: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, spoil)
    done = _probe(digits_like)
    assert not done.agrees
    assert done.relative_difference > LARGEST_DIFFERENCE


def test_an_unspoilt_wrapper_agrees(digits_like: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, lambda logits_KNL: logits_KNL)
    assert _probe(digits_like).agrees


def test_emulated_bfloat16_is_not_measured_to_the_end(digits_like: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def time_step(bench: Any, number: int) -> float:
        taken.append(bench.network.dtype)
        return 1.0 if bench.network.dtype == torch.float32 else 3.5

    monkeypatch.setattr(probe.Bench, "time_step", time_step)
    done = _probe(digits_like)
    assert len(taken) == 2 * 4
    assert done.seconds_per_step == {"float32": 1.0, "bfloat16": 3.5}


@pytest.mark.parametrize(
    ("alone", "network", "is_timed"), [(2.4, LENET, True), (2.6, LENET, False), (1.0, MLP(), False)]
)
def test_turns_are_timed_where_separate_members_are_nearly_as_fast(
    alone: float, network: Any, is_timed: bool, digits_like: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_step(bench: Any, number: int) -> float:
        factor = 0.5 if bench.network.dtype == torch.bfloat16 else 1.0
        fused = 3.6 if bench.network.in_turn else 4.0
        return factor * (fused if len(bench.runners) == 2 else alone)

    monkeypatch.setattr(probe.Bench, "time_step", time_step)
    done = _probe(digits_like, tuple(recipe.model_copy(update={"network": network}) for recipe in RECIPES))
    assert done.seconds_per_step == {"float32": 4.0, "bfloat16": 2.0}
    assert done.seconds_in_turn == ({"bfloat16": pytest.approx(1.8)} if is_timed else {})


def test_turns_are_timed_with_the_whole_cohort(digits_like: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they gain grows with its members."""

    def time_step(bench: Any, number: int) -> float:
        num_members = len(bench.runners)
        return num_members - 0.1 * num_members if bench.network.in_turn and num_members == 5 else float(num_members)

    monkeypatch.setattr(probe.Bench, "time_step", time_step)
    recipes = tuple(recipe.model_copy(update={"network": LENET}) for recipe in RECIPES)
    assert _probe(digits_like, recipes).seconds_in_turn == {"float32": 2.0}
    done = _probe(digits_like, recipes, cohort=(recipes[0],) * 5)
    assert done.num_members == 2
    assert done.seconds_in_turn == {"float32": pytest.approx(1.8)}


def test_both_modes_take_the_same_steps_in_turn(digits_like: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def time_step(bench: Any, number: int) -> float:
        taken.append((bench.network.dtype, len(bench.runners), number))
        return float(number)

    monkeypatch.setattr(probe.Bench, "time_step", time_step)
    done = _probe(digits_like)
    modes = (torch.float32, torch.bfloat16)
    kinds = [(mode, members) for members in (2, 1) for mode in modes]
    assert taken == [
        (*kind, number) for number in range(probe.NUM_WARM_UP_STEPS + probe.NUM_PROBE_STEPS) for kind in kinds
    ]
    # The first two warm up and are not counted.
    median = (2 + probe.NUM_PROBE_STEPS + 1) / 2
    assert done.seconds_per_step == {"float32": median, "bfloat16": median}
