"""What a cohort computes: against a hand-written loop, against training alone, and against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from bakeoff.catalog.networks.layers import Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import MLP, Layers, LeNet, ModNet1, ModNet2, expand
from bakeoff.catalog.optimizers import SGD, Adagrad, Adam, AdamW, AnyOptimizer, RMSprop
from bakeoff.catalog.recipe import EarlyStopping, Recipe
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine import cohort, session
from bakeoff.engine import epoch as epoch_module
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.fused.build import FusedNetwork, initialize
from bakeoff.engine.optim.make_optimizer import find_class
from bakeoff.messages import CohortTask, EpochDone, TaskDone
from bakeoff.stats.metrics import classification_metrics
from bakeoff.workspace import Folders, load_predictions

Rows = dict[Any, dict[str, Any]]
Train = Callable[..., Rows]

SEED = 20_240_229_001
CONVOLUTIONAL = Layers(
    layers=(
        Conv(filters=4, kernel=3, padding="same", activation="tanh"),
        Pool(kind="average"),
        Conv(filters=6, kernel=2, stride=2, activation="relu"),
        Dense(units=12, activation="relu"),
    )
)
PLAIN_NUMBERS = {"0": 0, "2": 3, "3": 6, "4": 8}
OPTIMIZERS: dict[str, AnyOptimizer] = {
    "sgd": SGD(learning_rate=0.1),
    "momentum": SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.001),
    "nesterov": SGD(learning_rate=0.05, momentum=0.8, nesterov=True),
    "adam": Adam(learning_rate=0.004),
    "adam, decayed": Adam(learning_rate=0.002, beta1=0.8, beta2=0.99, epsilon=1e-6, weight_decay=0.01),
    "adamw": AdamW(learning_rate=0.003, weight_decay=0.1),
    "rmsprop": RMSprop(learning_rate=0.002),
    "rmsprop, centered": RMSprop(learning_rate=0.001, smoothing=0.9, momentum=0.5, centered=True, epsilon=1e-4),
    "adagrad": Adagrad(learning_rate=0.02, learning_rate_decay=0.01, initial_accumulator=0.1),
}

# Rounding as the design allows it in float32: another order of summation changes about 1e-7 a step, and training
# amplifies that. After the 15 to 40 steps taken here at most 4e-7 was seen; losses, probabilities and weights may
# differ by 1e-5.
TOLERANCE = 1e-5


def _name_plainly(name: str) -> str:
    """Return the name in `_train_by_hand`'s Sequential of a parameter of CONVOLUTIONAL."""
    number, kind = name.split(".")
    return f"{PLAIN_NUMBERS[number]}.{kind}"


def _train_by_hand(images: Images, recipe: Recipe, kind: Any) -> tuple[nn.Sequential, list[float], list[float]]:
    """Train CONVOLUTIONAL as any PyTorch program would; return it with its losses and accuracies by epoch."""
    plain = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 6, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 2 * 2, 12), nn.ReLU()),
        nn.Linear(12, 4),
    )
    layers = expand(CONVOLUTIONAL, images.shape_HWC, 4)
    state = initialize(layers, images.shape_HWC, recipe.initializer, SEED)
    plain.load_state_dict({_name_plainly(name): tensor for name, tensor in state.items()})
    optimizer = kind(plain.parameters(), **recipe.optimizer.arguments())
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    losses, accuracies = [], []
    for epoch in range(1, recipe.epochs + 1):
        order, loss_sum, num_right = epoch_order(train_indices, SEED, epoch), 0.0, 0
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            labels = torch.from_numpy(images.labels[chosen])
            optimizer.zero_grad()
            logits = plain(inputs)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            loss_sum += float(loss.detach()) * len(chosen)
            num_right += int((logits.argmax(dim=1) == labels).sum())
        losses.append(loss_sum / len(order))
        accuracies.append(num_right / len(order))
    return plain, losses, accuracies


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_cohort_of_one_is_the_hand_written_loop(name: str, images: Images, train: Train, tmp_path: Path) -> None:
    recipe = Recipe(network=CONVOLUTIONAL, optimizer=OPTIMIZERS[name], batch_size=48, epochs=4)
    rows = train({"a": recipe})
    plain, losses, accuracies = _train_by_hand(images, recipe, find_class(OPTIMIZERS[name]))
    weights = load_file(Folders(tmp_path / "workspace").weights("a"))
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, plain.state_dict()[_name_plainly(key)], rtol=TOLERANCE, atol=TOLERANCE)
    assert [rows["a", epoch]["train"]["loss"] for epoch in range(1, 5)] == pytest.approx(losses, rel=TOLERANCE)
    assert [rows["a", epoch]["train"]["accuracy"] for epoch in range(1, 5)] == accuracies
    with torch.no_grad():
        _, validation_indices = split_stratified(images.labels, 0.2, SEED)
        inputs = torch.from_numpy(images.pixels[validation_indices]).permute(0, 3, 1, 2) / 255
        expected = plain(inputs).softmax(dim=1).numpy()
    found = load_predictions(Folders(tmp_path / "workspace").predictions("a", "validation"))
    assert np.abs(found["probabilities"] - expected).max() < TOLERANCE
    assert losses[-1] < losses[0]


