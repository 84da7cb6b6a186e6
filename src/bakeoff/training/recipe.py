"""The recipe: every choice that makes one training run. Records without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.networks.choices import Record
from bakeoff.networks.initializers import InitializerChoice
from bakeoff.networks.named import NetworkChoice
from bakeoff.training import schedules
from bakeoff.training.adam_family import Adam
from bakeoff.training.augmentation.records import AugmentationChoice
from bakeoff.training.averaging import AveragingChoice
from bakeoff.training.clipping import Clip
from bakeoff.training.losses import CrossEntropy, LossChoice
from bakeoff.training.metric import Metric, check_difference
from bakeoff.training.mixing import MixChoice
from bakeoff.training.objective_settings import ClassWeights
from bakeoff.training.optimizers import INCOMPATIBLE, Amount, OptimizerChoice
from bakeoff.training.schedules import Constant, ScheduleChoice
from bakeoff.training.transfer import Transfer


class EarlyStopping(Record):
    """Stop when validation no longer improves, and keep the weights of the best epoch."""

    monitor: Metric = Field(default="loss", description="The validation metric that is watched.")
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

    network: NetworkChoice = Field(description="The layers between image and prediction.")
    initializer: InitializerChoice = Field(default=InitializerChoice(), description="How the first weights are drawn.")
    transfer: Transfer | None = Field(
        default=None, description="Weights to begin with, and what of them stays frozen; null: train from scratch."
    )
    augmentation: Annotated[tuple[AugmentationChoice, ...], Field(max_length=50)] = Field(
        default=(), description="What happens to every image, in this order; one draw an image."
    )
    mix: MixChoice | None = Field(default=None, description="Mixes every image with another one of its batch.")
    optimizer: OptimizerChoice = Field(default=Adam(), description="How gradients become steps.")
    schedule: ScheduleChoice = Field(default=Constant(), description="How the learning rate changes in training.")
    batch_size: int = Field(default=32, strict=True, ge=1, le=1_000_000, description="Images per batch.")
    accumulate: int = Field(
        default=1,
        strict=True,
        ge=1,
        le=100_000,
        description="Batches per step: their gradients are added up, as one batch of so many times the images.",
    )
    clip: Clip | None = Field(default=None, description="Limits the gradient before every step.")
    loss: LossChoice = Field(default=CrossEntropy(), description="What training minimises.")
    label_smoothing: float = Field(
        default=0.0,
        strict=True,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of the target that is spread evenly over all classes.",
    )
    class_weights: ClassWeights | None = Field(
        default=None, description="What an image of each class counts: `balanced`, or a weight by class name (else 1)."
    )
    averaging: AveragingChoice | None = Field(
        default=None, description="Evaluates and keeps an average of the weights over training."
    )
    evaluate: Literal["plain", "mirrored"] = Field(
        default="plain",
        description="mirrored: logits are means over an image and its mirror image, in validation and final test.",
    )
    epochs: int = Field(
        default=10, strict=True, ge=1, le=1_000_000, description="Passes over the training images, at most."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="When to stop before the last epoch, on the best weights; null means never."
    )

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        """Refuse choices that do not go together, each right by itself."""
        conflict = schedules.find_conflict(self.schedule, self.epochs)
        if conflict is None and self.averaging is not None:
            conflict = self.averaging.find_conflict(self.epochs)
        if self.transfer is not None and self.transfer.freeze == "always" and self.transfer.weights is None:
            conflict = (
                "transfer: a body that is never trained needs weights: imagenet, a file, a trial or a study's arm"
            )
        if self.transfer is not None and self.transfer.freeze == "always" and self.evaluate != "plain":
            conflict = "evaluate: a frozen body's features are computed once, of the image alone; leave it plain"
        if self.label_smoothing and not isinstance(self.loss, CrossEntropy):
            conflict = f"label_smoothing is of cross_entropy: leave it 0 with {self.loss.name}"
        if conflict is not None:
            raise PydanticCustomError(INCOMPATIBLE, "{conflict}", {"conflict": conflict})
        return self
