"""The numeric probe as a device runs it, on a processor; and the final test and a frozen body's features there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine import device_probe, stepper
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.device_context import CPU, PlainCapture
from bakeoff.engine.device_probe import probe_on_device
from bakeoff.engine.evaluate import predict, predict_batches
from bakeoff.messages import CohortTask, Event, ProbeDone, ProbeTask, TaskDone
from bakeoff.workspace import Folders

MakeTask = Callable[..., CohortTask]
CONTEXT = replace(CPU, prepared=True, capture=PlainCapture(), resident_bytes=10**9, evaluation_batch=64)
RECIPES = {
    name: Recipe.model_validate({"network": {"name": "mlp", "units": [8], "dropout": 0.1}, "initializer": name})
    for name in ("he_normal", "glorot_uniform")
}


@pytest.fixture
def probe(make_task: MakeTask, images: Images, tmp_path: Path) -> Callable[[], list[Event]]:
    def run() -> list[Event]:
        task = make_task(RECIPES)
        events: list[Event] = []
        asked = ProbeTask(probe_id="p", label="a block", members=task.members, data=task.data)
        probe_on_device(asked, images, tmp_path, events.append, CONTEXT)
        return events

    return run


def test_modes_are_timed_and_compared(probe: Callable[[], list[Event]]) -> None:
    found, done = probe()
    assert done == TaskDone(task_id="p")
    assert isinstance(found, ProbeDone)
    assert set(found.seconds_per_step) == {"float32", "bfloat16"}
    assert 0 < found.relative_difference < 0.1
    assert found.agrees


@pytest.mark.parametrize(("least", "changed", "recorded"), [(1, {}, 2), (10**9, {}, 0), (1, {"accumulate": 2}, 0)])
def test_steps_are_timed_as_training_takes_them(
    make_task: MakeTask,
    images: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capture: Any,
    least: int,
    changed: dict[str, int],
    recorded: int,
) -> None:
    """Recorded in both modes if training records: enough steps, and all members updated at once."""
    monkeypatch.setattr(stepper, "LEAST_STEPS", least)
    recipes = {name: recipe.model_copy(update=changed) for name, recipe in RECIPES.items()}
    task = make_task(recipes)
    asked = ProbeTask(probe_id="p", label="a block", members=task.members, data=task.data)
    probe_on_device(asked, images, tmp_path, lambda event: None, replace(CONTEXT, capture=capture))
    assert capture.num_recorded == recorded
    assert capture.num_replayed == recorded * (device_probe.NUM_STEPS + 4)


def test_gradients_that_are_not_finite_do_not_agree(
    probe: Callable[[], list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = device_probe._Bench.take_gradients

    def spoil(bench: device_probe._Bench) -> torch.Tensor:
        gradients_KP = real(bench)
        gradients_KP[1, 0] = torch.nan
        return gradients_KP

    monkeypatch.setattr(device_probe._Bench, "take_gradients", spoil)
    found = probe()[0]
    assert isinstance(found, ProbeDone)
    assert not found.agrees


def test_images_prepared_in_pieces_are_the_same_images(make_task: MakeTask, images: Images, tmp_path: Path) -> None:
    augmented = {
        "plain": Recipe.model_validate({"network": "mlp", "augmentation": []}),
        "resized": Recipe.model_validate({"network": "mlp", "augmentation": [{"name": "normalize"}]}),
    }
    task, recipes = make_task(augmented), list(augmented.values())
    indices = np.arange(len(images.labels))[::-1].copy()
    probabilities = []
    for context in (CPU, CONTEXT):
        assembly = Assembly.make(task, images, Folders(tmp_path), "float32", context=context)
        network = assembly.build_network(recipes, [assembly.first_state(recipe, 1) for recipe in recipes])
        if context.prepared:
            batches = assembly.prepare_inputs(recipes, [0, 0], [1]).evaluate(indices, context.evaluation_batch)
            probabilities.append(predict_batches(network, batches, [False, False]))
        else:
            probabilities.append(predict(network, assembly.make_inputs(recipes, 1), indices))
    np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-4, atol=1e-6)
