"""Learning rate schedules. Records without torch.

A schedule is a pure function of the progress of training, so a resumed run gives the same results; only the plateau has
a state, because it depends on the validation split. To add one: a settings class and an entry in SCHEDULES.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from bakeoff.catalog.choices import Record, RegistryEntry, choose_from
from bakeoff.catalog.fields import Amount, Inside, NumEpochs, Part
from bakeoff.catalog.metric import Metric, check_difference, improvement
from bakeoff.registry import Registry

WARM_UP_START = 0.001
"""Factor on the learning rate at the start of a warm-up: with 0 the first step would have no effect."""

_WARM_UP = "Epochs of linear warm-up from nearly 0; fractions are allowed."


@dataclass(frozen=True)
class Progress:
    """The progress of training before a step.

    Attributes:
        epochs: finished epochs, by images: 0.5 is the middle of the first, also with accumulated batches.
        steps: finished steps.
        steps_per_epoch: steps per epoch; the last one may have fewer images.
    """

    epochs: float
    steps: int
    steps_per_epoch: int


class ScheduleSettings(Record):
    """The settings of a schedule, and the schedule itself."""

    name: str

    @property
    def per_step(self) -> bool:
        """Whether the factor changes within an epoch; if so, it is computed before every step."""
        return True

    def share(self, progress: Progress, num_epochs: int) -> float:
        """Return the factor on the optimizer's learning rate, a pure function of the progress of training.

        Args:
            progress: the progress of training before the step.
            num_epochs: epochs that the recipe allows, even if early stopping ends training sooner.

        Returns:
            A factor from 0 to 1.
        """
        raise NotImplementedError  # abstract


class _WarmedUp(ScheduleSettings):
    """A schedule that may begin with a warm-up.

    Attributes:
        smooth: whether the factor changes within an epoch even without a warm-up.
    """

    smooth: ClassVar[bool] = False

    warm_up: Amount = Field(default=0.0, description=_WARM_UP)

    @property
    def per_step(self) -> bool:
        """Whether the factor changes within an epoch; if so, it is computed before every step."""
        return self.smooth or self.warm_up > 0

    def share(self, progress: Progress, num_epochs: int) -> float:
        """Return the factor on the optimizer's learning rate: first the warm-up, then `_share_after`."""
        if progress.epochs < self.warm_up:
            return WARM_UP_START + (1 - WARM_UP_START) * progress.epochs / self.warm_up
        return self._share_after(progress.epochs, num_epochs)

    def _share_after(self, progress_epochs: float, num_epochs: int) -> float:
        """Return the factor after the warm-up."""
        return 1.0


class Constant(_WarmedUp):
    """A constant learning rate."""

    name: Literal["constant"] = "constant"


class Step(_WarmedUp):
    """Step decay: the learning rate drops by a factor every few epochs, counted from the start of training."""

    name: Literal["step"] = "step"
    every: NumEpochs | None = Field(
        default=None, description="Epochs between two drops; null: a third of all epochs, rounded up."
    )
    factor: Inside = Field(
        default=0.1, description="Factor by which the learning rate is multiplied at each drop, above 0 and below 1."
    )

    def _share_after(self, progress_epochs: float, num_epochs: int) -> float:
        every = self.every or math.ceil(num_epochs / 3)
        return float(self.factor ** math.floor(progress_epochs / every))


class Cosine(_WarmedUp):
    """Cosine annealing from the end of the warm-up to the end of training, without restarts."""

    smooth: ClassVar[bool] = True

    name: Literal["cosine"] = "cosine"
    minimum: Part = Field(default=0.0, description="Lowest learning rate, as a fraction of the optimizer's.")

    def _share_after(self, progress_epochs: float, num_epochs: int) -> float:
        done = _proportion(progress_epochs - self.warm_up, num_epochs - self.warm_up)
        return _interpolate_cosine(1.0, self.minimum, done)


class OneCycle(ScheduleSettings):
    """One cycle: the learning rate rises to its peak and falls again, each along half a cosine. Momentum is constant.

    Equal to `torch.optim.lr_scheduler.OneCycleLR` with `cycle_momentum=False`: the first step has the initial rate, the
    last one the final rate.
    """

    name: Literal["one_cycle"] = "one_cycle"
    peak_at: Inside = Field(default=0.3, description="Fraction of training at which the learning rate peaks.")
    start: Part = Field(default=0.04, description="Learning rate at the start, as a fraction of the optimizer's.")
    end: Part = Field(default=4e-6, description="Learning rate at the end, as a fraction of the optimizer's.")

    def share(self, progress: Progress, num_epochs: int) -> float:
        """Return the factor on the optimizer's learning rate: 1 at the peak."""
        last = num_epochs * progress.steps_per_epoch - 1
        peak = self.peak_at * (last + 1) - 1
        if progress.steps <= peak:
            return _interpolate_cosine(self.start, 1.0, _proportion(progress.steps, peak))
        return _interpolate_cosine(1.0, self.end, _proportion(progress.steps - peak, last - peak))


