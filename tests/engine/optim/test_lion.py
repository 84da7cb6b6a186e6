from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.engine.optim.lion import Lion


def _gradients(count: int, *shape: int) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(4))


def _train(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, gradients: torch.Tensor) -> None:
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()


def test_follows_the_paper() -> None:
    rate, beta1, beta2, decay = 0.01, 0.8, 0.95, 0.1
    parameter = nn.Parameter(torch.ones(5))
    gradients = _gradients(7, 5)
    _train(Lion([parameter], lr=rate, betas=(beta1, beta2), weight_decay=decay), parameter, gradients)
    weights, mean = np.ones(5), np.zeros(5)
    for gradient in gradients.double().numpy():
        weights = weights - rate * (np.sign(beta1 * mean + (1 - beta1) * gradient) + decay * weights)
        mean = beta2 * mean + (1 - beta2) * gradient
    assert parameter.detach().numpy() == pytest.approx(weights, rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_follows_timms(decay: float) -> None:
    modules = pytest.importorskip("bakeoff.engine.fused.vision")
    modules.import_torchvision()
    timm_lion = pytest.importorskip("timm.optim.lion")
    ours, theirs = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3, 4))
    gradients = _gradients(10, 3, 4)
    settings = {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": decay}
    _train(Lion([ours], **settings), ours, gradients)
    _train(timm_lion.Lion([theirs], **settings), theirs, gradients)
    torch.testing.assert_close(ours, theirs)


def test_goes_on_from_its_state() -> None:
    gradients = _gradients(6, 4)
    whole, cut = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
    _train(Lion([whole], lr=0.1), whole, gradients)
    first = Lion([cut], lr=0.1)
    _train(first, cut, gradients[:3])
    second = Lion([cut], lr=0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _train(second, cut, gradients[3:])
    assert torch.equal(whole, cut)


def test_no_gradient_no_step() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Lion([parameter], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]
    assert not optimizer.state


def test_closure() -> None:
    parameter = nn.Parameter(torch.tensor([2.0]))
    optimizer = Lion([parameter], lr=0.5)

    def evaluate() -> float:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(evaluate) == 4.0
    assert parameter.item() == 1.5
