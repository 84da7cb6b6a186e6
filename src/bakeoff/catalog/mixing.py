"""Mixing of two images and their labels: mixup and cutmix. Records without torch; mix_images.py implements them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import Record, RegistryEntry, choose_from
from bakeoff.catalog.fields import Part
from bakeoff.registry import Implementation, Registry

Alpha: TypeAlias = Annotated[float, Field(strict=True, gt=0, le=1_000, allow_inf_nan=False)]
"""The parameter of a symmetric Beta distribution, above 0."""

_PROBABILITY = "Probability that an image is mixed; drawn for each image."


class MixSettings(Record):
    """The settings that all mixing methods share."""

    name: str
    alpha: Alpha
    probability: Part = Field(default=1.0, description=_PROBABILITY)


class Mixup(MixSettings):
    """Mixup: blend every image and its label with another of the batch."""

    name: Literal["mixup"] = "mixup"
    alpha: Alpha = Field(default=0.2, description="The mixing ratio of each image is drawn from Beta(alpha, alpha).")


class CutMix(MixSettings):
    """CutMix: paste a box from another image of the batch into every image; labels are mixed by area."""

    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = Field(default=1.0, description="The mixing ratio of each image is drawn from Beta(alpha, alpha).")


AnyMix: TypeAlias = MixSettings
"""The settings of any registered mixing method."""


@dataclass(frozen=True)
class MixRecord(RegistryEntry[MixSettings]):
    """One mixing method that a study can name.

    Attributes:
        blend: `module:function` of the settings, images_NCHW, their partners, the mixing weights drawn for them and two
            more draws per image; returns new images and the weights of the original ones in them.
    """

    blend: Implementation


_OURS: tuple[MixRecord, ...] = (
    MixRecord(
        "mixup",
        "blends every image and its label with another",
        "Zhang, Cisse, Dauphin and Lopez-Paz (2018), mixup: beyond empirical risk minimization; one share per image",
        Mixup,
        blend="bakeoff.engine.augment.mix_images:blend",
    ),
    MixRecord(
        "cutmix",
        "pastes a box of another image into every image; labels are mixed by area",
        "Yun et al. (2019), CutMix: regularization strategy to train strong classifiers; one box per image",
        CutMix,
        blend="bakeoff.engine.augment.mix_images:paste",
    ),
)

MIXES: Registry[MixRecord] = Registry("mix", _OURS, "bakeoff.mixes")

MixChoice: TypeAlias = Annotated[AnyMix, choose_from(MIXES)]
"""A way of mixing in a recipe: a bare name, a mapping of a name and settings, or one of the records."""
