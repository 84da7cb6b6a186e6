"""The losses, as records without torch. To add one: a settings class and an entry in LOSSES.

`objective.py` applies class weights, smoothing and mixing to an entry's function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import GrownRecord, Record, RegistryEntry, choose_from
from bakeoff.catalog.fields import Amount, Limit, Part, Switch
from bakeoff.registry import Implementation, Registry


class LossSettings(Record):
    """The settings of a loss."""

    name: str


class CrossEntropy(LossSettings):
    """Minus the logarithm of the correct class's probability."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Focal(GrownRecord, LossSettings):
    """Cross-entropy with less weight on images about which the network is more certain."""

    name: Literal["focal"] = "focal"
    gamma: Amount = Field(
        default=2.0,
        description="Focusing exponent: larger values reduce the weight of well-classified images; 0: cross-entropy.",
    )
    alpha: Limit = Field(
        default=1.0, description="Factor on the loss (Keras: 0.25); class_weights gives each class its own."
    )
    later: ClassVar[tuple[str, ...]] = ("alpha",)


class BinaryCrossEntropy(LossSettings):
    """One binary cross-entropy per class, against all others; predictions are still the softmax of the logits."""

    name: Literal["bce"] = "bce"
    target_threshold: Part | None = Field(
        default=None,
        description="Targets above this become 1 and others 0, after smoothing and mixing; null: targets stay as "
        "they are.",
    )
    sum_classes: Switch = Field(
        default=False, description="Whether an image's loss is the sum over classes, instead of their mean."
    )


@dataclass(frozen=True)
class LossRecord(RegistryEntry[LossSettings]):
    """One loss that a study can name.

    Attributes:
        score: `module:function` of its settings, log_probabilities_NC (float32) and labels_N (int64); returns losses_N,
            differentiable, without waiting for the device.
        is_soft: whether `score` takes logits_NC and targets_NC instead, both float32: one-hot targets, smoothed and
            mixed. Otherwise a mixture costs the weighted sum of its two labels' losses, and there is no smoothing.
    """

    score: Implementation
    is_soft: bool = False


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
    LossRecord(
        "bce",
        "binary cross-entropy of every class against all others",
        "Wightman, Touvron and Jégou (2021), ResNet strikes back; timm.loss.BinaryCrossEntropy",
        BinaryCrossEntropy,
        score="bakeoff.engine.objective:score_bce",
        is_soft=True,
    ),
)

LOSSES: Registry[LossRecord] = Registry("loss", _OURS, "bakeoff.losses")

LossChoice: TypeAlias = Annotated[LossSettings, choose_from(LOSSES)]
"""A loss in a recipe: a bare name, a mapping of a name and settings, or one of the records."""
