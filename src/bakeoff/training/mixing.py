"""Two images in one, with labels to match: mixup and cutmix. Records without torch; mix_images.py does the work."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from bakeoff.networks.choices import Record, RegistryEntry, collect_names, spell_out
from bakeoff.training.fields import Part

Alpha: TypeAlias = Annotated[float, Field(strict=True, gt=0, le=1_000, allow_inf_nan=False)]
"""The parameter of a symmetric Beta distribution, above 0."""

_PROBABILITY = "Probability that an image is mixed; drawn for each image."


class Mixup(Record):
    """Mixup: blend every image and its label with another of the batch."""

    name: Literal["mixup"] = "mixup"
    alpha: Alpha = Field(default=0.2, description="The mixing ratio of each image is drawn from Beta(alpha, alpha).")
    probability: Part = Field(default=1.0, description=_PROBABILITY)


class CutMix(Record):
    """CutMix: paste a box from another image of the batch into every image; labels are mixed by area."""

    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = Field(default=1.0, description="The mixing ratio of each image is drawn from Beta(alpha, alpha).")
    probability: Part = Field(default=1.0, description=_PROBABILITY)


AnyMix: TypeAlias = Mixup | CutMix


MixRecord: TypeAlias = RegistryEntry[AnyMix]
"""One way of mixing images that a study can name."""


MIXES: tuple[MixRecord, ...] = (
    MixRecord(
        "mixup",
        "blends every image and its label with another",
        "Zhang, Cisse, Dauphin and Lopez-Paz (2018), mixup: beyond empirical risk minimization; one share per image",
        Mixup,
    ),
    MixRecord(
        "cutmix",
        "pastes a box of another image into every image; labels count by area",
        "Yun et al. (2019), CutMix: regularization strategy to train strong classifiers; one box per image",
        CutMix,
    ),
)

MIX_NAMES: tuple[str, ...] = collect_names(MIXES)

_Tagged: TypeAlias = Annotated[AnyMix, Field(discriminator="name")]


def _spell_out_mix(value: object) -> object:
    return spell_out(value, kind="mix", allowed=MIX_NAMES)


MixChoice: TypeAlias = Annotated[
    _Tagged, BeforeValidator(_spell_out_mix, json_schema_input_type=Literal["mixup", "cutmix"] | _Tagged)
]
"""A way of mixing in a recipe: a bare name, a mapping of a name and settings, or one of the records."""
