from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bakeoff.catalog.averaging import (
    AVERAGINGS,
    EMA,
    SWA,
    AnyAveraging,
    AveragingChoice,
    AveragingRecord,
)
from bakeoff.engine.averaging import Average

CHOICE: TypeAdapter[object] = TypeAdapter(AveragingChoice)
EXAMPLES: dict[str, AnyAveraging] = {"ema": EMA(decay=0.9), "swa": SWA(from_epoch=2)}


def _states(count: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {"0.weight": torch.randn(3, 2, generator=generator), "1.mean": torch.randn(3, generator=generator)}
        for _ in range(count)
    ]


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _wander(model: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator))
            else:
                tensor.add_(1)


@pytest.mark.parametrize("record", AVERAGINGS, ids=AVERAGINGS.names)
def test_registry_has_a_line_and_a_source(record: AveragingRecord) -> None:
    assert type(EXAMPLES[record.name]) is record.settings
    assert record.summary
    assert "\n" not in record.summary
    assert record.source


@pytest.mark.parametrize("name", AVERAGINGS.names)
def test_follows_torch(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    model = _model()
    # With buffers averaged, torch copies only what is not floating, as we do.
    function = get_ema_multi_avg_fn(0.9) if name == "ema" else None
    theirs = AveragedModel(model, multi_avg_fn=function, use_buffers=True)
    ours = Average(EMA(decay=0.9, warm_up=False) if name == "ema" else SWA(from_epoch=1))
    for _ in range(6):
        _wander(model, generator)
        theirs.update_parameters(model)
        ours.update({key: tensor for key, tensor in model.state_dict().items() if tensor.is_floating_point()})
    assert ours.state is not None
    expected = theirs.module.state_dict()
    for key, tensor in ours.state.items():
        torch.testing.assert_close(tensor, expected[key])


def test_swa_is_the_plain_mean() -> None:
    states = _states(5)
    average = Average(SWA(from_epoch=1))
    for state in states:
        average.update(state)
    assert average.state is not None
    for name in states[0]:
        torch.testing.assert_close(average.state[name], torch.stack([state[name] for state in states]).mean(0))


def test_ema_with_warm_up_worked_by_hand() -> None:
    average = Average(EMA(decay=0.3))
    expected = np.nan
    for number, value in enumerate([1.0, 5.0, -2.0, 4.0], start=1):
        average.update({"w": torch.tensor([value])})
        decay = min(0.3, (1 + number) / (10 + number)) if number > 1 else 0.0
        expected = value if number == 1 else decay * expected + (1 - decay) * value
        assert average.state is not None
        assert average.state["w"].item() == pytest.approx(expected)
    assert average.num_updates == 4


def test_ema_forgets_where_training_began() -> None:
    short, slow = Average(EMA(decay=0.999)), Average(EMA(decay=0.999, warm_up=False))
    for number in range(200):
        for average in (short, slow):
            average.update({"w": torch.tensor([0.0 if number == 0 else 1.0])})
    assert short.state is not None
    assert slow.state is not None
    assert short.state["w"].item() > 0.999
    assert slow.state["w"].item() < 0.2


def test_ema_renews_after_steps_and_swa_after_epochs() -> None:
    state = _states(1)[0]
    ema, swa = Average(EMA()), Average(SWA(from_epoch=3))
    for epoch in (1, 2, 3, 4):
        for average in (ema, swa):
            average.after_step(state)
            average.after_step(state)
            average.after_epoch(state, epoch)
        assert ema.num_updates == 2 * epoch
        assert swa.num_updates == max(0, epoch - 2)
        assert (swa.state is None) == (epoch < 3)


def test_whole_numbers_are_copied() -> None:
    average = Average(EMA(decay=0.9))
    for count in (1, 2, 7):
        average.update({"num_batches_tracked": torch.tensor(count)})
    assert average.state is not None
    assert average.state["num_batches_tracked"].item() == 7


def test_the_average_is_its_own() -> None:
    parameter = nn.Parameter(torch.ones(2))
    average = Average(SWA(from_epoch=1))
    average.update({"w": parameter})
    with torch.no_grad():
        parameter.fill_(9.0)
    assert average.state is not None
    assert average.state["w"].tolist() == [1.0, 1.0]
    assert not average.state["w"].requires_grad
    average.update({"w": parameter})
    assert parameter.tolist() == [9.0, 9.0]
    assert average.state["w"].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("choice", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.parametrize("cut", [0, 1, 4])
def test_goes_on_where_it_was_packed(choice: AnyAveraging, cut: int) -> None:
    states = _states(6)
    whole, average = Average(choice), Average(choice)
    for state in states:
        whole.update(state)
    for state in states[:cut]:
        average.update(state)
    packed = average.pack()
    resumed = Average.unpack(choice, packed)
    for state in states[cut:]:
        resumed.update(state)
    assert whole.state is not None
    assert resumed.state is not None
    assert all(torch.equal(resumed.state[name], whole.state[name]) for name in whole.state)
    assert resumed.num_updates == 6
    if cut:
        assert not torch.equal(packed["state"]["0.weight"], resumed.state["0.weight"]), "the packed one stays"


def test_an_average_that_never_begins_is_named() -> None:
    assert EMA().find_conflict(1) is None
    assert SWA(from_epoch=5).find_conflict(5) is None
    message = SWA(from_epoch=6).find_conflict(5)
    assert message == "from_epoch 6 is after the last of 5 epochs: start earlier, or train longer"


def test_bare_name() -> None:
    assert CHOICE.validate_python("ema") == EMA()
    with pytest.raises(ValidationError, match=r"unknown averaging 'emma'\. Allowed: ema, swa\. .* 'ema'"):
        CHOICE.validate_python("emma")


@pytest.mark.parametrize(
    "settings",
    [
        {"decay": 0.9},
        "swa",
        {"name": "swa", "from_epoch": 0},
        {"name": "swa", "from_epoch": 1.0},
        {"name": "ema", "decay": 1.0},
        {"name": "ema", "decay": -0.1},
        {"name": "ema", "warm_up": 1},
        {"name": "ema", "from_epoch": 1},
    ],
)
def test_wrong_settings_are_refused(settings: object) -> None:
    with pytest.raises(ValidationError):
        CHOICE.validate_python(settings)
