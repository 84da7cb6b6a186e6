"""The settings of a study that are the same for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import Record
from bakeoff.catalog.metric import Metric, Points, check_difference, read_points
from bakeoff.data.hub import HubName
from bakeoff.data.registry import find_dataset
from bakeoff.data.source import (
    HUB,
    ORIGINS,
    TORCHVISION,
    ClassNames,
    Colour,
    CropMargin,
    DataSource,
    DuplicatesPolicy,
    Fit,
    ImageSize,
)
from bakeoff.data.torchvision_datasets import find_parts
from bakeoff.errors import DataError
from bakeoff.stats.metrics import find_metric
from bakeoff.stats.results import FailedMode

DEFAULT_DATASET = "digits"
"""Included in the package, so that a study runs without a download."""

TEST_SHARE = DataSource.model_fields["test"].default

_ADDED = (
    *("name", "folder", "manifest", "classes", "subset", "image_size", "fit", "crop_margin", "colour", "test"),
    *("group", "duplicates", "allow_overlap"),
)
"""Fields that are written only if they are not at their default."""

NumericMode: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""The numeric mode of training. `auto` is resolved once per block, by probes; the others fuse whatever can be fused."""


def _check_dataset(name: str | None) -> str | None:
    try:
        if name is None:
            return name
        if name.startswith(HUB):
            HubName.parse(name)
        elif name.startswith(TORCHVISION):
            find_parts(name)
        else:
            find_dataset(name)
    except DataError as error:
        raise PydanticCustomError("unknown_name", "{message}", {"message": str(error)}) from None
    return name


Share: TypeAlias = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
"""A fraction of the images: above 0 and below 1."""


