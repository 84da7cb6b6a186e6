"""Members computed one after another: the same numbers as together, to rounding, random ones included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, Pool, Residual, Whiten
from bakeoff.engine.fused import build
from bakeoff.engine.fused.build import FusedNetwork, count_layers_in_turn, initialize
from bakeoff.engine.fused.flow import Flow

SHAPE = (8, 8, 2)
HEAD = Dense(units=4)


def list_layers(rate: float) -> tuple[AnyLayer, ...]:
    inner = (Conv(filters=6, kernel=3, padding="same", bias=False), BatchNorm(activation="relu"), Dropout(rate=rate))
    return (
        Whiten(kernel=2, activation="relu"),
        Dropout(rate=rate),
        Conv(filters=6, kernel=3, padding="same", activation="relu"),
        Pool(),
        Residual(layers=inner),
        Dense(units=9, activation="tanh"),
        Dropout(rate=rate),
        HEAD,
    )


def run(rates: list[float], images: Tensor, in_turn: bool, dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    """Return logits in training, all gradients, and the running averages afterwards."""
    states = [initialize(list_layers(0.5), SHAPE, InitializerChoice(), seed) for seed in range(len(rates))]
    network = FusedNetwork([list_layers(rate) for rate in rates], states, dtype, in_turn=in_turn, **settings)
    logits_KNL = network(images.to(dtype), network.cast(), torch.Generator().manual_seed(3))
    F.cross_entropy(logits_KNL.flatten(0, 1), torch.arange(logits_KNL.shape[:2].numel()) % 4).backward()
    gradients = {name: stack.grad for name, stack in network.stacked.items() if stack.grad is not None}
    return logits_KNL.detach(), gradients, network.stacked_buffers


@pytest.mark.parametrize("rates", [[0.5, 0.5, 0.5], [0.2, 0.0, 0.7], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("sources", [0, 3])
def test_dropout_and_everything_else_is_as_together(rates: list[float], sources: int) -> None:
    shape = (sources, 5, 2, 8, 8) if sources else (5, 2, 8, 8)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    for frozen in (0, 3):
        found, expected = (run(rates, images, in_turn, frozen_layers=frozen) for in_turn in (True, False))
        torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)  # logits reach 3.6
        for one, other in zip(found[1:], expected[1:], strict=True):
            assert one.keys() == other.keys()
            for name in one:
                torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6)


def test_bfloat16_agrees_within_its_precision() -> None:
    images = torch.rand((5, 2, 8, 8), generator=torch.Generator().manual_seed(1))
    found, expected = (run([0.3, 0.3], images, in_turn, torch.bfloat16) for in_turn in (True, False))
    torch.testing.assert_close(found[0], expected[0], rtol=0.05, atol=0.03)


def test_the_convolutions_are_really_computed_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[tuple[int, bool]] = []
    real = Flow.convolve

    def convolve(flow: Flow, *arguments: Any) -> None:
        groups.append((flow.num_members, flow.value.dim() == 4))
        real(flow, *arguments)

    monkeypatch.setattr(build.Flow, "convolve", convolve)
    run([0.5, 0.5], torch.rand(5, 2, 8, 8), in_turn=True)
    assert groups == [(1, True)] * 6


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        ((Dense(units=3), HEAD), 0),
        ((Pool(), HEAD), 0),
        ((Conv(filters=3, kernel=3), Pool(), Dense(units=3), HEAD), 2),
        (list_layers(0.5), 5),
    ],
)
def test_only_what_precedes_the_dense_layers_is_worth_it(layers: tuple[AnyLayer, ...], count: int) -> None:
    assert count_layers_in_turn(layers) == count
