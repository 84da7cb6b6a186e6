"""An augmentation: every image is darkened by a factor drawn for it."""

from typing import Literal

from pydantic import Field

from bakeoff.catalog.augmentation.records import AugmentationRecord
from bakeoff.catalog.augmentation.steps import AugmentationStep


class Shade(AugmentationStep):
    """The settings of `shade` in a study file."""

    name: Literal["shade"] = "shade"
    darkest: float = Field(default=0.5, ge=0, le=1, description="Smallest factor; the largest is 1.")


SHADE = AugmentationRecord(
    "shade", "darkens each image", "this package", Shade, train="example_plugin.in_torch:shade", num_draws=1
)
