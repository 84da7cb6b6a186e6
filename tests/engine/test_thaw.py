"""A body that thaws: every optimizer, on layers and on an own network, against a loop in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import Conv, Dense, Pool
from bakeoff.catalog.networks.named import Layers, expand
from bakeoff.catalog.networks.outside import OutsideNetwork
from bakeoff.catalog.optimizers import OPTIMIZERS as REGISTERED
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import DeviceContext
from bakeoff.engine.fused.build import initialize
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.optim.lion import Lion
from bakeoff.engine.optim.make_optimizer import complete_momentum
from bakeoff.engine.optim.schedule_free import ScheduleFree
from bakeoff.messages import CohortTask, Event
from bakeoff.registry import bind
from bakeoff.workspace import Folders

Rows = dict[Any, dict[str, Any]]
Train = Callable[..., Rows]
Interrupt = Callable[[CohortTask, Images, Path, int], None]

SEED = 20_240_229_001
NUM_EPOCHS = 3
LAYERS = Layers(layers=(Conv(filters=6, kernel=3, activation="relu"), Pool(), Dense(units=10, activation="tanh")))
OWN = OutsideNetwork(name="thawing_nets:Net")
NETWORKS = {"layers": LAYERS, "own": OWN}
SOURCE = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10), nn.Tanh())
"""


def _make(name: str, parameters: Any) -> torch.optim.Optimizer:
    record = REGISTERED.find(name)
    made = bind(record.make)(parameters, **record.settings().arguments())
    assert isinstance(made, torch.optim.Optimizer)
    return made


def _split_head(parameters: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Return Muon's groups: the head, a layer of weights and bias, moves by AdamW."""
    *body, weight, bias = parameters
    return [{"params": body, "is_matrix": True}, {"params": [weight, bias], "is_matrix": False}]


OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": ({"learning_rate": 0.1, "momentum": 0.9}, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=False)),
    "adam": ({"learning_rate": 0.004}, lambda p: torch.optim.Adam(p, 0.004)),
    "adamw": (
        {"learning_rate": 0.004, "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(p, 0.004, weight_decay=0.1),
    ),
    "rmsprop": (
        {"learning_rate": 0.002, "momentum": 0.5, "centered": True},
        lambda p: torch.optim.RMSprop(p, 0.002, momentum=0.5, centered=True),
    ),
    "adagrad": ({"learning_rate": 0.02}, lambda p: torch.optim.Adagrad(p, 0.02)),
    "nadam": ({"learning_rate": 0.004}, lambda p: torch.optim.NAdam(p, 0.004)),
    "radam": ({"learning_rate": 0.004}, lambda p: torch.optim.RAdam(p, 0.004)),
    "adamax": ({"learning_rate": 0.004}, lambda p: torch.optim.Adamax(p, 0.004)),
    "adadelta": ({"learning_rate": 1.0}, lambda p: torch.optim.Adadelta(p, 1.0)),
    "lion": ({"learning_rate": 0.001}, lambda p: Lion(p, 0.001)),
    "muon": ({}, lambda p: _make("muon", _split_head(p))),
    **{
        name: ({}, partial(_make, name))
        for name in (
            "sgd_schedule_free",
            "adamw_schedule_free",
            "lamb",
            "lars",
            "adan",
            "adabelief",
            "adopt",
            "madgrad",
        )
    },
}
"""By name: settings, and the optimizer of a plain loop; that of a newer one is tested against its source elsewhere."""


@pytest.fixture(autouse=True)
def _own_network(write_module: Callable[[str, str], None]) -> None:
    write_module("thawing_nets", SOURCE)


def _recipe(network: str, optimizer: str, **changes: Any) -> Recipe:
    settings = {"name": optimizer, **OPTIMIZERS[optimizer][0]}
    transfer = {"freeze": 1}
    recipe = {"network": NETWORKS[network], "optimizer": settings, "transfer": transfer, "epochs": NUM_EPOCHS}
    return Recipe.model_validate({**recipe, **changes})


def _draw(recipe: Recipe, images: Images) -> dict[str, Tensor]:
    """Return the first parameters by the names they are saved under."""
    if isinstance(recipe.network, OutsideNetwork):
        return first_state(build_body(OWN, images.shape_HWC, SEED), OWN.make_head(4), InitializerChoice(), SEED)
    return initialize(expand(LAYERS, images.shape_HWC, 4), images.shape_HWC, InitializerChoice(), SEED)


def _train_plainly(recipe: Recipe, images: Images) -> list[Tensor]:
    """Train with torch's modules and optimizer, the body's gradients off for one epoch; return the parameters."""
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10), nn.Tanh()),
        nn.Linear(10, 4),
    )
    with torch.no_grad():
        for parameter, drawn in zip(network.parameters(), _draw(recipe, images).values(), strict=True):
            parameter.copy_(drawn)
    optimizer = OPTIMIZERS[recipe.optimizer.name][1](network.parameters())
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    for epoch in range(1, recipe.epochs + 1):
        network[0].requires_grad_(epoch > 1)
        order = epoch_order(train_indices, SEED, epoch)
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), torch.from_numpy(images.labels[chosen])).backward()
            optimizer.step()
    if isinstance(optimizer, ScheduleFree):
        return list(optimizer.average_weights(dict(network.named_parameters())).values())
    return [parameter.detach() for parameter in network.parameters()]


