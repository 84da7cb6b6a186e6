"""Batch norms of a body that stay in evaluation mode while it is trained, against a loop in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bakeoff.catalog.networks.layers import BatchNorm, Conv, Dense, GlobalPool
from bakeoff.catalog.networks.named import Layers
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import DeviceContext
from bakeoff.messages import CohortTask
from bakeoff.workspace import Folders

MakeTask = Callable[..., CohortTask]
Interrupt = Callable[[CohortTask, Images, Path, int], None]

SEED = 20_240_229_001
FIRST = "abcd"
NETWORKS = {
    "layers": Layers(
        layers=(Conv(filters=6, kernel=3), BatchNorm(activation="relu"), GlobalPool(), Dense(units=8), BatchNorm())
    ),
    "own": OutsideNetwork(name="normed_nets:Net"),
}
SOURCE = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 8), nn.BatchNorm1d(8),
        )
"""
FREEZES = (0, 1)


@pytest.fixture(autouse=True)
def _own_network(write_module: Callable[[str, str], None]) -> None:
    write_module("normed_nets", SOURCE)


def _recipe(network: str, **transfer: Any) -> Recipe:
    given = {"weights": {"trial": FIRST}, "freeze_norm": True, **transfer}
    fields = {"network": NETWORKS[network], "optimizer": {"name": "sgd", "learning_rate": 0.05}, "epochs": 3}
    return Recipe.model_validate({**fields, "transfer": given})


@pytest.fixture
def start(images: Images, make_task: MakeTask) -> Callable[[str, Path], None]:
    """Train the trial from which the others start, so that its running statistics are those of images."""

    def train(network: str, workspace: Path) -> None:
        recipe = _recipe(network).model_copy(update={"transfer": None})
        train_cohort(make_task({FIRST: recipe}), images, workspace, lambda event: None)

    return train


def _load(workspace: Path, trial_id: str) -> dict[str, Tensor]:
    """Return stored weights as one list, in the order of a module's state."""
    return load_file(Folders(workspace).weights(trial_id))


def _list(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the names of `_make_plain`."""
    torch_names = {"mean": "running_mean", "variance": "running_var"}
    named = {}
    for name, tensor in state.items():
        place, _, what = name.rpartition(".")
        body = {"0": "0", "1": "1", "3": "5", "4": "6"}
        place = body.get(place, "7") if "." not in place else place.replace("body.", "").replace("head.0", "7")
        named[f"{place}.{torch_names.get(what, what)}"] = tensor
    return named


def _make_plain() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.Linear(8, 4),
    )


def _train_plainly(recipe: Recipe, images: Images, first: dict[str, Tensor], head: dict[str, Tensor]) -> nn.Sequential:
    network = _make_plain()
    network.load_state_dict({**_list(first), **head}, strict=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    assert recipe.transfer is not None
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        for module in network:
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        network[:7].requires_grad_(epoch > recipe.transfer.freeze)  # type: ignore[operator]  # not "always" here
        order = epoch_order(train_indices, SEED, epoch)
        for begin in range(0, len(order), recipe.batch_size):
            chosen = order[begin : begin + recipe.batch_size]
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), torch.from_numpy(images.labels[chosen])).backward()
            optimizer.step()
    return network


def _draw_head(network: str, images: Images, make_task: MakeTask, workspace: Path) -> dict[str, Tensor]:
    """Return the head as it is drawn for the replicate: that of a trial with a learning rate of almost nothing."""
    recipe = Recipe.model_validate(
        {
            "network": NETWORKS[network],
            "optimizer": {"name": "sgd", "learning_rate": 1e-30},
            "transfer": {"weights": {"trial": FIRST}},
            "epochs": 1,
        }
    )
    train_cohort(make_task({"drawn": recipe}), images, workspace, lambda event: None)
    return {name: value for name, value in _list(_load(workspace, "drawn")).items() if name.startswith("7.")}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("freeze", FREEZES)
def test_frozen_norms_train_as_in_a_plain_loop(
    freeze: int,
    network: str,
    context: DeviceContext,
    images: Images,
    make_task: MakeTask,
    start: Callable[[str, Path], None],
    tmp_path: Path,
) -> None:
    start(network, tmp_path)
    recipe = _recipe(network, freeze=freeze)
    train_cohort(make_task({"a": recipe}), images, tmp_path, lambda event: None, context)
    first, found = _load(tmp_path, FIRST), _list(_load(tmp_path, "a"))
    expected = _train_plainly(recipe, images, first, _draw_head(network, images, make_task, tmp_path)).state_dict()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=lambda m: f"{name}: {m}")  # noqa: B023
        if "running" in name:
            assert torch.equal(value, _list(first)[name])
        elif name.startswith(("1.", "6.")) and name.endswith(("weight", "bias")):
            assert not torch.equal(value, _list(first)[name]), "scale and shift are trained"


@pytest.mark.parametrize("network", NETWORKS)
def test_without_it_the_statistics_change_after_the_thaw(
    network: str, images: Images, make_task: MakeTask, start: Callable[[str, Path], None], tmp_path: Path
) -> None:
    start(network, tmp_path)
    first = _list(_load(tmp_path, FIRST))
    for epochs, changes in ((1, False), (2, True)):
        recipe = _recipe(network, freeze=1, freeze_norm=False).model_copy(update={"epochs": epochs})
        train_cohort(make_task({f"a{epochs}": recipe}), images, tmp_path, lambda event: None)
        found = _list(_load(tmp_path, f"a{epochs}"))
        assert torch.equal(found["1.running_mean"], first["1.running_mean"]) != changes


def test_a_cohort_trains_them_as_alone(
    context: DeviceContext,
    images: Images,
    make_task: MakeTask,
    start: Callable[[str, Path], None],
    tmp_path: Path,
) -> None:
    recipes = {"a": _recipe("layers", freeze=1), "b": _recipe("layers", freeze=1, body_rate=0.5)}
    for folder, members in (("together", "ab"), ("alone", "a")):
        start("layers", tmp_path / folder)
        task = make_task({name: recipes[name] for name in members})
        train_cohort(task, images, tmp_path / folder, lambda event: None, context)
    alone = _load(tmp_path / "alone", "a")
    for name, value in _load(tmp_path / "together", "a").items():
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("num_epochs_done", [1, 2], ids=["before", "after"])
def test_an_interruption_changes_no_digit(
    num_epochs_done: int,
    network: str,
    images: Images,
    make_task: MakeTask,
    start: Callable[[str, Path], None],
    interrupt: Interrupt,
    tmp_path: Path,
) -> None:
    task = make_task({"a": _recipe(network, freeze=1)})
    for folder in ("whole", "parts"):
        start(network, tmp_path / folder)
    train_cohort(task, images, tmp_path / "whole", lambda event: None)
    interrupt(task, images, tmp_path / "parts", num_epochs_done)
    train_cohort(task, images, tmp_path / "parts", lambda event: None)
    one, other = (Folders(tmp_path / folder).weights("a").read_bytes() for folder in ("whole", "parts"))
    assert one == other
