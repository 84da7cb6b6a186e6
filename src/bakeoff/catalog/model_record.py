"""What a weights file says about itself: all that is needed to predict with it. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.catalog.choices import Record
from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import ModelFileError, NewerVersionError

METADATA_KEY = "bakeoff"
"""The entry of a safetensors file's metadata that holds the record as JSON."""

ORIGIN_KEY = "bakeoff.origin"
"""The entry of an exported file's metadata that holds its `Origin` as JSON."""


class ModelRecord(Record):
    """A trained model without its weights.

    The recipe is as trained, but for two things: `normalize` has the numbers measured on the training images in place
    of `data`, and a body that is part of the file is not loaded from elsewhere.
    """

    format: Literal["bakeoff.model/1"] = "bakeoff.model/1"
    trial_id: str
    recipe: Recipe
    class_names: tuple[str, ...] = Field(description="In the order of the network's outputs.")
    shape_HWC: tuple[int, int, int] = Field(description="Height, width and channels of images before augmentation.")
    fit: Literal["crop", "pad", "stretch"] = Field(
        default="stretch", description="How images of another aspect ratio are brought to that size."
    )
    numeric: Numeric = Field(description="The numeric mode it was trained and tested in.")
    seed: int
    fold: int | None = None
    code: str | None = Field(default=None, description="Hash of the code of the user's own network.")
    refit_of: str | None = Field(
        default=None, description="The trial that was trained anew, on training and validation images together."
    )
    engine_version: int
    versions: Mapping[str, str] = Field(default={}, description="Versions of the packages that the network is from.")

    def dump(self) -> dict[str, str]:
        """Return the metadata of a safetensors file: one entry, since several are written in random order."""
        return {METADATA_KEY: self.model_dump_json()}

    @classmethod
    def parse(cls, metadata: Mapping[str, str] | None, where: str) -> ModelRecord | None:
        """Return the record in a file's metadata; None if the file was written before there were records.

        Raises:
            BakeoffError: it is damaged, or of a later version; `where` names the file.
        """
        text = (metadata or {}).get(METADATA_KEY)
        if text is None:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            found = _read_format(text)
            if found and found != cls.model_fields["format"].default:
                raise NewerVersionError(
                    f"{where} was written by a later version of bakeoff (format {found})."
                ) from None
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise ModelFileError(f"{where}: its description is damaged ({field}: {first['msg']}).") from None


class Origin(Record):
    """The study that an exported model is from, and how well it did there."""

    study: str
    study_id: str
    question: str
    block: str
    arm: str
    replicate: int
    metric: str
    split: Literal["validation", "test", "held-out"]
    score: float | None = Field(description="The metric of this model on the split; null: not measured.")
    interval: tuple[float, float] | None = Field(
        default=None, description="Wilson's 95% interval of an accuracy on new images of this kind; null: not known."
    )
    scope: str = Field(description="What the score and its interval speak of.")
    temperature: float = Field(
        default=1.0, gt=0, description="What its logits are divided by before the softmax, fitted on validation images."
    )
    is_refit: bool = Field(default=False, description="Trained anew on training and validation images together.")
    bakeoff: str = Field(description="The version of bakeoff that exported it.")

    def dump(self) -> dict[str, str]:
        """Return the metadata of a safetensors file."""
        return {ORIGIN_KEY: self.model_dump_json()}

    @classmethod
    def parse(cls, metadata: Mapping[str, str] | None, where: str) -> Origin | None:
        """Return the origin in a file's metadata, or None.

        Raises:
            BakeoffError: it is damaged; `where` names the file.
        """
        text = (metadata or {}).get(ORIGIN_KEY)
        try:
            return None if text is None else cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelFileError(f"{where}: what it says of its study is damaged.") from error


def fix_statistics(recipe: Recipe, mean: tuple[float, ...], sd: tuple[float, ...]) -> Recipe:
    """Return a recipe whose `normalize` steps have these numbers in place of `data`; a constant channel's sd is 1."""
    sd = tuple(value or 1.0 for value in sd)
    fixed = {"mean": mean, "sd": sd}
    steps = (
        step.model_copy(update=fixed) if isinstance(step, Normalize) and step.mean == "data" else step
        for step in recipe.augmentation
    )
    return recipe.model_copy(update={"augmentation": tuple(steps)})


def _read_format(text: str) -> str:
    try:
        return str(json.loads(text).get("format", ""))[:40]
    except (ValueError, AttributeError):
        return ""
