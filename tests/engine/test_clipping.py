from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from bakeoff.catalog.clipping import Clip
from bakeoff.engine.clipping import clip


def _parameters() -> list[nn.Parameter]:
    """Return parameters whose whole gradient is (3, 4, 0, -12), of length 13; one has none."""
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, 1)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.tensor([3.0, 4.0])
    parameters[1].grad = torch.tensor([[0.0], [-12.0]])
    return parameters


def _gradient(parameters: list[nn.Parameter]) -> list[float]:
    return [number for p in parameters if p.grad is not None for number in p.grad.flatten().tolist()]


def test_a_long_gradient_is_scaled_down() -> None:
    parameters = _parameters()
    clip(parameters, Clip(norm=6.5))
    assert _gradient(parameters) == pytest.approx([1.5, 2.0, 0.0, -6.0], rel=1e-5)
    assert math.hypot(*_gradient(parameters)) <= 6.5


def test_a_short_gradient_stays_as_it_is() -> None:
    parameters = _parameters()
    clip(parameters, Clip(norm=13.5))
    assert _gradient(parameters) == [3.0, 4.0, 0.0, -12.0]


def test_values_are_cut() -> None:
    parameters = _parameters()
    clip(parameters, Clip(value=3.5))
    assert _gradient(parameters) == [3.0, 3.5, 0.0, -3.5]


def test_gradients_that_are_views_are_clipped_where_they_lie() -> None:
    stacked = torch.tensor([[3.0, 4.0], [30.0, 40.0]])
    members = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    for member, gradient in zip(members, stacked, strict=True):
        member.grad = gradient
    clip([members[1]], Clip(norm=5.0))
    torch.testing.assert_close(stacked, torch.tensor([[3.0, 4.0], [3.0, 4.0]]))


def test_what_is_not_finite_stays_so() -> None:
    parameters = _parameters()
    assert parameters[0].grad is not None
    parameters[0].grad[0] = float("nan")
    clip(parameters, Clip(norm=1.0))
    assert math.isnan(_gradient(parameters)[0])


@pytest.mark.parametrize(
    "settings", [{}, {"norm": 1.0, "value": 1.0}, {"norm": 0}, {"value": -1.0}, {"norm": float("inf")}, {"size": 1.0}]
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Clip.model_validate(settings)