class DataSettings(Record):
    """The images, and how they are split."""

    name: Annotated[str | None, AfterValidator(_check_dataset)] = Field(
        default=None,
        description="A registered dataset (see `bakeoff list datasets`), hf:OWNER/NAME on the Hugging Face hub, or "
        f"torchvision:NAME; default: {DEFAULT_DATASET}.",
    )
    folder: str | None = Field(
        default=None,
        description="Folder with one subfolder per class, or with such folders under train, validation and test, or "
        "a zip or tar archive of it; instead of name.",
    )
    manifest: str | None = Field(
        default=None, description="CSV or Parquet file of image paths and labels; instead of name or folder."
    )
    classes: ClassNames | None = Field(default=None, description="Classes to use, relabelled in this order; null: all.")
    subset: Share | None = Field(
        default=None,
        description="Fraction of the training images to use, stratified, for quick tries; the test split stays "
        "complete. null: all.",
    )
    image_size: ImageSize | None = Field(
        default=None,
        description="Size in pixels to which images of a folder or manifest are resized: one side, or [height, width].",
    )
    fit: Fit = Field(
        default="crop",
        description="How images of another aspect ratio are brought to image_size. crop: the shorter side is resized, "
        "and the middle is kept; pad: all of it is kept, on black; stretch: the aspect ratio is not kept.",
    )
    crop_margin: CropMargin = Field(
        default=1.0,
        description="Factor by which images are stored larger than image_size, 1 to 4, so that random_resized_crop and "
        "random_crop have room; every arm must then crop to image_size.",
    )
    colour: Colour | None = Field(
        default=None, description="Colour mode for images of a folder or manifest; null: grey if all of them are grey."
    )
    test: Share = Field(
        default=TEST_SHARE,
        description="Fraction held out for the test split if a folder or manifest has none of its own.",
    )
    group: str | None = Field(
        default=None,
        description="Which images of a folder belong together (one patient, object, video), so that no split separates "
        "them: a regular expression searched in each path relative to the folder, whose first group (else the whole "
        "match) names the group; or parent: the folder that holds the image. A manifest has a column group instead. "
        "null: every image stands alone.",
    )
    duplicates: DuplicatesPolicy | None = Field(
        default=None,
        description="What is done about images that are in the data several times. group: they share a side of every "
        "split, and training images that duplicate an image of the source's own test or validation split are left "
        "out; drop: one of each is used; allow: nothing. null: group for folders and manifests; registered datasets "
        "stay as published.",
    )
    validation: Share | Literal["own"] = Field(
        default=0.1,
        description="Fraction of the training images held out for validation, stratified and drawn with the "
        "replicate's seed; or own: the validation split of the folder or manifest. With folds: fraction "
        "of the images outside the held-out fold.",
    )
    folds: int | None = Field(
        default=None,
        strict=True,
        ge=2,
        le=100,
        description="Number of cross-validation folds; each is held out once and scored only in the final test. "
        "null: none.",
    )

    allow_overlap: bool = Field(
        default=False,
        strict=True,
        description="Whether arms may start from trials that have seen images of this study's test or validation "
        "split, or duplicates of them. The report then says so.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_name(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and all(value.get(field) is None for field in ORIGINS):
            return {**value, "name": DEFAULT_DATASET}
        return value

    @model_validator(mode="after")
    def _check(self) -> DataSettings:
        if self.folds is not None and self.validation == "own":
            message = "with folds, validation must be a fraction, such as 0.1"
            raise PydanticCustomError("folds", message)
        try:
            registered = self.source.path is None
        except ValidationError as error:
            raise PydanticCustomError("source", "{message}", {"message": error.errors()[0]["msg"]}) from None
        if registered and self.validation == "own":
            message = "{name} has no validation images of its own: set validation to a fraction, such as 0.1"
            raise PydanticCustomError("own_validation", message, {"name": self.source.label})
        return self

    @model_serializer(mode="wrap")
    def _omit_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit later fields at their defaults, so that studies from before they existed keep their identity."""
        fields: dict[str, Any] = handler(self)
        for field in _ADDED:
            if fields.get(field) == type(self).model_fields[field].default:
                fields.pop(field, None)
        if self.folds is not None and self.validation == type(self).model_fields["validation"].default:
            fields.pop("validation", None)  # folds once had no validation split
        return fields

    @cached_property
    def source(self) -> DataSource:
        """The source of the images, and which of them are used."""
        return DataSource(**{field: getattr(self, field) for field in DataSource.model_fields})

    @property
    def split(self) -> tuple[float | str, int | None]:
        """The validation split and the number of folds."""
        return (self.validation, self.folds)

    @property
    def test_share(self) -> float | None:
        """Ratio of images scored in a fold to images trained on, for the corrected resampled t; None without folds."""
        if self.folds is None or self.validation == "own":
            return None
        return 1 / ((self.folds - 1) * (1 - self.validation))


class Race(Record):
    """A race: replicates are added until the question is settled."""

    at_least: int = Field(
        default=3, strict=True, ge=3, le=1_000, description="Replicates of every arm before the first comparison."
    )
    at_most: int = Field(
        default=20, strict=True, ge=3, le=1_000, description="Maximum number of replicates; then the race ends."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Race:
        if self.at_most < self.at_least:
            raise PydanticCustomError("race", "at_most is smaller than at_least")
        return self


def _tag_replicates(value: object) -> str:
    return "race" if isinstance(value, Mapping | Race) else "count"


Replicates: TypeAlias = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=1_000), Tag("count")] | Annotated[Race, Tag("race")],
    Discriminator(_tag_replicates),
]
"""A fixed number of replicates, or a race."""


WIDE_MARGIN = 0.2
"""Larger margins call nearly any two arms equivalent, and are probably a misplaced decimal point."""


class Decide(Record):
    """How arms are compared, and to what verdicts apply."""

    metric: Metric = Field(default="accuracy", description="Metric by which arms are compared.")
    margin: float | None = Field(
        default=None,
        strict=True,
        gt=0,
        allow_inf_nan=False,
        description="Smallest difference that matters, in the metric's unit (accuracy: 0.005, or '0.5 points'); "
        "null: any difference matters.",
    )
    confidence: float = Field(
        default=0.95,
        strict=True,
        gt=0.5,
        lt=1,
        allow_inf_nan=False,
        description="Confidence level of all intervals, above 0.5 and below 1.",
    )
    against: str | None = Field(
        default=None,
        description="Baseline arm with which all others are compared; null: every pair is compared. Fewer pairs "
        "give more power.",
    )
    scope: Literal["images", "seeds"] = Field(
        default="images",
        description="images: verdicts hold for new seeds and new images of this kind; seeds: for new seeds on these "
        "test images.",
    )
    family: Literal["study", "block"] = Field(
        default="study",
        description="study: the family-wise error rate is controlled over all blocks together; block: within each "
        "block.",
    )
    method: Literal["moderated", "paired", "bayes"] = Field(
        default="moderated",
        description="moderated: paired tests with a controlled family-wise error rate, by variances that the arms of "
        "a block lend each other; paired: the same by each pair's own differences; bayes: posterior probabilities "
        "for each pair, with the margin as region of practical equivalence, and a hierarchical model "
        "over blocks.",
    )
    steps: bool | None = Field(
        default=None,
        strict=True,
        description="Whether to test what each step of a chain of arms (from: NAME) adds; null: if there is such a "
        "chain.",
    )
    failed: FailedMode = Field(
        default="worst",
        description="How a failed or diverged trial counts. worst: at chance level; exclude: not at all, so that "
        "verdicts hold only where training succeeds.",
    )

    @field_validator("margin", mode="before", json_schema_input_type=float | Points | None)
    @classmethod
    def _read_margin(cls, margin: object, info: ValidationInfo) -> object:
        return read_points(margin, info.data, "metric")

    @field_validator("margin")
    @classmethod
    def _check_margin(cls, margin: float | None, info: ValidationInfo) -> float | None:
        return None if margin is None else check_difference(margin, info.data, "metric")

    @property
    def warning(self) -> str:
        """A warning about an unusually large margin; empty if there is none."""
        if self.margin is None or self.margin <= WIDE_MARGIN or not find_metric(self.metric).is_share:
            return ""
        return f"decide.margin is {100 * self.margin:g} points: arms that differ by less are called equivalent."

    @model_serializer(mode="wrap")
    def _omit_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit later fields at their defaults, so that studies from before they existed keep their identity."""
        fields: dict[str, Any] = handler(self)
        for name in ("scope", "family", "method", "steps", "failed"):
            if getattr(self, name) == Decide.model_fields[name].default:
                fields.pop(name, None)
        return fields


class Expect(Record):
    """What is expected of scores before anything is trained, for the power of the comparison. Changes no result."""

    sd: float = Field(
        strict=True,
        gt=0,
        allow_inf_nan=False,
        description="Standard deviation of one arm's score over seeds, on the same test images, in the metric's unit "
        "(accuracy: 0.005, or '0.5 points').",
    )
    accuracy: Share | None = Field(
        default=None,
        description="Accuracy expected of the arms, from which the part of the test images in the uncertainty follows; "
        "null: unknown.",
    )
    disagreement: Share | None = Field(
        default=None,
        description="Fraction of the test images that exactly one of two arms answers rightly; null: with accuracy p, "
        "p (1 - p).",
    )

    @field_validator("sd", mode="before", json_schema_input_type=float | Points)
    @classmethod
    def _read_sd(cls, sd: object) -> object:
        return read_points(sd, {}, "metric")

    @model_validator(mode="after")
    def _check_disagreement(self) -> Expect:
        if self.accuracy is None or self.disagreement is None:
            return self
        most = 2 * min(self.accuracy, 1 - self.accuracy)
        if self.disagreement > most:
            message = "disagreement {given} is too large: two arms of accuracy {accuracy} disagree on {most} at most"
            context = {"given": f"{self.disagreement:g}", "accuracy": f"{self.accuracy:g}", "most": f"{most:.3g}"}
            raise PydanticCustomError("disagreement", message, context)
        return self
