"""Schedule-free optimizers by their equations, and what trials that use them evaluate and keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bakeoff.catalog.networks.named import MLP
from bakeoff.catalog.optimizers import AdamWScheduleFree, Muon, SGDScheduleFree
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.optim.make_optimizer import make_optimizer, set_share
from bakeoff.engine.optim.schedule_free import ScheduleFree
from bakeoff.messages import CohortTask
from bakeoff.stats.metrics import score_by
from bakeoff.workspace import Folders, load_predictions


@pytest.mark.parametrize("adaptive", [False, True])
def test_it_follows_the_paper(adaptive: bool) -> None:
    """Of x, y, z as in the paper, kept as three sequences; the learning rate warms up."""
    rate, beta, beta2, decay, eps = 0.05, 0.8, 0.95, 0.1, 1e-6
    choice: Any = SGDScheduleFree(learning_rate=rate, beta=beta, weight_decay=decay)
    if adaptive:
        choice = AdamWScheduleFree(learning_rate=rate, beta=beta, beta2=beta2, epsilon=eps, weight_decay=decay)
    parameter = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
    optimizer = make_optimizer(choice, {1.0: [parameter]})
    assert isinstance(optimizer, ScheduleFree)
    z = x = parameter.detach().numpy().copy()
    squares, weights = np.zeros(5), 0.0
    rng = np.random.default_rng(1)
    for number in range(1, 8):
        share, gradient = min(1.0, number / 3), rng.normal(size=5)
        y = (1 - beta) * z + beta * x
        np.testing.assert_allclose(parameter.detach().numpy(), y, rtol=1e-10)
        squares = beta2 * squares + (1 - beta2) * gradient**2
        scaled = gradient / (np.sqrt(squares / (1 - beta2**number)) + eps) if adaptive else gradient
        z = z - rate * share * (scaled + decay * y)
        weights += (rate * share) ** 2
        newest = (rate * share) ** 2 / weights
        x = (1 - newest) * x + newest * z
        set_share(optimizer, share)
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        np.testing.assert_allclose(optimizer.average_weights({"a": parameter})["a"].numpy(), x, rtol=1e-10)


RECIPES = {
    "sgd": Recipe(network=MLP(units=(8,)), optimizer=SGDScheduleFree(learning_rate=0.5), epochs=3),
    "adamw": Recipe(network=MLP(units=(8,)), optimizer=AdamWScheduleFree(learning_rate=0.01), epochs=3),
    "muon": Recipe(network=MLP(units=(8,)), optimizer=Muon(learning_rate=0.01), epochs=3),
    "adam": Recipe(network=MLP(units=(8,)), epochs=3),
}


def _read(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(Folders(folder).weights(name))


def test_members_train_together_as_alone(train: Any, tmp_path: Path) -> None:
    rows = train(RECIPES, folder="together")
    for name, recipe in RECIPES.items():
        alone = train({name: recipe}, folder=f"alone-{name}", cohort_id=name)
        assert alone[name]["metrics"]["validation"] == pytest.approx(rows[name]["metrics"]["validation"], abs=1e-4)
        for key, value in _read(tmp_path / f"alone-{name}", name).items():
            torch.testing.assert_close(_read(tmp_path / "together", name)[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_events", [2, 4, 9, 12])
def test_an_interruption_changes_no_digit(
    num_events: int, images: Images, make_task: Callable[..., CohortTask], interrupt: Any, tmp_path: Path
) -> None:
    task = make_task(RECIPES)
    train_cohort(task, images, tmp_path / "whole", lambda event: None)
    interrupt(task, images, tmp_path / "parts", num_events)
    train_cohort(task, images, tmp_path / "parts", lambda event: None)
    for name in RECIPES:
        one, other = (Folders(tmp_path / folder).weights(name).read_bytes() for folder in ("whole", "parts"))
        assert one == other, name


def test_the_average_is_validated_and_stored(train: Any, tmp_path: Path) -> None:
    rows = train({"sgd": RECIPES["sgd"]})
    found = load_predictions(Folders(tmp_path / "workspace").predictions("sgd", "validation"))
    scored = score_by("loss", found["probabilities"], found["labels"])
    assert rows["sgd"]["metrics"]["validation"]["loss"] == pytest.approx(scored)
    assert rows["sgd", 3]["validation"]["loss"] == pytest.approx(scored, rel=1e-5)


def test_a_second_average_is_refused() -> None:
    with pytest.raises(ValueError, match="averages the weights itself"):
        Recipe.model_validate({"network": "mlp", "optimizer": "sgd_schedule_free", "averaging": "ema"})
