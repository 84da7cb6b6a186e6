"""The losses, as records without torch. To add one: a settings class and an entry in LOSSES.

`objective.py` applies class weights, smoothing and mixing to an entry's function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import Record, RegistryEntry, choose_from
from bakeoff.catalog.fields import Amount
from bakeoff.registry import Implementation, Registry


class LossSettings(Record):
    """The settings of a loss."""

    name: str


class CrossEntropy(LossSettings):
    """Minus the logarithm of the correct class's probability."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Focal(LossSettings):
    """Cross-entropy with less weight on images about which the network is more certain."""

    name: Literal["focal"] = "focal"
    gamma: Amount = Field(
        default=2.0,
        description="Focusing exponent: larger values reduce the weight of well-classified images; 0: cross-entropy.",
    )


@dataclass(frozen=True)
class LossRecord(RegistryEntry[LossSettings]):
    """One loss that a study can name.

    Attributes:
        score: `module:function` of its settings, log_probabilities_NC (float32) and labels_N (int64); returns losses_N,
            differentiable, without waiting for the device.
    """

    score: Implementation


_OURS: tuple[LossRecord, ...] = (
    LossRecord(
        "cross_entropy",
        "minus the logarithm of the correct class's probability",
        "Good (1952), Rational decisions",
        CrossEntropy,
        score="bakeoff.engine.objective:score_cross_entropy",
    ),
    LossRecord(
        "focal",
        "cross-entropy with less weight on images about which the network is more certain",
        "Lin, Goyal, Girshick, He and Dollár (2017), Focal loss for dense object detection",
        Focal,
        score="bakeoff.engine.objective:score_focal",
    ),
)

LOSSES: Registry[LossRecord] = Registry("loss", _OURS, "bakeoff.losses")

LossChoice: TypeAlias = Annotated[LossSettings, choose_from(LOSSES)]
"""A loss in a recipe: a bare name, a mapping of a name and settings, or one of the records."""
