from __future__ import annotations

import pytest
import torch
from torch import nn

from bakeoff.catalog.optimizers import OPTIMIZERS, SGD, OptimizerRecord
from bakeoff.engine.optim.lion import Lion
from bakeoff.engine.optim.make_optimizer import find_class, make_optimizer, set_share
from bakeoff.testing import check_optimizer

EACH = pytest.mark.parametrize("record", OPTIMIZERS, ids=OPTIMIZERS.names)


def _parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(2)
    return [nn.Parameter(torch.randn(4, 3, generator=generator)), nn.Parameter(torch.randn(4, generator=generator))]


def _train(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], first: int, last: int) -> None:
    for number in range(first, last):
        generator = torch.Generator().manual_seed(number)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@EACH
def test_moves_as_the_plain_optimizer(record: OptimizerRecord) -> None:
    choice = record.settings()
    ours, plain = _parameters(), _parameters()
    _train(make_optimizer(choice, {1.0: ours}), ours, 0, 8)
    _train(find_class(record.settings())(plain, **choice.arguments()), plain, 0, 8)
    for mine, other, start in zip(ours, plain, _parameters(), strict=True):
        torch.testing.assert_close(mine, other)
        assert not torch.equal(mine, start)


@EACH
def test_every_optimizer_keeps_its_contract(record: OptimizerRecord) -> None:
    check_optimizer(record)


@EACH
def test_the_fused_form_is_taken_where_there_is_one(record: OptimizerRecord) -> None:
    optimizer = make_optimizer(record.settings(), {1.0: _parameters()})
    assert bool(optimizer.defaults.get("fused")) == (record.fused != "never")
    assert (record.fused != "never") == (record.name in ("sgd", "adam", "adamw", "adagrad"))


def test_shares_do_not_add_up() -> None:
    optimizer = make_optimizer(SGD(learning_rate=0.5), {1.0: _parameters()})
    for share in (0.1, 0.1, 1.0):
        set_share(optimizer, share)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_groups_keep_their_factor() -> None:
    head, body = _parameters()
    optimizer = make_optimizer(SGD(learning_rate=1.0), {1.0: [head], 0.1: [body]})
    set_share(optimizer, 0.5)
    before = head.detach().clone(), body.detach().clone()
    head.grad, body.grad = torch.ones_like(head), torch.ones_like(body)
    optimizer.step()
    torch.testing.assert_close(before[0] - head, torch.full_like(head, 0.5))
    torch.testing.assert_close(before[1] - body, torch.full_like(body, 0.05))


def test_lion_is_ours() -> None:
    assert find_class(OPTIMIZERS.find("lion").settings()) is Lion
    assert find_class(SGD()) is torch.optim.SGD
