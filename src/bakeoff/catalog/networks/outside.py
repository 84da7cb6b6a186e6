"""Networks from outside bakeoff: torchvision's, timm's and the user's own. Records without torch.

Such a network has a body, which turns an image into a feature vector, and a head of bakeoff's own layers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field

from bakeoff.catalog.choices import Count, Rate, check_name, collect_names, refuse_name
from bakeoff.catalog.networks.layers import Activation, AnyLayer, Dense, Dropout
from bakeoff.catalog.networks.pretrained import PretrainedConfig
from bakeoff.catalog.networks.settings import NetworkSettings
from bakeoff.catalog.networks.shapes import Shape
from bakeoff.catalog.networks.torchvision import CLASSIFIERS
from bakeoff.registry import Implementation

TORCHVISION = "torchvision:"
TIMM = "timm:"

_TIMM_NAME = re.compile(r"timm:[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_PATTERN = r"^(torchvision:[a-z0-9_]+|timm:[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?|[^:\s]+:[^:\s]+)$"


@dataclass(frozen=True)
class OutsideRecord:
    """One kind of outside network that a study can name.

    Attributes:
        name: as written in a study file; `timm:NAME` and `module:Class` represent many networks.
        summary: what it is, in one line.
        source: where it was published.
        least_size: side of the smallest input image, in pixels; smaller images are enlarged to it, bilinearly.
        num_features: length of its feature vector; None if it must be built to know.
        multiply_adds: multiply-adds per image of `published_size`, as published by torchvision, with its own head; None
            if not published.
        published_size: side of its training images, in pixels.
        exact_size: the only height and width it accepts, to which images are resized; None if it accepts any.
        pretrained: how the images of its published weights were prepared; None if it must be built to know.
        build: the builder of the body, a `modules.Body`.
    """

    name: str
    summary: str
    source: str
    least_size: int = 1
    num_features: int | None = None
    multiply_adds: int | None = None
    published_size: int = 224
    exact_size: tuple[int, int] | None = None
    pretrained: PretrainedConfig | None = None
    build: Implementation = "bakeoff.engine.fused.modules:build_torchvision"


OUTSIDE: tuple[OutsideRecord, ...] = (
    *(
        OutsideRecord(
            f"{TORCHVISION}{facts.name}",
            facts.summary,
            facts.source,
            least_size=facts.least_size,
            num_features=facts.num_features,
            multiply_adds=facts.multiply_adds,
            published_size=facts.pretrained.size[0],
            exact_size=facts.pretrained.size if facts.is_fixed else None,
            pretrained=facts.pretrained,
        )
        for facts in CLASSIFIERS
    ),
    OutsideRecord(
        "timm:NAME",
        'any network of timm, by its name there; needs the extra "timm"',
        "Wightman (2019), PyTorch image models",
        least_size=32,
        build="bakeoff.engine.fused.modules:build_timm",
    ),
    OutsideRecord(
        "module:Class",
        "your own torch module: imports `module` and calls Class(), which runs its code on this machine",
        "the user",
        build="bakeoff.engine.fused.modules:build_user",
    ),
)

OUTSIDE_NAMES: tuple[str, ...] = (f"{TORCHVISION}NAME", *(record.name for record in OUTSIDE[-2:]))
"""What messages list: the names of torchvision's many networks are listed only where one of them is meant."""

TORCHVISION_NAMES: tuple[str, ...] = collect_names(OUTSIDE[:-2])


def is_outside(name: object) -> bool:
    """Return whether this is the name of an outside network: it has a colon."""
    return isinstance(name, str) and ":" in name


def is_published(name: str) -> bool:
    """Return whether this is the name of a network whose library publishes weights: torchvision's or timm's."""
    return name.startswith((TORCHVISION, TIMM))


def check_outside_name(value: object) -> str:
    """Return `value` if it is a valid name of an outside network; whether it exists is known once it is built.

    Raises:
        PydanticCustomError: of type `unknown_name`, otherwise.
    """
    if isinstance(value, str) and value.startswith(TORCHVISION):
        return check_name(value, kind="network", allowed=TORCHVISION_NAMES)
    if isinstance(value, str) and value.startswith(TIMM):
        if _TIMM_NAME.fullmatch(value):
            return value
    elif isinstance(value, str) and names_class(value):
        return value
    raise refuse_name("network", value, OUTSIDE_NAMES)


def names_class(text: str) -> bool:
    """Return whether this is a user's `package.module:Class`, with valid identifiers."""
    if text.startswith((TORCHVISION, TIMM)):
        return False
    module, _, name = text.partition(":")
    return name.isidentifier() and all(part.isidentifier() for part in module.split("."))


OutsideName: TypeAlias = Annotated[
    str,
    BeforeValidator(check_outside_name, json_schema_input_type=Annotated[str, Field(pattern=_PATTERN)]),
]


class OutsideNetwork(NetworkSettings):
    """A network from torchvision, timm or the user's own module: its body with a new head.

    The body gives one feature vector per image: what its published last layer reads, for AlexNet and VGG the average of
    the last feature maps (for a user's module its output, flattened). Grey images are repeated to three channels, and
    images that are too small for the body are enlarged bilinearly. Its published head is not used.
    """

    has_module: ClassVar[bool] = True

    name: OutsideName = Field(description="The network: torchvision:NAME, timm:NAME or package.module:Class.")
    units: tuple[Count, ...] = Field(default=(), description="Units of the hidden dense layers in the head.")
    activation: Activation = Field(default="relu", description="Activation of the hidden layers in the head.")
    dropout: Rate = Field(
        default=0.0,
        description="Dropout rate after every hidden layer of the head, or on the features if the head has none.",
    )

    def list_layers(self, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the layers of the head."""
        return self.make_head(num_classes)

    def make_head(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the head: hidden dense layers with dropout, then a linear dense layer of `num_classes` units."""
        drop: tuple[AnyLayer, ...] = (Dropout(rate=self.dropout),) if self.dropout else ()
        layers: list[AnyLayer] = [] if self.units else [*drop]
        for count in self.units:
            layers += [Dense(units=count, activation=self.activation), *drop]
        return (*layers, Dense(units=num_classes))

    def find_builder(self) -> Implementation:
        """Return the builder of the body."""
        return find_outside(self.name).build

    def name_module(self) -> str:
        """Return the network's name."""
        return self.name

    def find_module_features(self) -> int | None:
        """Return the length of the feature vector; None if unknown."""
        return find_outside(self.name).num_features

    def count_module_operations(self, image_shape_HWC: Shape) -> int | None:
        """Return the published multiply-adds, scaled by the area of the body's input; None if unknown."""
        record = find_outside(self.name)
        if record.multiply_adds is None:
            return None
        height, width = record.exact_size or (max(size, record.least_size) for size in image_shape_HWC[:2])
        return round(record.multiply_adds * height * width / record.published_size**2)


def find_outside(name: str) -> OutsideRecord:
    """Return the registry's record for this network: its own, or the one for all of timm's or the user's.

    Raises:
        PydanticCustomError: of type `unknown_name`, if it is not a valid name of an outside network.
    """
    check_outside_name(name)
    kind = name if name.startswith(TORCHVISION) else "timm:NAME" if name.startswith(TIMM) else "module:Class"
    return next(record for record in OUTSIDE if record.name in (name, kind))
