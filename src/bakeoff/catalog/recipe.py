"""The recipe: every choice that makes one training run. Records without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog import schedules
from bakeoff.catalog.adam_family import Adam
from bakeoff.catalog.augmentation.records import AugmentationChoice, normalizes_as
from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.catalog.averaging import AveragingChoice
from bakeoff.catalog.choices import Record
from bakeoff.catalog.clipping import Clip
from bakeoff.catalog.initializers import InitializerChoice
from bakeoff.catalog.losses import LOSSES, CrossEntropy, LossChoice
from bakeoff.catalog.metric import Metric, check_difference
from bakeoff.catalog.mixing import MixChoice
from bakeoff.catalog.networks.named import NetworkChoice
from bakeoff.catalog.networks.outside import is_published
from bakeoff.catalog.objective_settings import ClassWeights
from bakeoff.catalog.optimizers import INCOMPATIBLE, Amount, OptimizerChoice
from bakeoff.catalog.schedules import Constant, ScheduleChoice
from bakeoff.catalog.transfer import Transfer, Weights


class EarlyStopping(Record):
    """Early stopping: stop when validation no longer improves, and keep the weights of the best epoch."""

    monitor: Metric = Field(default="loss", description="Validation metric to monitor.")
    patience: int = Field(
        strict=True, ge=1, le=1_000_000, description="Epochs without improvement after which training stops."
    )
    min_delta: Amount = Field(
        default=0.0, description="Smallest change that counts as an improvement, in the metric's unit."
    )

    @field_validator("min_delta")
    @classmethod
    def _check_min_delta(cls, min_delta: float, info: ValidationInfo) -> float:
        return check_difference(min_delta, info.data, "monitor")


class Recipe(Record):
    """Every choice that makes one training run; all that an arm may change."""

    network: NetworkChoice = Field(description="The network, by name or with settings.")
    initializer: InitializerChoice = Field(
        default=InitializerChoice(), description="How the initial weights are drawn."
    )
    transfer: Transfer | None = Field(
        default=None, description="Pretrained weights to start from, and what stays frozen; null: train from scratch."
    )
    augmentation: Annotated[tuple[AugmentationChoice, ...], Field(max_length=50)] = Field(
        default=(), description="Augmentation steps in the order of application; random ones are drawn for every image."
    )
    mix: MixChoice | None = Field(
        default=None, description="Mixes every image with another of its batch (mixup, cutmix); null: no mixing."
    )
    optimizer: OptimizerChoice = Field(default=Adam(), description="The optimizer, by name or with settings.")
    schedule: ScheduleChoice = Field(
        default=Constant(), description="The learning rate schedule, by name or with settings."
    )
    batch_size: int = Field(default=32, strict=True, ge=1, le=1_000_000, description="Images per batch.")
    accumulate: int = Field(
        default=1,
        strict=True,
        ge=1,
        le=100_000,
        description="Batches per optimizer step; their gradients are accumulated as for one batch this many times "
        "larger.",
    )
    clip: Clip | None = Field(default=None, description="Gradient clipping, by norm or by value; null: none.")
    loss: LossChoice = Field(default=CrossEntropy(), description="The loss to minimise.")
    label_smoothing: float = Field(
        default=0.0,
        strict=True,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Fraction of the target spread evenly over all classes, from 0 up to but not including 1.",
    )
    class_weights: ClassWeights | None = Field(
        default=None,
        description="Weight of each class in the loss: `balanced`, or a number by class name (1 if not named); "
        "null: all equal.",
    )
    averaging: AveragingChoice | None = Field(
        default=None, description="Weight averaging: the average over training is evaluated and kept; null: none."
    )
    evaluate: Literal["plain", "mirrored"] = Field(
        default="plain",
        description="plain: each image once. mirrored: logits averaged over each image and its mirror image, in "
        "validation and final test.",
    )
    epochs: int = Field(
        default=10, strict=True, ge=1, le=1_000_000, description="Maximum number of passes over the training images."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="When to stop early, with the weights of the best epoch; null: never."
    )

    def start_from(self, weights: Weights | None) -> Recipe:
        """Return the same recipe with other weights in its transfer; None: random weights."""
        assert self.transfer is not None
        return self.model_copy(update={"transfer": self.transfer.model_copy(update={"weights": weights})})

    def normalize_for_weights(self) -> Recipe:
        """Return the recipe with `normalize: pretrained` as its last step if it starts from published weights.

        Unchanged if it has a step `normalize`, or if no weights are published for its network. Done where a study's
        recipes are combined, not in every recipe: trials trained without that step keep their recipes.
        """
        published = (
            self.transfer is not None and self.transfer.weights == "imagenet" and is_published(self.network.name)
        )
        if not published or any(isinstance(step, Normalize) for step in self.augmentation):
            return self
        step = Normalize(mean="pretrained", sd="pretrained")
        return self.model_copy(update={"augmentation": (*self.augmentation, step)})

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        """Refuse choices that are valid by themselves but not together."""
        conflict = schedules.find_conflict(self.schedule, self.epochs)
        if conflict is None and self.averaging is not None:
            conflict = self.averaging.find_conflict(self.epochs)
        if self.transfer is not None and self.transfer.freeze == "always" and self.transfer.weights is None:
            conflict = (
                "transfer: a body that is never trained needs weights: imagenet, a file, a trial or a study's arm"
            )
        if self.transfer is not None and self.transfer.freeze == "always" and self.evaluate != "plain":
            conflict = "evaluate: a frozen body's features are computed once, without the mirror image; leave it plain"
        if self.transfer is not None and self.transfer.feature_draws is not None:
            conflict = self._find_draws_conflict(self.transfer) or conflict
        is_smoothable = isinstance(self.loss, CrossEntropy) or LOSSES.find(self.loss.name).is_soft
        if self.averaging is not None and self.optimizer.averages_itself:
            conflict = f"averaging: {self.optimizer.name} averages the weights itself: leave it null"
        if self.label_smoothing and not is_smoothable:
            conflict = f"label_smoothing needs cross_entropy or bce: leave it 0 with {self.loss.name}"
        if normalizes_as(self.augmentation, "pretrained") and not is_published(self.network.name):
            conflict = (
                "augmentation: normalize: pretrained is what a torchvision:NAME or timm:NAME network was trained with, "
                f"not {self.network.name}: write data, imagenet or numbers"
            )
        if conflict is not None:
            raise PydanticCustomError(INCOMPATIBLE, "{conflict}", {"conflict": conflict})
        return self

    def _find_draws_conflict(self, transfer: Transfer) -> str | None:
        """Return why features of augmented images cannot be computed before training; None if they can."""
        if transfer.freeze != "always":
            return (
                "transfer.feature_draws: only the features of a body that is never trained can be kept: freeze: always"
            )
        if self.mix is not None:
            return (
                f"transfer.feature_draws: {self.mix.name} mixes the images of every batch anew: leave one of them out"
            )
        return None
