"""Weight averaging: the evaluated and stored network has averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import Record, RegistryEntry, choose_from
from bakeoff.catalog.fields import NumEpochs, Share, Switch
from bakeoff.registry import Registry


class AveragingSettings(Record):
    """The settings of an averaging method: which states of the weights are averaged, and their weights.

    Attributes:
        per_step: whether the state after every step is averaged, not only those after some epochs.
    """

    per_step: ClassVar[bool] = False

    name: str

    def takes_epoch(self, epoch: int) -> bool:
        """Return whether the state after `epoch` (from 1) is averaged."""
        return False

    def weigh(self, number: int) -> float:
        """Return the weight of the `number`-th state, from 2, relative to the average of those before."""
        raise NotImplementedError  # abstract

    def find_conflict(self, num_epochs: int) -> str | None:
        """Return in one line why this averaging does not fit the number of epochs, or None."""
        return None


class EMA(AveragingSettings):
    """An exponential moving average of the weights, updated after every step."""

    per_step: ClassVar[bool] = True

    name: Literal["ema"] = "ema"
    decay: Share = Field(default=0.999, description="Decay rate of the moving average, per step.")
    warm_up: Switch = Field(
        default=True,
        description="Whether to start with a lower decay, (1 + n) / (10 + n) at step n, so that the initial weights "
        "are forgotten.",
    )

    def weigh(self, number: int) -> float:
        """Return one minus the decay; more at first with a warm-up."""
        decay = min(self.decay, (1 + number) / (10 + number)) if self.warm_up else self.decay
        return 1 - decay


class SWA(AveragingSettings):
    """Stochastic weight averaging: the mean of the weights at the end of each epoch from a given one on."""

    name: Literal["swa"] = "swa"
    from_epoch: NumEpochs = Field(description="First epoch, counted from 1, whose final weights enter the average.")

    def takes_epoch(self, epoch: int) -> bool:
        """Return whether the state after `epoch` (from 1) is averaged."""
        return epoch >= self.from_epoch

    def weigh(self, number: int) -> float:
        """Return the weight that makes the average a plain mean."""
        return 1 / number

    def find_conflict(self, num_epochs: int) -> str | None:
        """Return in one line why this averaging does not fit the number of epochs, or None."""
        if self.from_epoch <= num_epochs:
            return None
        return f"from_epoch {self.from_epoch} is after the last of {num_epochs} epochs: start earlier, or train longer"


AnyAveraging: TypeAlias = AveragingSettings
"""The settings of any registered averaging method."""


@dataclass(frozen=True)
class AveragingRecord(RegistryEntry[AveragingSettings]):
    """One averaging method that a study can name; its settings define which states are averaged, and their weights."""


_OURS: tuple[AveragingRecord, ...] = (
    AveragingRecord(
        "ema",
        "keeps an exponential moving average of the weights, updated after every step",
        "Polyak and Juditsky (1992); Tan and Le (2019), EfficientNet; warm-up as in tf.train.ExponentialMovingAverage",
        EMA,
    ),
    AveragingRecord(
        "swa",
        "keeps the plain mean of the weights after each of the last epochs",
        "Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization; "
        "batch norm's statistics are averaged too, not recomputed",
        SWA,
    ),
)

AVERAGINGS: Registry[AveragingRecord] = Registry("averaging", _OURS, "bakeoff.averagings")

AveragingChoice: TypeAlias = Annotated[AnyAveraging, choose_from(AVERAGINGS)]
"""An averaging method in a recipe: a bare name, a mapping of a name and settings, or one of the records."""
