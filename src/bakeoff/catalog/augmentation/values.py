"""The types of augmentation settings: pixels, fractions, angles, ranges. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import NOT_EMPTY, Extent, check_name

INCOMPATIBLE = "incompatible"
"""The type of the pydantic error for settings that are valid by themselves but not together."""

STATISTICS = ("imagenet", "data", "pretrained")
"""Named means and standard deviations: ImageNet's, those of the training images, and those of the images on which the
network's published weights were trained."""


def _bound(**limits: Any) -> Any:
    """Return the field constraint for a finite number within limits; true is not a number."""
    return Field(strict=True, allow_inf_nan=False, **limits)


def _repeat(value: object) -> object:
    """Expand one number to a pair of equal numbers."""
    return [value, value] if isinstance(value, int | float) else value


def _add_zero(value: object) -> object:
    """Expand one number to a pair with 0."""
    return [value, 0] if isinstance(value, int | float) else value


def _check_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise PydanticCustomError(INCOMPATIBLE, "a range must be [min, max], with the smaller number first")
    return pair


def _require_odd(value: int) -> int:
    if value % 2 == 0:
        raise PydanticCustomError(INCOMPATIBLE, "the side of a kernel must be an odd number, to have a central pixel")
    return value


_IN_ORDER = AfterValidator(_check_order)

Number: TypeAlias = Annotated[float, _bound()]
Positive: TypeAlias = Annotated[float, _bound(gt=0)]

Share: TypeAlias = Annotated[float, _bound(ge=0, le=1)]
"""A probability or a fraction: 0 to 1."""

Center: TypeAlias = Annotated[float, _bound(gt=0, le=1)]
"""The part of a side that is kept: above 0 and up to 1."""

Strength: TypeAlias = Annotated[float, _bound(ge=0, le=10)]
"""The maximum deviation of a factor from 1: it is drawn between 1 - this (at least 0) and 1 + this."""

HueShift: TypeAlias = Annotated[float, _bound(ge=0, le=0.5)]
"""The largest hue shift, as a fraction of the colour circle."""

Angle: TypeAlias = Annotated[float, _bound(ge=0, le=180)]
"""The largest rotation to either side, in degrees."""

_Slant: TypeAlias = Annotated[float, _bound(ge=0, le=80)]

Amount: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=1_024)]
"""Pixels added to each side: 0 to 1,024."""

OddExtent: TypeAlias = Annotated[Extent, AfterValidator(_require_odd)]
"""The side of a kernel with a central pixel, in pixels."""

Fill: TypeAlias = Literal["zero", "edge", "reflect"]
"""How the outside of an image is filled: black, the nearest pixel, or the mirror image."""

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic"]

Size: TypeAlias = Annotated[
    tuple[Extent, Extent], BeforeValidator(_repeat, json_schema_input_type=Extent | tuple[Extent, Extent])
]
"""Height and width in pixels; one number means both."""

Shares: TypeAlias = Annotated[
    tuple[Share, Share], BeforeValidator(_repeat, json_schema_input_type=Share | tuple[Share, Share])
]
"""Fractions of the width and of the height; one number means both."""

Slants: TypeAlias = Annotated[
    tuple[_Slant, _Slant], BeforeValidator(_add_zero, json_schema_input_type=_Slant | tuple[_Slant, _Slant])
]
"""The largest shear along the rows and along the columns, in degrees; one number means along the rows only."""

Range: TypeAlias = Annotated[
    tuple[Positive, Positive],
    _IN_ORDER,
    BeforeValidator(_repeat, json_schema_input_type=Positive | tuple[Positive, Positive]),
]
"""The range to draw from, above 0; one number fixes the value."""

ShareRange: TypeAlias = Annotated[
    tuple[Share, Share],
    _IN_ORDER,
    BeforeValidator(_repeat, json_schema_input_type=Share | tuple[Share, Share]),
]
"""The range of fractions to draw from; one number fixes the value."""

StatisticsName: TypeAlias = Literal["imagenet", "data", "pretrained"]


def _tag_statistics(value: object) -> str:
    return "name" if isinstance(value, str) else "numbers"


def _list_numbers(value: object) -> object:
    """Expand one number to a list, and check the name of named statistics."""
    if isinstance(value, str):
        return check_name(value, kind="statistics", allowed=STATISTICS)
    return [value] if isinstance(value, int | float) else value


def _make_statistics(item: Any) -> Any:
    """Return the field type for one number for all channels, one per channel, or the name of statistics."""
    numbers = Annotated[tuple[item, ...], NOT_EMPTY, Tag("numbers")]
    return Annotated[
        Annotated[numbers | Annotated[StatisticsName, Tag("name")], Discriminator(_tag_statistics)],
        BeforeValidator(_list_numbers, json_schema_input_type=item | tuple[item, ...] | StatisticsName),
    ]


if TYPE_CHECKING:
    Means: TypeAlias = tuple[float, ...] | StatisticsName
    Deviations: TypeAlias = tuple[float, ...] | StatisticsName
else:
    Means = _make_statistics(Number)
    Deviations = _make_statistics(Positive)