def _assert_agree(together: Rows, alone: Rows, name: str) -> None:
    """Assert that the rows of one trial agree to the rounding that the design allows."""
    mine = {key: row for key, row in together.items() if key == name or key[0] == name}
    assert mine.keys() == alone.keys()
    for key, row in mine.items():
        for field, value in row.items():
            if field in ("train", "validation"):
                _assert_metrics_agree(value, alone[key][field])
            elif field == "metrics":
                for split in ("train", "validation"):
                    _assert_metrics_agree(value[split], alone[key][field][split])
            else:
                assert value == alone[key][field], field


def _assert_metrics_agree(one: dict[str, float], other: dict[str, float]) -> None:
    # Among so few images rounding turns no prediction, so that the counts agree as well.
    assert one == pytest.approx(other, rel=TOLERANCE, abs=1e-9)


def _compare_with_alone(recipes: dict[str, Recipe], train: Train, root: Path, in_turn: bool = False) -> Rows:
    """Train `recipes` as one cohort and each alone; assert that reports, weights and predictions agree."""
    together = train(recipes, folder="together", in_turn=in_turn)
    for name, recipe in recipes.items():
        alone = train({name: recipe}, folder="alone", cohort_id=name)
        _assert_agree(together, alone, name)
        one, other = (load_file(Folders(root / folder).weights(name)) for folder in ("together", "alone"))
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=TOLERANCE, atol=TOLERANCE)
        first, second = (
            load_predictions(Folders(root / folder).predictions(name, "validation")) for folder in ("together", "alone")
        )
        assert np.abs(first["probabilities"] - second["probabilities"]).max() < TOLERANCE
    return together


