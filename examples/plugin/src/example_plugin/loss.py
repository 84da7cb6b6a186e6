"""A loss: the squared error of the probabilities."""

from typing import Literal

from bakeoff.catalog.losses import LossRecord, LossSettings


class Brier(LossSettings):
    """The settings of `brier` in a study file."""

    name: Literal["brier"] = "brier"


BRIER = LossRecord(
    "brier", "squared error of the probabilities", "Brier (1950)", Brier, score="example_plugin.in_torch:score_brier"
)
