"""A weight averaging: the weights after every epoch, later ones counting more."""

from typing import Literal

from pydantic import Field

from bakeoff.catalog.averaging import AveragingRecord, AveragingSettings


class Polynomial(AveragingSettings):
    """The settings of `polynomial` in a study file."""

    name: Literal["polynomial"] = "polynomial"
    eta: float = Field(default=3.0, ge=0, description="0: a plain mean; the larger, the more later weights count.")

    def takes_epoch(self, epoch: int) -> bool:
        """Return whether the weights after `epoch` (from 1) are averaged."""
        return True

    def weigh(self, number: int) -> float:
        """Return the weight of the `number`-th state, from 2, relative to the average of those before."""
        return (self.eta + 1) / (self.eta + number)


POLYNOMIAL = AveragingRecord(
    "polynomial",
    "keeps the mean of the weights after every epoch, later ones counting more",
    "Shamir and Zhang (2013), Stochastic gradient descent for non-smooth optimization",
    Polynomial,
)
