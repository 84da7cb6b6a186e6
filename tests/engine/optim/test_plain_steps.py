"""Training does without torch's compiler, and its numbers are those of torch's own steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.recipe import Recipe
from bakeoff.engine.optim.make_optimizer import make_optimizer
from bakeoff.engine.optim.plain_steps import take_step

NETWORK = {"name": "mlp", "units": [4]}


def test_no_optimizer_loads_the_compiler(
    train: Callable[..., dict[Any, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it fails
    recipes = {
        record.name.replace("_", " "): Recipe.model_validate(
            {"network": NETWORK, "optimizer": {"name": record.name}, "epochs": 1}
        )
        for record in OPTIMIZERS
        if not record.needs
    }
    rows = train(recipes)
    assert not any("reason" in row for row in rows.values())


def test_steps_are_torchs_to_the_last_digit() -> None:
    for record in OPTIMIZERS:
        generator = torch.Generator().manual_seed(2)
        plain, wrapped = (nn.Parameter(torch.linspace(-1, 1, 8)) for _ in range(2))
        optimizers = [make_optimizer(record.settings(), {1.0: [each]}) for each in (plain, wrapped)]
        for _ in range(3):
            plain.grad = torch.randn(8, generator=generator)
            wrapped.grad = plain.grad.clone()
            take_step(optimizers[0])
            optimizers[1].step()
        assert torch.equal(plain, wrapped), record.name
