"""Weight decay that skips norms and biases, against torch's optimizers with two groups of parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import BatchNorm, Conv, Dense
from bakeoff.catalog.networks.named import Layers, expand
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.splits import split_stratified
from bakeoff.data.store import Images
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import DeviceContext
from bakeoff.engine.fused.build import initialize
from bakeoff.engine.optim.make_optimizer import find_class, make_optimizer
from bakeoff.messages import CohortTask, Event
from bakeoff.workspace import Folders

MakeTask = Callable[..., CohortTask]

SEED = 20_240_229_001
RATES = {"sgd": 0.1, "rmsprop": 0.002, "adagrad": 0.02, "adadelta": 1.0, "lion": 0.001}
# A bias directly before a norm has no gradient but noise.
LAYERS = Layers(layers=(Conv(filters=6, kernel=3, activation="relu"), BatchNorm(), Dense(units=10, activation="tanh")))
PLAIN = [  # the others treat a head in another way, or keep other weights than those they move
    each.name for each in OPTIMIZERS if not (each.settings.splits_matrices or each.settings.averages_itself)
]
BODY_RATE = 0.5
NUM_BODY = 6  # parameters of the layers before the head


def _recipe(kind: str, **changes: Any) -> Recipe:
    settings = {"name": kind, "learning_rate": RATES.get(kind, 0.004), "weight_decay": 0.3}
    fields = {
        "network": LAYERS,
        "optimizer": {**settings, "decay_norms_and_biases": False},
        "schedule": "cosine",
        "transfer": {"body_rate": BODY_RATE},
        "epochs": 2,
    }
    return Recipe.model_validate({**fields, **changes})


def _train_plainly(recipe: Recipe, images: Images, decay: float) -> dict[str, Tensor]:
    """Train with torch's modules and optimizer, as timm groups parameters: without decay where `ndim <= 1`."""
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Flatten(), nn.LazyLinear(10), nn.Tanh(), nn.Linear(10, 4)
    )
    network.eval()(torch.zeros(1, *images.pixels.shape[3:], *images.pixels.shape[1:3]))
    drawn = initialize(expand(LAYERS, images.shape_HWC, 4), images.shape_HWC, InitializerChoice(), SEED)
    names = [name for name in drawn if not name.endswith(("mean", "variance"))]
    with torch.no_grad():
        for name, parameter in zip(names, network.parameters(), strict=True):
            parameter.copy_(drawn[name].view(parameter.shape))
    rate, groups = recipe.optimizer.learning_rate, []
    for number, parameter in enumerate(network.parameters()):
        own = rate * (BODY_RATE if number < NUM_BODY else 1.0)
        groups.append(
            {"params": [parameter], "lr": own, "first": own, "weight_decay": 0.0 if parameter.ndim <= 1 else decay}
        )
    settings = {name: value for name, value in recipe.optimizer.arguments().items() if name != "weight_decay"}
    optimizer = find_class(recipe.optimizer)(groups, **settings)
    train_indices, _ = split_stratified(images.labels, 0.2, SEED)
    num_images, seen = len(train_indices) * recipe.epochs, 0
    network.train()
    for epoch in range(1, recipe.epochs + 1):
        order = epoch_order(train_indices, SEED, epoch)
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = group["first"] * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * seen / num_images))))
            inputs = torch.from_numpy(images.pixels[chosen]).permute(0, 3, 1, 2) / 255
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), torch.from_numpy(images.labels[chosen])).backward()
            optimizer.step()
            seen += len(chosen)
    return {name: value.detach() for name, value in zip(names, network.parameters(), strict=True)}


@pytest.mark.parametrize("optimizer", PLAIN)
def test_it_trains_as_two_groups_of_torchs_optimizer(
    optimizer: str, context: DeviceContext, images: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    recipe = _recipe(optimizer)
    train_cohort(make_task({"a": recipe}), images, tmp_path, lambda event: None, context)
    found = load_file(Folders(tmp_path).weights("a"))
    expected = _train_plainly(recipe, images, 0.3)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].view(value.shape), value, rtol=2e-3, atol=2e-4)
    without = _train_plainly(recipe, images, 0.0)["2.weight"]
    assert not torch.allclose(found["2.weight"].view(without.shape), without, rtol=1e-3)


def test_members_that_skip_and_that_do_not_train_as_alone(
    context: DeviceContext, images: Images, make_task: MakeTask, tmp_path: Path
) -> None:
    averaged = {"averaging": {"name": "ema", "decay": 0.9}}
    whole = {"optimizer": {"name": "adamw", "learning_rate": 0.004, "weight_decay": 0.3}}
    recipes = {"a": _recipe("adamw", **averaged), "b": _recipe("adamw"), "c": _recipe("adamw", **whole)}
    train_cohort(make_task(recipes), images, tmp_path / "together", lambda event: None, context)
    weights = {}
    for name, recipe in recipes.items():
        train_cohort(make_task({name: recipe}), images, tmp_path / "alone", lambda event: None, context)
        alone, weights[name] = (load_file(Folders(tmp_path / way).weights(name)) for way in ("alone", "together"))
        for key, value in alone.items():
            torch.testing.assert_close(weights[name][key], value, rtol=2e-3, atol=2e-4)
    assert not torch.allclose(weights["b"]["1.weight"], weights["c"]["1.weight"], rtol=1e-4)


class Interrupted(Exception):
    """The connection broke."""


def test_an_interruption_changes_no_digit(images: Images, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task({"a": _recipe("adamw"), "b": _recipe("sgd")})
    train_cohort(task, images, tmp_path / "whole", lambda event: None)
    events: list[Event] = []

    def receive(event: Event) -> None:
        events.append(event)
        raise Interrupted

    with pytest.raises(Interrupted):
        train_cohort(task, images, tmp_path / "parts", receive)
    train_cohort(task, images, tmp_path / "parts", lambda event: None)
    for name in "ab":
        one, other = (Folders(tmp_path / folder).weights(name).read_bytes() for folder in ("whole", "parts"))
        assert one == other


def test_groups() -> None:
    flat, matrix = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, 3))
    recipe = _recipe("adamw")
    groups = make_optimizer(
        recipe.optimizer, {1.0: [flat, matrix], 0.5: [flat[:1].detach().requires_grad_()]}
    ).param_groups  # type: ignore[list-item]  # a tensor will do
    assert [(group["weight_decay"], group["lr"], len(group["params"])) for group in groups] == [
        (0.3, 0.004, 1),
        (0.0, 0.004, 1),
        (0.0, 0.002, 1),
    ]
    plain = recipe.optimizer.model_copy(update={"decay_norms_and_biases": True})
    assert len(make_optimizer(plain, {1.0: [flat, matrix]}).param_groups) == 1
    assert "decay_norms_and_biases" not in plain.model_dump()
    assert recipe.optimizer.model_dump()["decay_norms_and_biases"] is False
