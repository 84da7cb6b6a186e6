from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler

from bakeoff.catalog.schedules import (
    SCHEDULES,
    WARM_UP_START,
    AnySchedule,
    Constant,
    Cosine,
    OneCycle,
    Plateau,
    PlateauState,
    Progress,
    ScheduleChoice,
    ScheduleRecord,
    Step,
    Triangle,
    find_conflict,
    start_state,
)
from bakeoff.testing import check_schedule

CHOICE: TypeAdapter[object] = TypeAdapter(ScheduleChoice)
ONE_RISE = ("one_cycle", "triangle")
"""They rise by themselves and have no warm-up."""


def _optimizer(rate: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=rate)


def _follow(scheduler: lr_scheduler.LRScheduler, num_steps: int) -> list[float]:
    """Return the rate that torch's scheduler sets before each step, from a rate of 1."""
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR itself calls step(epoch), which torch deprecates
        for _ in range(num_steps):
            rates.append(scheduler.optimizer.param_groups[0]["lr"])
            scheduler.optimizer.step()
            scheduler.step()
    return rates


def _at(epochs: float, steps_per_epoch: int = 1) -> Progress:
    return Progress(epochs, round(epochs * steps_per_epoch), steps_per_epoch)


def _shares(schedule: AnySchedule, num_epochs: int, steps_per_epoch: int = 1) -> list[float]:
    num_steps = num_epochs * steps_per_epoch
    return [schedule.share(_at(n / steps_per_epoch, steps_per_epoch), num_epochs) for n in range(num_steps)]


# The contract: every schedule, by itself.


@pytest.mark.parametrize("record", SCHEDULES, ids=SCHEDULES.names)
@pytest.mark.parametrize("num_epochs", [1, 2, 10, 37])
def test_shares_lie_from_0_to_1_and_move_at_the_first_step(record: ScheduleRecord, num_epochs: int) -> None:
    for settings in ({}, {"warm_up": 0.5}, {"warm_up": 3.0}):
        if "warm_up" in settings and record.name in ONE_RISE:
            continue
        schedule = record.settings.model_validate(settings)
        shares = _shares(schedule, num_epochs, 7)
        assert all(0 < share <= 1 for share in shares)
        assert shares == _shares(schedule, num_epochs, 7)
        assert 0 <= schedule.share(_at(num_epochs), num_epochs) <= 1


@pytest.mark.parametrize("record", SCHEDULES, ids=SCHEDULES.names)
def test_what_is_not_per_step_stays_within_an_epoch(record: ScheduleRecord) -> None:
    for settings in ({}, {"warm_up": 1.5}):
        if settings and record.name in ONE_RISE:
            continue
        schedule = record.settings.model_validate(settings)
        shares = np.array(_shares(schedule, 9, 5)).reshape(9, 5)
        assert (not np.all(shares == shares[:, :1])) == schedule.per_step


@pytest.mark.parametrize("record", SCHEDULES, ids=SCHEDULES.names)
def test_every_schedule_keeps_its_contract(record: ScheduleRecord) -> None:
    check_schedule(record)
    assert CHOICE.validate_python(record.name) == record.settings()


@pytest.mark.parametrize(
    "record", [record for record in SCHEDULES if record.name not in ONE_RISE], ids=lambda r: r.name
)
def test_warm_up_rises_in_a_line_and_then_leaves_the_schedule_alone(record: ScheduleRecord) -> None:
    schedule = record.settings.model_validate({"warm_up": 2})
    expected = _follow(lr_scheduler.LinearLR(_optimizer(), WARM_UP_START, total_iters=10), 10)
    assert [schedule.share(_at(number / 5, 5), 20) for number in range(10)] == pytest.approx(expected)
    assert schedule.share(_at(2.0), 20) == 1.0


# Each against torch's.


@pytest.mark.parametrize("num_epochs", [1, 10])
def test_triangle_is_two_straight_lines(num_epochs: int) -> None:
    schedule = Triangle(peak_at=0.25, start=0.2, end=0.1)
    corners = np.array([0.0, 0.25, 1.0]) * num_epochs
    for progress in np.linspace(0, num_epochs, 41):
        expected = np.interp(progress, corners, [0.2, 1.0, 0.1])
        assert schedule.share(_at(float(progress)), num_epochs) == pytest.approx(float(expected))


def test_constant() -> None:
    assert set(_shares(Constant(), 5, 3)) == {1.0}


@pytest.mark.parametrize(("every", "factor"), [(1, 0.5), (3, 0.1), (7, 0.9)])
def test_step_follows_torch(every: int, factor: float) -> None:
    expected = _follow(lr_scheduler.StepLR(_optimizer(), every, factor), 20)
    assert _shares(Step(every=every, factor=factor), 20) == pytest.approx(expected)


def test_step_falls_at_thirds_by_default() -> None:
    assert _shares(Step(), 9) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert _shares(Step(), 10) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert _shares(Step(), 1) == [1]


def test_step_counts_from_the_start_of_training() -> None:
    assert Step(every=4, warm_up=2.0).share(_at(4.0), 12) == pytest.approx(0.1)
    assert Step(every=4, warm_up=2.0).share(_at(3.99), 12) == 1.0


@pytest.mark.parametrize("minimum", [0.0, 0.2])
def test_cosine_follows_torch(minimum: float) -> None:
    steps = 4
    expected = _follow(lr_scheduler.CosineAnnealingLR(_optimizer(), 10 * steps, eta_min=minimum), 10 * steps)
    assert _shares(Cosine(minimum=minimum), 10, steps) == pytest.approx(expected)
    assert Cosine(minimum=minimum).share(_at(10.0), 10) == pytest.approx(minimum)