def _assert_plain(recipe: Recipe, images: Images, workspace: Path, trial_id: str) -> None:
    found = load_file(Folders(workspace).weights(trial_id))
    drawn = _draw(recipe, images)
    for name, expected in zip(drawn, _train_plainly(recipe, images), strict=True):
        torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-4, msg=lambda m: f"{name}: {m}")  # noqa: B023


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", REGISTERED.names)
def test_a_body_thaws_under_every_optimizer_as_in_a_plain_loop(
    optimizer: str, network: str, images: Images, train: Train, tmp_path: Path
) -> None:
    recipe = _recipe(network, optimizer)
    rows = train({"a": recipe})
    assert "reason" not in rows["a"]
    _assert_plain(recipe, images, tmp_path / "workspace", "a")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_members_thaw_together_as_alone(
    accumulate: int,
    context: DeviceContext,
    images: Images,
    make_task: Callable[..., CohortTask],
    tabulate: Callable[[list[Event]], Rows],
    tmp_path: Path,
) -> None:
    # The first two are moved as one stack; with the third, each kind by one optimizer.
    recipes = {
        name: _recipe("layers", optimizer, accumulate=accumulate, label_smoothing=smoothing)
        for name, optimizer, smoothing in (("one", "sgd", 0.0), ("two", "sgd", 0.1), ("adam", "adam", 0.0))
    }
    events: list[Event] = []
    train_cohort(
        make_task({name: recipes[name] for name in ("one", "two")}), images, tmp_path / "a", events.append, context
    )
    train_cohort(make_task(recipes), images, tmp_path / "b", events.append, context)
    train_cohort(make_task({"one": recipes["one"]}), images, tmp_path / "c", events.append, context)
    assert not any("reason" in row for row in tabulate(events).values())
    found = [load_file(Folders(tmp_path / folder).weights("one")) for folder in "abc"]
    for name, tensor in found[0].items():
        for other in found[1:]:
            torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-4)
    if accumulate == 1:
        _assert_plain(recipes["one"], images, tmp_path / "a", "one")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("num_epochs_done", [1, 2], ids=["before", "after"])
def test_an_interruption_about_the_thaw_changes_no_digit(
    num_epochs_done: int,
    network: str,
    images: Images,
    make_task: Callable[..., CohortTask],
    interrupt: Interrupt,
    tmp_path: Path,
) -> None:
    recipe = _recipe(network, "sgd", averaging={"name": "ema", "decay": 0.9})
    task = make_task({"a": recipe})
    train_cohort(task, images, tmp_path / "whole", lambda event: None)
    interrupt(task, images, tmp_path / "parts", num_epochs_done)
    train_cohort(task, images, tmp_path / "parts", lambda event: None)
    one, other = (Folders(tmp_path / folder).weights("a").read_bytes() for folder in ("whole", "parts"))
    assert one == other


SKIPPING = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(144, 10)
        self.second = nn.Linear(10, 10)
    def forward(self, x):
        x = torch.tanh(self.first(x.flatten(1)))
        return x + self.second(x) if not self.training or torch.rand(()) < 0.3 else x
"""


def test_a_layer_that_is_skipped_now_and_then_trains(train: Train, tmp_path: Path) -> None:
    (tmp_path / "thawing_nets.py").write_text(SKIPPING)
    rows = train({"a": _recipe("own", "sgd", transfer=None)})
    assert rows["a"]["metrics"]["train"]["accuracy"] > 0.5


def test_momentum_from_zeros_is_momentum_from_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    start, *gradients = torch.randn(4, 50, generator=generator)
    weights = [nn.Parameter(start.clone()) for _ in range(2)]
    optimizers = [torch.optim.SGD([each], 0.1, momentum=0.9, nesterov=True, fused=True) for each in weights]
    complete_momentum(optimizers[0])
    for gradient in gradients:
        for each, optimizer in zip(weights, optimizers, strict=True):
            each.grad = gradient.clone()
            optimizer.step()
        assert torch.equal(*weights)
