"""Training as a device does it, on a processor: prepared images, one update, recorded steps, several replicates."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images
from bakeoff.engine import stepper
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import CPU, DeviceContext, PlainCapture, Step, find_context
from bakeoff.engine.inputs import Batch
from bakeoff.messages import CohortTask, DataView, Event, Member

MakeTask = Callable[..., CohortTask]
Tabulate = Callable[[Sequence[Event]], dict[Any, dict[str, Any]]]

CONVOLUTIONAL = {
    "layers": [
        {"type": "conv", "filters": 4, "kernel": 3, "activation": "relu"},
        {"type": "pool"},
        {"type": "dropout", "rate": 0.2},
        {"type": "dense", "units": 4},
    ]
}
NORMALIZED = {
    "layers": [
        {"type": "batch_norm"},
        {"type": "residual", "layers": [{"type": "conv", "filters": 4, "kernel": 3, "padding": "same"}]},
        {"type": "global_pool"},
        {"type": "dense", "units": 4},
    ]
}
DENSE = {"layers": [{"type": "dropout", "rate": 0.1}, {"type": "dense", "units": 4}]}


def _place(**fields: Any) -> DeviceContext:
    settings = {"evaluation_batch": 50, "resident_bytes": 10**9, "piece_bytes": 20_000, "capture": PlainCapture()}
    return DeviceContext(torch.device("cpu"), prepared=True, **{**settings, **fields})


def _recipe(network: Mapping[str, Any] = CONVOLUTIONAL, **fields: Any) -> Recipe:
    return Recipe.model_validate({"network": network, "batch_size": 16, "epochs": 3, **fields})


RECIPES = {
    "adam": _recipe(optimizer="adam", early_stopping={"patience": 1}),
    "momentum": _recipe(optimizer={"name": "sgd", "momentum": 0.9, "learning_rate": 0.05}, initializer="he_normal"),
    "flipped": _recipe(optimizer={"name": "adamw", "learning_rate": 0.01}, augmentation=["horizontal_flip"]),
    "averaged": _recipe(
        optimizer={"name": "adam", "learning_rate": 0.01},
        clip={"norm": 0.5},
        averaging={"name": "ema", "decay": 0.9},
        schedule={"name": "cosine"},
        label_smoothing=0.1,
    ),
    "mixed": _recipe(mix={"name": "mixup"}, epochs=2, class_weights="balanced"),
}
APART = {"slow": _recipe(optimizer="adadelta"), "accumulating": _recipe(accumulate=2)}


@pytest.fixture(autouse=True)
def _record_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepper, "LEAST_STEPS", 15)


def _train(task: CohortTask, images: Images, folder: Path, context: DeviceContext) -> list[Event]:
    events: list[Event] = []
    train_cohort(task, images, folder, events.append, context)
    return events


def _assert_close(found: Mapping[Any, Any], expected: Mapping[Any, Any], names: Mapping[str, str]) -> None:
    """Compare rows of trials that may go by other names: `names` maps those expected to those found."""
    for key, row in expected.items():
        name = names[key if isinstance(key, str) else key[0]]
        other = found[name if isinstance(key, str) else (name, key[1])]
        measured = ("metrics",) if isinstance(key, str) else ("train", "validation")
        for part in measured:
            flat, other_flat = (_flatten(each[part]) for each in (row, other))
            assert other_flat == pytest.approx(flat, rel=2e-3, abs=2e-4), (key, part)


def _flatten(metrics: Mapping[str, Any]) -> dict[str, float]:
    nested = {name: value if isinstance(value, Mapping) else {"": value} for name, value in metrics.items()}
    # A prediction on the edge may fall on either side: only losses are held to rounding.
    return {f"{a} {b}": value for a, part in nested.items() for b, value in part.items() if "loss" in f"{a}{b}"}


@pytest.mark.parametrize("network", [CONVOLUTIONAL, NORMALIZED, DENSE], ids=["convolutional", "normalized", "dense"])
@pytest.mark.parametrize("resident", [10**9, 0], ids=["resident", "sent"])
def test_a_device_trains_as_a_processor_does(
    network: Mapping[str, Any], resident: int, images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    recipes = {
        name: recipe.model_copy(update={"network": _recipe(network).network}) for name, recipe in RECIPES.items()
    }
    task = make_task(recipes)
    expected = tabulate(_train(task, images, tmp_path / "cpu", CPU))
    found = tabulate(_train(task, images, tmp_path / "device", _place(resident_bytes=resident)))
    assert found.keys() == expected.keys()
    _assert_close(found, expected, {name: name for name in recipes})


def test_members_that_step_apart(images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path) -> None:
    task = make_task(RECIPES | APART)
    expected = tabulate(_train(task, images, tmp_path / "cpu", CPU))
    found = tabulate(_train(task, images, tmp_path / "device", _place()))
    _assert_close(found, expected, {name: name for name in RECIPES | APART})


def _view(seed: int) -> DataView:
    return DataView(source=DataSource(name="digits"), validation=0.2, fingerprint="f" * 64, seed=seed)


@pytest.mark.parametrize("network", [CONVOLUTIONAL, NORMALIZED, DENSE], ids=["convolutional", "normalized", "dense"])
def test_several_replicates_train_as_each_would_alone(
    network: Mapping[str, Any], images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    recipes = {
        name: recipe.model_copy(update={"network": _recipe(network).network}) for name, recipe in RECIPES.items()
    }
    members = tuple(
        Member(trial_id=f"{name} {seed}", recipe=recipe, view=_view(seed))
        for name, recipe in recipes.items()
        for seed in (7, 8, 9)
    )
    together = replace(make_task({}), members=members)
    found = tabulate(_train(together, images, tmp_path / "together", _place()))
    for seed in (7, 8, 9):
        alone = tabulate(_train(make_task(recipes, seed=seed), images, tmp_path / f"{seed}", CPU))
        _assert_close(found, alone, {name: f"{name} {seed}" for name in recipes})


@pytest.mark.parametrize("counts", [(3, 2), (2, 3), (1, 2), (2, 2), (3, 2, 2)])
def test_replicates_that_some_members_have_left_train_as_each_would_alone(
    counts: Sequence[int], images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    """Copies of the images, one per replicate, are then shared by different numbers of members."""
    optimizers = {name: _recipe(optimizer=name) for name in ("adam", "sgd", "rmsprop")}
    ours = {7 + number: dict(list(optimizers.items())[:count]) for number, count in enumerate(counts)}
    members = tuple(
        Member(trial_id=f"{name} {seed}", recipe=recipe, view=_view(seed))
        for seed, recipes in ours.items()
        for name, recipe in recipes.items()
    )
    found = tabulate(_train(replace(make_task({}), members=members), images, tmp_path / "together", _place()))
    for seed, recipes in ours.items():
        alone = tabulate(_train(make_task(recipes, seed=seed), images, tmp_path / f"{seed}", CPU))
        _assert_close(found, alone, {name: f"{name} {seed}" for name in recipes})


def test_replicates_are_not_mixed_on_a_processor(images: Images, make_task: MakeTask, tmp_path: Path) -> None:
    members = tuple(Member(trial_id=str(seed), recipe=RECIPES["adam"], view=_view(seed)) for seed in (7, 8))
    with pytest.raises(ValueError, match="trained together"):
        _train(replace(make_task({}), members=members), images, tmp_path, CPU)


def test_a_step_is_recorded_once_and_changes_no_digit(
    images: Images,
    make_task: MakeTask,
    tabulate: Tabulate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capture: Any,
) -> None:
    recipes = {"a": _recipe(epochs=4), "b": _recipe(epochs=4, optimizer="lion")}
    rows = [
        tabulate(_train(make_task(recipes), images, tmp_path / name, _place(capture=each)))
        for name, each in (("eager", None), ("recorded", capture))
    ]
    assert rows[0] == rows[1]
    assert capture.num_recorded == 1
    assert capture.num_replayed >= stepper.TIMED_STEPS
    monkeypatch.setattr(stepper, "LEAST_STEPS", 1_000)
    _train(make_task(recipes), images, tmp_path / "short", _place(capture=capture))
    assert capture.num_recorded == 1


class KeptNothing(PlainCapture):
    """Records like a graph, which does not refer to the function that was recorded."""

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        return int


def test_a_recording_is_freed_with_its_last_reference() -> None:
    """Members are fused anew when some have ended; the graph of before must not wait for the garbage collector."""
    recorder = stepper._Recorder(KeptNothing(), [])
    batch = Batch(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))
    for _ in range(stepper.WARM_UP_STEPS + stepper.TIMED_STEPS + 1):
        recorder.run(batch, id)
    freed = weakref.ref(recorder)
    gc.disable()
    try:
        del recorder
        assert freed() is None
    finally:
        gc.enable()


def test_an_interruption_changes_no_digit(
    images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    recipes = {name: recipe.model_copy(update={"epochs": 4}) for name, recipe in RECIPES.items()}
    whole = tabulate(_train(make_task(recipes), images, tmp_path / "whole", _place()))
    _train(make_task(recipes, until=2), images, tmp_path / "cut", _place())
    resumed = tabulate(_train(make_task(recipes), images, tmp_path / "cut", _place()))
    assert resumed == whole


def test_the_processor_is_the_place_of_its_name() -> None:
    assert find_context("cpu") is CPU


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning")
def test_a_graphics_card_trains_as_a_processor_does(
    images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA card")
    recipes = {
        name: recipe.model_copy(update={"network": _recipe(NORMALIZED).network}) for name, recipe in RECIPES.items()
    }
    expected = tabulate(_train(make_task(recipes), images, tmp_path / "cpu", CPU))
    found = tabulate(_train(make_task(recipes), images, tmp_path / "card", find_context("cuda:0")))
    _assert_close(found, expected, {name: name for name in recipes})


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning")
@pytest.mark.parametrize("numeric", ["float32", "bfloat16"])
def test_a_graphics_card_repeats_every_digit_recorded_or_not(
    numeric: str, images: Images, make_task: MakeTask, tabulate: Tabulate, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA card")
    context = find_context("cuda:0")
    task = make_task(
        {name: recipe.model_copy(update={"epochs": 6}) for name, recipe in RECIPES.items()}, numeric=numeric
    )
    rows = [
        tabulate(_train(task, images, tmp_path / name, each))
        for name, each in (("one", context), ("two", context), ("plain", replace(context, capture=None)))
    ]
    assert rows[0] == rows[1] == rows[2]