def test_cosine_with_warm_up_follows_torch() -> None:
    steps = 4
    optimizer = _optimizer()
    parts = [
        lr_scheduler.LinearLR(optimizer, WARM_UP_START, total_iters=3 * steps),
        lr_scheduler.CosineAnnealingLR(optimizer, 7 * steps),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = lr_scheduler.SequentialLR(optimizer, parts, [3 * steps])
    assert _shares(Cosine(warm_up=3.0), 10, steps) == pytest.approx(_follow(scheduler, 10 * steps))


@pytest.mark.parametrize(("peak_at", "start", "end"), [(0.3, 0.04, 4e-6), (0.5, 0.1, 0.001)])
@pytest.mark.parametrize(("num_epochs", "steps"), [(10, 6), (1, 3), (3, 1), (1, 1), (40, 7)])
def test_one_cycle_is_torchs_step_by_step(
    peak_at: float, start: float, end: float, num_epochs: int, steps: int
) -> None:
    scheduler = lr_scheduler.OneCycleLR(
        _optimizer(),
        max_lr=1.0,
        total_steps=num_epochs * steps,
        pct_start=peak_at,
        cycle_momentum=False,
        div_factor=1 / start,
        final_div_factor=start / end,
    )
    expected = [scheduler.optimizer.param_groups[0]["lr"]]
    for _ in range(num_epochs * steps - 1):
        scheduler.optimizer.step()
        scheduler.step()
        expected.append(scheduler.optimizer.param_groups[0]["lr"])
    found = _shares(OneCycle(peak_at=peak_at, start=start, end=end), num_epochs, steps)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[-1] == pytest.approx(end)


@pytest.mark.parametrize(
    "rule",
    [
        Plateau(patience=1, factor=0.5),
        Plateau(patience=2, factor=0.1, min_delta=0.05),
        Plateau(monitor="accuracy", patience=3, factor=0.5, minimum=0.2),
        Plateau(monitor="macro_f1", patience=2, factor=0.3, minimum=1e-3),
    ],
)
def test_plateau_follows_torch(rule: Plateau) -> None:
    optimizer = _optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="min" if rule.monitor == "loss" else "max",
        factor=rule.factor,
        patience=rule.patience - 1,  # torch waits one epoch more
        threshold=rule.min_delta,
        threshold_mode="abs",
        min_lr=rule.minimum,
        eps=0.0,
    )
    state = PlateauState(rule)
    shares, expected = [], []
    for value in np.random.default_rng(5).uniform(0.4, 0.6, 60).round(2):
        state.observe({"loss": value, "accuracy": value, "macro_f1": value})
        scheduler.step(value)
        shares.append(state.share)
        expected.append(optimizer.param_groups[0]["lr"])
    assert shares == pytest.approx(expected)
    assert len(set(shares)) > 2


def test_plateau_worked_by_hand() -> None:
    state = PlateauState(Plateau(patience=2, factor=0.5))
    shares = []
    for loss in [1.0, 0.9, 0.9, 0.95, 0.9, 0.9, 0.8, 0.8]:
        state.observe({"loss": loss})
        shares.append(state.share)
    assert shares == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_goes_on_where_it_was_packed() -> None:
    rule = Plateau(patience=2, factor=0.5)
    losses = [1.0, 0.9, 0.95, 0.9, 0.9, 0.8, 0.85, 0.85]
    whole = PlateauState(rule)
    for loss in losses:
        whole.observe({"loss": loss})
    for cut in range(len(losses)):
        state = PlateauState(rule)
        for loss in losses[:cut]:
            state.observe({"loss": loss})
        packed = state.pack()
        assert all(type(value) in (int, float) for value in packed.values())
        state = PlateauState(rule, **packed)
        for loss in losses[cut:]:
            state.observe({"loss": loss})
        assert state == whole


def test_only_the_plateau_has_a_state() -> None:
    rule = Plateau(patience=7)
    state = start_state(rule)
    assert state is not None
    assert state.rule == rule
    assert math.isnan(state.best)
    assert [record.name for record in SCHEDULES if start_state(record.settings()) is not None] == ["plateau"]


# What a study file may get wrong.


def test_a_warm_up_that_never_ends_is_named() -> None:
    assert find_conflict(Cosine(warm_up=2.5), 3) is None
    assert find_conflict(OneCycle(), 1) is None
    message = find_conflict(Constant(warm_up=3.0), 3)
    assert message == "a warm_up of 3 epochs does not end within 3 epochs: make it shorter, or train longer"
    assert Cosine(warm_up=3.0).share(_at(3.0), 3) == 0.0, "and yet divides by nothing"


def test_unknown_name_lists_names_and_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"unknown schedule 'cosin'\. Allowed: constant, .* mean 'cosine'"):
        CHOICE.validate_python("cosin")


@pytest.mark.parametrize(
    "settings",
    [
        {"minimum": 0.1},
        {"name": "constant", "factor": 0.1},
        {"name": "constant", "warm_up": -1},
        {"name": "constant", "warm_up": float("inf")},
        {"name": "step", "every": 0},
        {"name": "step", "every": 1.5},
        {"name": "step", "factor": 1.0},
        {"name": "step", "factor": 0.0},
        {"name": "cosine", "minimum": 1.1},
        {"name": "one_cycle", "peak_at": 0.0},
        {"name": "one_cycle", "peak_at": 1.0},
        {"name": "one_cycle", "warm_up": 1.0},
        {"name": "plateau", "monitor": "speed"},
        {"name": "plateau", "patience": 0},
        {"name": "plateau", "factor": 1.5},
        {"name": "plateau", "min_delta": float("nan")},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CHOICE.validate_python(settings)
