"""Muon against torch's, which computes in bfloat16 and takes matrices only, and AdamW for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bakeoff.catalog.optimizers import Muon as MuonSettings
from bakeoff.engine.optim.make_optimizer import make_optimizer
from bakeoff.engine.optim.muon import orthogonalize


def _train(optimizers: list[torch.optim.Optimizer], parameters: list[nn.Parameter], steps: int = 6) -> None:
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()


def _make_parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((6, 4), (5, 9), (5,), (3, 5))]


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_it_is_torchs_and_adamw(adjust: str, nesterov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = MuonSettings(learning_rate=0.02, adjust=adjust, nesterov=nesterov, adamw_rate=0.5)  # type: ignore[arg-type]
    ours, theirs = _make_parameters(), _make_parameters()
    _train([make_optimizer(choice, {1.0: ours}, head=ours[3:])], ours)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    muon = torch.optim.Muon(theirs[:2], lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn=adjust)
    _train([muon, torch.optim.AdamW(theirs[2:], lr=0.01, weight_decay=0.1)], theirs)
    for mine, other, start in zip(ours, theirs, _make_parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(mine, start, rtol=1e-3)


def test_filters_count_as_matrices_of_a_row_each() -> None:
    filters = nn.Parameter(torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1)))
    matrix = nn.Parameter(filters.detach().flatten(1).clone())
    generator = torch.Generator().manual_seed(2)
    for parameter in (filters, matrix):
        generator.manual_seed(2)
        optimizer = make_optimizer(MuonSettings(), {1.0: [parameter]})
        for _ in range(3):
            parameter.grad = torch.randn(4, 18, generator=generator).view(parameter.shape)
            optimizer.step()
    assert torch.equal(filters.flatten(1), matrix)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape, generator=torch.Generator().manual_seed(3))))
    assert values.min() > 0.5
    assert values.max() < 1.3