NETWORKS = {
    "convolutional": CONVOLUTIONAL,
    "mlp": MLP(units=(24, 12)),
    "lenet": LeNet(kernel=3, padding="same"),
    "modnet1": ModNet1(filters=(6, 8, 10), padding="same", units=(24, 12)),
    "modnet2": ModNet2(filters=(6, 6, 8, 8), kernel=2, units=(24,)),
    "dropout on images": Layers(
        layers=(Dropout(rate=0.1), Conv(filters=4, kernel=3, activation="relu"), Pool(), Dense(units=9))
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_fused_and_separate_training_agree(name: str, train: Train, tmp_path: Path) -> None:
    choices = ("momentum", "adam", "adamw", "rmsprop", "adagrad")
    initializers = ("glorot_uniform", "he_normal", "orthogonal", "lecun_uniform", "he_uniform")
    recipes = {
        choice: Recipe(
            network=NETWORKS[name],
            initializer={"name": initializer, "where": "everywhere"},  # type: ignore[arg-type]
            optimizer=OPTIMIZERS[choice],
            epochs=3,
        )
        for choice, initializer in zip(choices, initializers, strict=True)
    }
    _compare_with_alone(recipes, train, tmp_path)


def test_members_may_differ_in_their_dropout_rates(train: Train, tmp_path: Path) -> None:
    def make(first: float, second: float) -> Recipe:
        layers = (
            *(Dropout(rate=first), Conv(filters=4, kernel=3, activation="relu"), Dropout(rate=second)),
            *(Dense(units=16, activation="relu"), Dropout(rate=first)),
        )
        return Recipe(network=Layers(layers=layers), epochs=3)

    recipes = {"none": make(0.0, 0.0), "some": make(0.1, 0.4), "late": make(0.0, 0.6), "same": make(0.1, 0.4)}
    rows = _compare_with_alone(recipes, train, tmp_path)
    finals = [rows[name]["metrics"]["validation"]["loss"] for name in recipes]
    assert len(set(finals)) == 3, "dropout rates must matter, and nothing else differs"


def _select_validation(rows: Rows, name: str) -> dict[int, dict[str, float]]:
    return {key[1]: row["validation"] for key, row in rows.items() if key[0] == name and key != name}


LEAVERS = {
    "short": Recipe(network=CONVOLUTIONAL, optimizer=OPTIMIZERS["adam"], epochs=1),
    "long": Recipe(network=CONVOLUTIONAL, optimizer=OPTIMIZERS["momentum"], epochs=6),
    # Steps so large that the loss soon rises again.
    "by loss": Recipe(
        network=CONVOLUTIONAL,
        optimizer=SGD(learning_rate=0.6, momentum=0.5),
        epochs=8,
        early_stopping=EarlyStopping(patience=2),
    ),
    "by accuracy": Recipe(
        network=CONVOLUTIONAL,
        optimizer=OPTIMIZERS["rmsprop"],
        epochs=8,
        early_stopping=EarlyStopping(monitor="accuracy", patience=1, min_delta=0.05),
    ),
    "never stops": Recipe(
        network=CONVOLUTIONAL,
        optimizer=OPTIMIZERS["adamw"],
        epochs=5,
        early_stopping=EarlyStopping(patience=50),
    ),
}


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_task_decides_the_layout_in_every_epoch(train: Train, in_turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []
    real = FusedNetwork.__call__

    def call(self: FusedNetwork, *arguments: Any, **named: Any) -> torch.Tensor:
        seen.append((self.num_members, self.in_turn))
        return real(self, *arguments, **named)

    monkeypatch.setattr(FusedNetwork, "__call__", call)
    train(LEAVERS, in_turn=in_turn)
    assert {layout for _, layout in seen} == {in_turn}
    assert len({size for size, _ in seen}) > 2


@pytest.mark.parametrize("in_turn", [False, True])
def test_members_leave_and_the_rest_go_on_as_if_alone(train: Train, tmp_path: Path, in_turn: bool) -> None:
    rows = _compare_with_alone(LEAVERS, train, tmp_path, in_turn)
    lengths = {name: rows[name]["num_epochs"] for name in LEAVERS}
    assert lengths["short"] == 1
    assert lengths["long"] == 6
    assert lengths["never stops"] == 5
    assert 1 < lengths["by accuracy"] < 8
    assert 2 < lengths["by loss"] < 8
    for name, length in lengths.items():
        assert [key[1] for key in rows if key[0] == name and key != name] == list(range(1, length + 1))
    assert {name: rows[name]["stop"] for name in LEAVERS} == {
        "short": "epochs",
        "long": "epochs",
        "by loss": "early_stopping",
        "by accuracy": "early_stopping",
        "never stops": "epochs",
    }


def test_the_best_weights_are_kept(images: Images, train: Train, tmp_path: Path) -> None:
    rows = train(LEAVERS)
    for name, recipe in LEAVERS.items():
        history = _select_validation(rows, name)
        best = rows[name]["best_epoch"]
        if recipe.early_stopping is None:
            assert best == len(history)
        elif recipe.early_stopping.monitor == "loss":
            assert best == min(history, key=lambda epoch: history[epoch]["loss"])
        else:
            assert best == len(history) - recipe.early_stopping.patience
        # Of the kept weights, evaluated afresh, in a cohort of another size: to rounding.
        assert rows[name]["metrics"]["validation"] == pytest.approx(history[best], rel=1e-5)
        found = load_predictions(Folders(tmp_path / "workspace").predictions(name, "validation"))
        assert classification_metrics(found["probabilities"], found["labels"]) == rows[name]["metrics"]["validation"]
    assert rows["by loss"]["best_epoch"] < rows["by loss"]["num_epochs"]
    stopped = _select_validation(rows, "by loss")
    assert stopped[len(stopped)]["loss"] > rows["by loss"]["metrics"]["validation"]["loss"]


def test_a_diverged_member_fails_alone(train: Train) -> None:
    sound = {name: LEAVERS[name] for name in ("long", "by loss")}
    wild = Recipe(network=CONVOLUTIONAL, optimizer=SGD(learning_rate=1e38), epochs=6)
    rows = train({"long": sound["long"], "wild": wild, "by loss": sound["by loss"]})
    assert rows["wild"].pop("reason").startswith("diverged: ")
    assert rows["wild"] == {"trial_id": "wild", "diverged": True, "num_epochs": 1}
    assert ("wild", 1) not in rows
    without = train(sound, folder="without")
    for name in sound:
        alone = {key: row for key, row in without.items() if key == name or key[0] == name}
        _assert_agree(rows, alone, name)


def test_a_member_that_diverges_late_keeps_its_sound_epochs(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    real, epochs = session.train_epoch, []

    def spoil(network: Any, *rest: Any) -> Any:
        measured = real(network, *rest)
        epochs.append(measured)
        if len(epochs) == 3:
            with torch.no_grad():
                next(iter(network.members[1].values())).fill_(float("nan"))
        return measured

    monkeypatch.setattr(session, "train_epoch", spoil)
    recipe = LEAVERS["long"].model_copy(update={"early_stopping": EarlyStopping(patience=5)})
    rows = train({"sound": LEAVERS["long"], "spoilt": recipe})
    assert [key for key in rows if key[0] == "spoilt"] == [("spoilt", 1), ("spoilt", 2)]
    assert rows["spoilt"]["diverged"]
    assert rows["spoilt"]["num_epochs"] == 3
    assert "epoch 3" in rows["spoilt"]["reason"]
    assert rows["sound"]["num_epochs"] == 6


def test_all_members_may_diverge(train: Train, tmp_path: Path) -> None:
    wild = {name: Recipe(network=CONVOLUTIONAL, optimizer=SGD(learning_rate=1e38)) for name in "ab"}
    rows = train(wild)
    assert [row["diverged"] for row in rows.values()] == [True, True]
    assert not (tmp_path / "workspace" / "trials").exists()


def test_the_same_cohort_gives_the_same_numbers(train: Train, tmp_path: Path) -> None:
    recipes = {**LEAVERS, "dropped": LEAVERS["long"]}
    first, second = train(recipes, folder="first"), train(recipes, folder="second")
    assert first == second
    for name in recipes:
        for path in (
            Folders(tmp_path / "first").weights(name),
            Folders(tmp_path / "first").predictions(name, "validation"),
        ):
            twin = tmp_path / "second" / path.relative_to(tmp_path / "first")
            assert path.read_bytes() == twin.read_bytes()


def test_torchs_own_generator_is_neither_read_nor_moved(train: Train) -> None:
    recipe = Recipe(network=NETWORKS["dropout on images"], epochs=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train({"a": recipe}, folder="first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    np.random.seed(2)
    assert train({"a": recipe}, folder="second") == first


def test_another_seed_gives_other_numbers(train: Train) -> None:
    recipe = {"a": LEAVERS["long"]}
    first, second = train(recipe, folder="first"), train(recipe, folder="second", seed=SEED + 1)
    assert first["a"]["metrics"] != second["a"]["metrics"]


def test_files_hold_what_is_documented(images: Images, train: Train, tmp_path: Path) -> None:
    rows = train({"a": LEAVERS["by loss"], "b": LEAVERS["long"]})
    folders = Folders(tmp_path / "workspace")
    train_indices, validation_indices = split_stratified(images.labels, 0.2, SEED)
    for name in "ab":
        weights = load_file(folders.weights(name))
        assert {key: tuple(tensor.shape) for key, tensor in weights.items()} == {
            "0.weight": (4, 2, 3, 3),
            "0.bias": (4,),
            "2.weight": (6, 4, 2, 2),
            "2.bias": (6,),
            "3.weight": (12, 24),
            "3.bias": (12,),
            "4.weight": (4, 12),
            "4.bias": (4,),
        }
        assert all(tensor.dtype == torch.float32 for tensor in weights.values())
        assert rows[name]["num_parameters"] == sum(tensor.numel() for tensor in weights.values())
        with safe_open(folders.weights(name), "pt") as file:
            assert set(file.keys()) == weights.keys()
        found = load_predictions(folders.predictions(name, "validation"))
        assert np.array_equal(found["indices"], validation_indices)
        assert np.array_equal(found["labels"], images.labels[validation_indices])
        assert found["probabilities"].shape == (40, 4)
        np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
    assert not set(train_indices) & set(validation_indices)
    assert not list((tmp_path / "workspace").rglob("*.part"))


def test_validation_images_are_never_trained_on(images: Images, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, real = [], epoch_module.epoch_order

    def spy(indices: Any, seed: int, epoch: int) -> Any:
        order = real(indices, seed, epoch)
        seen.append(order)
        return order

    monkeypatch.setattr(epoch_module, "epoch_order", spy)
    train({"a": LEAVERS["long"]})
    train_indices, validation_indices = split_stratified(images.labels, 0.2, SEED)
    assert len(seen) == 6
    for order in seen:
        assert np.array_equal(np.sort(order), train_indices)
        assert not set(order) & set(validation_indices)


def test_events_come_in_order(images: Images, make_task: Callable[..., CohortTask], tmp_path: Path) -> None:
    events: list[Any] = []
    cohort.train_cohort(make_task(LEAVERS), images, tmp_path, events.append)
    epochs = [event.epoch for event in events if isinstance(event, EpochDone)]
    assert epochs == sorted(epochs)
    assert events[-1] == TaskDone(task_id="cohort")
    assert len([event for event in events if isinstance(event, TaskDone)]) == 1
    for name in LEAVERS:
        mine = [event for event in events[:-1] if event.trial_id == name]
        assert [isinstance(event, EpochDone) for event in mine] == [True] * (len(mine) - 1) + [False]
        assert not any(event.replayed for event in mine[:-1])
        assert all(event.seconds > 0 and event.images_per_second > 0 for event in mine[:-1])
        assert mine[-1].seconds > 0


def test_bfloat16_learns_what_float32_learns(train: Train, tmp_path: Path) -> None:
    recipes = {"a": LEAVERS["long"], "b": LEAVERS["by loss"]}
    exact = train(recipes, folder="float32")
    fast = train(recipes, folder="bfloat16", numeric="bfloat16")
    for name in recipes:
        assert fast[name, 1]["train"]["loss"] == pytest.approx(exact[name, 1]["train"]["loss"], rel=0.05)
    assert fast["a", 1] != exact["a", 1]
    assert fast["a", 6]["train"]["loss"] < fast["a", 1]["train"]["loss"]
    weights = load_file(Folders(tmp_path / "bfloat16").weights("a"))
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())


def test_members_are_scored_by_the_metrics_that_their_study_and_recipes_name(train: Any) -> None:
    monitored = Recipe(
        network=MLP(units=(8,)), epochs=2, early_stopping=EarlyStopping(monitor="top_2_accuracy", patience=2)
    )
    rows = train({"a": monitored, "b": Recipe(network=MLP(units=(8,)), epochs=2)}, metrics=("brier",))
    assert {"brier", "top_2_accuracy"} < set(rows["a", 2]["validation"])
    assert {"brier", "top_2_accuracy"} < set(rows["a"]["metrics"]["train"])
    assert "top_2_accuracy" not in rows["b", 2]["validation"]
    assert "brier" in rows["b"]["metrics"]["validation"]
