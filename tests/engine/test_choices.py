"""Every choice of a recipe in the engine: against plain PyTorch, against training alone, through an interruption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from bakeoff.catalog.networks.layers import BatchNorm, Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import Layers, expand
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Progress
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine.augment.mix_images import mix as mix_images
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import DeviceContext
from bakeoff.engine.epoch import AccumulationSchedule
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.messages import CohortTask, EpochDone, Event
from bakeoff.workspace import Folders, load_predictions

Rows = dict[Any, dict[str, Any]]
Train = Callable[..., Rows]

SEED = 20_240_229_001
NETWORK = Layers(
    layers=(
        Conv(filters=6, kernel=3, padding="same", activation="relu"),
        Pool(),
        Conv(filters=8, kernel=2, activation="tanh"),
        Dense(units=10, activation="relu"),
    )
)
NORMALISED = Layers(
    layers=(
        Conv(filters=6, kernel=3, padding="same", bias=False),
        BatchNorm(activation="relu"),
        Pool(),
        Dropout(rate=0.2),
        Dense(units=10, bias=False),  # a bias that batch norm takes away again has noise for a gradient
        BatchNorm(activation="tanh"),
    )
)
TOLERANCE = 1e-5


def _recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({"network": NETWORK, "optimizer": {"name": "adam", "learning_rate": 0.004}, **changes})


FLIP = {"name": "horizontal_flip"}
CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate": {"accumulate": 3},
    "cosine": {"schedule": {"name": "cosine", "warm_up": 0.5}},
    "one cycle": {"schedule": "one_cycle", "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    "plateau": {"schedule": {"name": "plateau", "patience": 1, "min_delta": 1.0}},
    "clip": {"clip": {"norm": 0.05}, "optimizer": {"name": "sgd", "learning_rate": 0.5}},
    "smoothing": {"label_smoothing": 0.2},
    "weights": {"class_weights": {"a": 3.0, "c": 0.5}},
    "mixup": {"mix": {"name": "mixup", "alpha": 0.4}},
    "cutmix": {"mix": "cutmix", "augmentation": [FLIP]},
    "ema": {"averaging": {"name": "ema", "decay": 0.9}},
    "swa": {"averaging": {"name": "swa", "from_epoch": 2}, "early_stopping": {"patience": 3}},
    "flip": {"augmentation": [FLIP]},
    "crop": {
        "augmentation": [
            {"name": "random_crop", "size": [9, 8], "padding": 1},
            {"name": "normalize", "mean": "data", "sd": "data"},
        ]
    },
    "lion": {"optimizer": {"name": "lion", "learning_rate": 0.002}},
}


@pytest.mark.parametrize("network", [NETWORK, NORMALISED], ids=["plain", "batch norm"])
def test_members_of_every_choice_train_together_as_alone(network: Layers, train: Train, tmp_path: Path) -> None:
    recipes = {name: _recipe(**{"network": network, "epochs": 3, **change}) for name, change in CHOICES.items()}
    together = train(recipes, folder="together")
    for name, recipe in recipes.items():
        alone = train({name: recipe}, folder="alone", cohort_id=name)
        mine = {key: row for key, row in together.items() if key == name or key[0] == name}
        assert mine.keys() == alone.keys()
        assert mine[name]["best_epoch"] == alone[name]["best_epoch"]
        one, other = (load_file(Folders(tmp_path / folder).weights(name)) for folder in ("together", "alone"))
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-4, atol=1e-4)
        for epoch in (1, 2, 3):
            assert mine[name, epoch]["train"] == pytest.approx(alone[name, epoch]["train"], rel=1e-4)
            assert mine[name, epoch]["validation"]["loss"] == pytest.approx(
                alone[name, epoch]["validation"]["loss"], rel=1e-4
            )
    finals = [together[name]["metrics"]["validation"]["loss"] for name in recipes]
    assert len(set(finals)) == len(recipes), "every choice must change something"


class Interrupted(Exception):
    """The connection broke."""


@pytest.mark.parametrize("network", [NETWORK, NORMALISED], ids=["plain", "batch norm"])
def test_an_interruption_changes_no_digit_of_any_choice(
    network: Layers,
    images: Images,
    make_task: Callable[..., CohortTask],
    tabulate: Callable[[list[Event]], Rows],
    tmp_path: Path,
) -> None:
    recipes = {name: _recipe(**{"network": network, "epochs": 3, **change}) for name, change in CHOICES.items()}
    task = make_task(recipes)
    whole: list[Event] = []
    train_cohort(task, images, tmp_path / "whole", whole.append)
    for stop in (len(recipes), 2 * len(recipes) + 1):
        parts: list[Event] = []

        def receive(event: Event, parts: list[Event] = parts, stop: int = stop) -> None:
            if len(parts) == stop:
                raise Interrupted
            parts.append(event)

        with pytest.raises(Interrupted):
            train_cohort(task, images, tmp_path / str(stop), receive)
        rest: list[Event] = []
        train_cohort(task, images, tmp_path / str(stop), rest.append)
        assert tabulate([*parts, *rest]) == tabulate(whole)
        for path in (tmp_path / "whole" / "trials").rglob("*.safetensors"):
            assert path.read_bytes() == (tmp_path / str(stop) / path.relative_to(tmp_path / "whole")).read_bytes()


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, {"name": "adam"}])
def test_accumulation_equals_the_large_batch(optimizer: dict[str, Any], train: Train, tmp_path: Path) -> None:
    # 160 images to train on: batches of 48 leave a last one of 16, batches of 16 in threes a last step of one.
    weighted = {"optimizer": optimizer, "epochs": 3, "class_weights": {"b": 2.0}, "label_smoothing": 0.1}
    weighted["schedule"] = {"name": "cosine", "warm_up": 1.5}
    large = train({"large": _recipe(batch_size=48, **weighted)}, cohort_id="large")
    small = train({"small": _recipe(batch_size=16, accumulate=3, **weighted)}, cohort_id="small")
    one, other = (load_file(Folders(tmp_path / "workspace").weights(name)) for name in ("large", "small"))
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=TOLERANCE, atol=TOLERANCE)
    for epoch in (1, 2, 3):
        assert small["small", epoch]["validation"] == pytest.approx(large["large", epoch]["validation"], rel=TOLERANCE)


def test_a_pacer_says_when_members_step_and_over_how_many_images() -> None:
    pacer = AccumulationSchedule(num_images=70, batch_size=16, accumulate=[1, 2, 3])
    assert pacer.num_batches == 5
    assert [[pacer.ends(number, k) for k in range(3)] for number in range(5)] == [
        [True, False, False],
        [True, True, False],
        [True, False, True],
        [True, True, False],
        [True, True, True],
    ]
    assert [pacer.starts_afresh(number) for number in range(5)] == [True, False, False, False, False]
    assert [pacer.divisors(number) for number in range(5)] == [
        [16, 32, 48],
        [16, 32, 48],
        [16, 32, 48],
        [16, 32, 22],
        [6, 6, 22],
    ]
    assert AccumulationSchedule(64, 16, [1, 1]).divisors(3) == 16


def test_progress_is_counted_in_images_and_in_steps() -> None:
    pacer = AccumulationSchedule(num_images=70, batch_size=16, accumulate=[1, 2])
    assert [pacer.progress(3, number, 0) for number in (0, 4)] == [Progress(2, 10, 5), Progress(2 + 64 / 70, 14, 5)]
    assert [pacer.progress(3, number, 1) for number in (1, 4)] == [Progress(2, 6, 3), Progress(2 + 64 / 70, 8, 3)]


def test_a_schedule_with_clipping_is_the_hand_written_loop(images: Images, train: Train, tmp_path: Path) -> None:
    recipe = _recipe(
        optimizer={"name": "sgd", "learning_rate": 0.3, "momentum": 0.5},
        schedule={"name": "step", "every": 1, "factor": 0.5},
        clip={"norm": 0.1},
        batch_size=40,
        epochs=3,
    )
    train({"a": recipe})
    _assert_hand_written(
        recipe,
        images,
        tmp_path,
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5),
        lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 0.1),
    )


@pytest.mark.parametrize(("batch_size", "accumulate"), [(48, 1), (16, 3)])
def test_one_cycle_is_the_hand_written_loop(
    batch_size: int, accumulate: int, images: Images, train: Train, tmp_path: Path
) -> None:
    # 160 images: the last of four steps is of 16.
    sgd = {"name": "sgd", "learning_rate": 0.3, "momentum": 0.5}
    recipe = _recipe(optimizer=sgd, schedule="one_cycle", batch_size=batch_size, accumulate=accumulate, epochs=3)
    train({"a": recipe})

    def schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=12, cycle_momentum=False)

    _assert_hand_written(recipe, images, tmp_path, schedule)


def _assert_hand_written(
    recipe: Recipe,
    images: Images,
    folder: Path,
    schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler],
    clip: Callable[[list[torch.nn.Parameter]], object] = lambda parameters: None,
) -> None:
    """Compare trial `a` with SGD under a scheduler of torch's that is asked after every step."""
    layers = expand(NETWORK, images.shape_HWC, 4)
    network = FusedNetwork([layers], [initialize(layers, images.shape_HWC, recipe.initializer, SEED)])
    parameters = list(network.members[0].values())
    optimizer = torch.optim.SGD(parameters, lr=0.3, momentum=0.5)
    scheduler = schedule(optimizer)
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    batch_size = recipe.batch_size * recipe.accumulate
    num_left = recipe.epochs * -(-len(train_indices) // batch_size)
    for epoch in range(1, recipe.epochs + 1):
        order = epoch_order(train_indices, SEED, epoch)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            network.clear_gradients()
            F.cross_entropy(network(inputs, network.cast())[0], torch.from_numpy(images.labels[chosen])).backward()
            network.share_gradients()
            clip(parameters)
            optimizer.step()
            num_left -= 1
            if num_left:  # OneCycleLR has no rate after its last step
                scheduler.step()
    for name, tensor in load_file(Folders(folder / "workspace").weights("a")).items():
        torch.testing.assert_close(tensor, network.members[0][name].detach(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("mix", [{"name": "mixup", "alpha": 0.4}, {"name": "cutmix", "probability": 0.7}])
def test_training_accuracy_counts_each_label_of_a_mixed_image_by_its_share(
    mix: dict[str, Any], context: DeviceContext, images: Images, make_task: Callable[..., CohortTask], tmp_path: Path
) -> None:
    still = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}, "epochs": 1}
    recipe = _recipe(mix=mix, **still)
    events: list[Event] = []
    train_cohort(make_task({"mixed": recipe, "plain": _recipe(**still)}), images, tmp_path, events.append, context)
    found = {event.trial_id: event.train["accuracy"] for event in events if isinstance(event, EpochDone)}
    layers = expand(NETWORK, images.shape_HWC, 4)
    network = FusedNetwork([layers], [initialize(layers, images.shape_HWC, recipe.initializer, SEED)])
    order = epoch_order(split_stratified(images.labels, 0.2, SEED)[0], SEED, 1)
    right = {"mixed": 0.0, "plain": 0.0}
    for start in range(0, len(order), 32):
        chosen = order[start : start + 32]
        inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
        labels = torch.from_numpy(images.labels[chosen])
        blended, mixed = mix_images(inputs, labels, recipe.mix, SEED, 1, chosen)
        for name, seen in (("mixed", blended), ("plain", inputs)):
            predicted = network(seen, network.cast())[0].argmax(1)
            for n in range(len(chosen)):
                share = float(mixed.share_N[n]) if name == "mixed" else 1.0
                right[name] += share * bool(predicted[n] == labels[n])
                right[name] += (1 - share) * bool(predicted[n] == labels[(n + 1) % len(chosen)])
    assert found == pytest.approx({name: count / len(order) for name, count in right.items()}, rel=1e-6)
    assert found["plain"] == right["plain"] / len(order)


def _transfer(freeze: Any, **rest: Any) -> dict[str, Any]:
    return {"transfer": {"weights": {"trial": "abcd"}, "freeze": freeze, **rest}}


@pytest.fixture
def source(train: Train, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Train a network to carry over; return its weights."""
    train({"abcd": _recipe(epochs=2)}, folder="workspace", cohort_id="source")
    return load_file(Folders(tmp_path / "workspace").weights("abcd"))


def test_a_body_is_carried_over_and_the_head_is_drawn_anew(
    source: dict[str, torch.Tensor], images: Images, make_task: Callable[..., CohortTask], tmp_path: Path
) -> None:
    recipe = _recipe(epochs=1, optimizer={"name": "sgd", "learning_rate": 1e-30}, **_transfer(0))
    train_cohort(make_task({"a": recipe}, seed=SEED + 1), images, tmp_path / "workspace", lambda event: None)
    found = load_file(Folders(tmp_path / "workspace").weights("a"))
    layers = expand(NETWORK, images.shape_HWC, 4)
    drawn = initialize(layers, images.shape_HWC, recipe.initializer, SEED + 1)
    for name, tensor in found.items():
        expected = drawn[name] if name.startswith("4.") else source[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("source")
def test_frozen_epochs_and_body_rates_move_what_they_should(
    source: dict[str, torch.Tensor], train: Train, tmp_path: Path
) -> None:
    plain = {"optimizer": {"name": "sgd", "learning_rate": 0.1}, "epochs": 2}
    recipes = {
        "thawed": _recipe(**plain, **_transfer(1)),
        "still": _recipe(**plain, **_transfer(2)),
        "slow": _recipe(**plain, **_transfer(0, body_rate=0.001)),
        "free": _recipe(**plain, **_transfer(0)),
    }
    moved = {}
    for name, recipe in recipes.items():
        train({name: recipe}, cohort_id=name)
        found = load_file(Folders(tmp_path / "workspace").weights(name))
        moved[name] = {key: float((found[key] - source[key]).abs().max()) for key in found}
    assert moved["still"]["0.weight"] == moved["still"]["3.weight"] == 0.0
    assert moved["still"]["4.weight"] > 0
    assert 0 < moved["thawed"]["0.weight"] < moved["free"]["0.weight"]
    assert 0 < moved["slow"]["0.weight"] < moved["free"]["0.weight"] / 100


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("body", ["all_but_last", "convolutions"])
@pytest.mark.parametrize("numeric", ["float32", "bfloat16"])
def test_cached_features_train_heads_as_a_frozen_body_does(
    body: str, numeric: str, train: Train, tmp_path: Path
) -> None:
    cached = _recipe(epochs=3, **_transfer("always", body=body))
    # Frozen for all of its epochs, but not for good: the body is run again on every batch.
    running = _recipe(epochs=3, **_transfer(3, body=body))
    fused = train({"cached": cached, "twin": cached.model_copy(update={"label_smoothing": 0.1})}, numeric=numeric)
    assert len(list((tmp_path / "workspace" / "features").rglob("features.npy"))) == 1
    alone = train({"running": running}, cohort_id="running", numeric=numeric)
    tolerance = 1e-4 if numeric == "float32" else 0.05
    assert fused["cached"]["metrics"]["validation"]["loss"] == pytest.approx(
        alone["running"]["metrics"]["validation"]["loss"], rel=tolerance
    )
    folders = Folders(tmp_path / "workspace")
    saved, whole = load_file(folders.weights("cached")), load_file(folders.weights("running"))
    assert saved.keys() == {name for name in whole if int(name[0]) >= (4 if body == "all_but_last" else 3)}
    for name, tensor in saved.items():
        torch.testing.assert_close(tensor, whole[name], rtol=tolerance, atol=tolerance)
    one, other = (load_predictions(folders.predictions(name, "validation")) for name in ("cached", "running"))
    assert np.abs(one["probabilities"] - other["probabilities"]).max() < tolerance


@pytest.mark.usefixtures("source")
def test_a_frozen_body_under_augmentation_is_run_on_every_batch(train: Train, tmp_path: Path) -> None:
    frozen = _recipe(epochs=2, augmentation=[FLIP], **_transfer("always"))
    rows = train({"a": frozen, "b": frozen.model_copy(update={"label_smoothing": 0.1})})
    assert not (tmp_path / "workspace" / "features").exists()
    running = train({"running": _recipe(epochs=2, augmentation=[FLIP], **_transfer(2))}, cohort_id="running")
    assert rows["a"]["metrics"]["validation"]["loss"] == pytest.approx(
        running["running"]["metrics"]["validation"]["loss"], rel=1e-4
    )


def test_a_source_of_its_own_validation_images_is_split_as_it_says(
    images: Images, make_task: Callable[..., CohortTask], tmp_path: Path
) -> None:
    own = np.arange(0, 200, 5)
    given = dataclasses.replace(images, own_validation=own)
    task = make_task({"a": _recipe(epochs=1)})
    task = dataclasses.replace(task, data=dataclasses.replace(task.data, validation="own"))
    train_cohort(task, given, tmp_path, lambda event: None)
    found = load_predictions(Folders(tmp_path).predictions("a", "validation"))
    assert np.array_equal(found["indices"], own)