class Triangle(ScheduleSettings):
    """The learning rate rises linearly to its peak and falls linearly again."""

    name: Literal["triangle"] = "triangle"
    peak_at: Inside = Field(default=0.23, description="Fraction of training at which the learning rate peaks.")
    start: Part = Field(default=0.2, description="Learning rate at the start, as a fraction of the optimizer's.")
    end: Part = Field(default=0.07, description="Learning rate at the end, as a fraction of the optimizer's.")

    def share(self, progress: Progress, num_epochs: int) -> float:
        """Return the factor on the optimizer's learning rate: 1 at the peak."""
        done = _proportion(progress.epochs, num_epochs)
        if done < self.peak_at:
            return self.start + (1 - self.start) * done / self.peak_at
        return 1 + (self.end - 1) * (done - self.peak_at) / (1 - self.peak_at)


class Plateau(_WarmedUp):
    """The learning rate drops when validation stops improving.

    `share` is only the warm-up; the rest is in PlateauState.
    """

    name: Literal["plateau"] = "plateau"
    monitor: Metric = Field(default="loss", description="Validation metric to monitor.")
    factor: Inside = Field(
        default=0.1, description="Factor by which the learning rate is multiplied at each drop, above 0 and below 1."
    )
    patience: NumEpochs = Field(
        default=3, description="Epochs without improvement after which the learning rate drops."
    )
    min_delta: Amount = Field(
        default=0.0, description="Smallest change that counts as an improvement, in the metric's unit."
    )
    minimum: Part = Field(default=0.0, description="Lowest learning rate, as a fraction of the optimizer's.")

    @field_validator("min_delta")
    @classmethod
    def _check_min_delta(cls, min_delta: float, info: ValidationInfo) -> float:
        return check_difference(min_delta, info.data, "monitor")


@dataclass
class PlateauState:
    """Monitors a trial's validation metric, like Keras's ReduceLROnPlateau.

    torch's drops after more than `patience` epochs without improvement, ours after `patience` epochs, as in early
    stopping.

    Attributes:
        rule: the settings.
        best: the best value so far; NaN before the first.
        waited: epochs since the last improvement or drop.
        share: the factor on the learning rate, in addition to the schedule's own.
    """

    rule: Plateau
    best: float = float("nan")
    waited: int = 0
    share: float = 1.0

    def observe(self, validation: Mapping[str, float]) -> None:
        """Record the metrics after an epoch."""
        value = validation[self.rule.monitor]
        if math.isnan(self.best) or improvement(self.rule.monitor, value, self.best) > self.rule.min_delta:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.rule.patience:
            self.share, self.waited = max(self.share * self.rule.factor, self.rule.minimum), 0

    def pack(self) -> dict[str, float]:
        """Return the state as plain values; `PlateauState(rule, **packed)` restores it."""
        return {"best": self.best, "waited": self.waited, "share": self.share}


def _proportion(part: float, whole: float) -> float:
    """Return part / whole, from 0 to 1; 1 if the whole is 0."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 1.0


def _interpolate_cosine(first: float, last: float, done: float) -> float:
    """Interpolate between `first` and `last` along half a cosine; `done` is the position, 0 to 1."""
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


AnySchedule: TypeAlias = ScheduleSettings
"""The settings of any registered schedule."""


@dataclass(frozen=True)
class ScheduleRecord(RegistryEntry[ScheduleSettings]):
    """One schedule that a study can name; it is implemented by its settings' `share`."""


_OURS: tuple[ScheduleRecord, ...] = (
    ScheduleRecord(
        "constant",
        "the learning rate stays constant, optionally after a warm-up",
        "Robbins and Monro (1951); Goyal et al. (2017), Accurate, large minibatch SGD, section 2.2 for the warm-up",
        Constant,
    ),
    ScheduleRecord(
        "step",
        "the rate drops by a factor every few epochs",
        "He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, section 3.4",
        Step,
    ),
    ScheduleRecord(
        "cosine",
        "the rate falls along half a cosine until the last epoch",
        "Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts; here without restarts",
        Cosine,
    ),
    ScheduleRecord(
        "one_cycle",
        "the rate rises once and falls once, to nearly 0",
        "Smith and Topin (2018), Super-convergence; cosine-shaped as in torch, momentum left alone",
        OneCycle,
    ),
    ScheduleRecord(
        "triangle",
        "the rate rises once and falls once, along straight lines",
        "Smith (2017), Cyclical learning rates; one cycle, with the defaults of Jordan (2024), 94% on CIFAR-10",
        Triangle,
    ),
    ScheduleRecord(
        "plateau",
        "the rate drops when validation stops improving",
        "keras.callbacks.ReduceLROnPlateau",
        Plateau,
    ),
)

SCHEDULES: Registry[ScheduleRecord] = Registry("schedule", _OURS, "bakeoff.schedules")

ScheduleChoice: TypeAlias = Annotated[AnySchedule, choose_from(SCHEDULES)]
"""A schedule in a recipe: a bare name, a mapping of a name and settings, or one of the records."""


def start_state(schedule: AnySchedule) -> PlateauState | None:
    """Return a schedule's state at the start of training; None for schedules without one."""
    return PlateauState(schedule) if isinstance(schedule, Plateau) else None


def find_conflict(schedule: AnySchedule, num_epochs: int) -> str | None:
    """Return in one line why this schedule does not fit the number of epochs, or None."""
    warm_up = getattr(schedule, "warm_up", 0.0)
    if warm_up < num_epochs:
        return None
    return f"a warm_up of {warm_up:g} epochs does not end within {num_epochs} epochs: make it shorter, or train longer"
