"""A network: one convolution and one dense layer."""

from typing import Literal

from pydantic import Field

from bakeoff.catalog.networks.layers import AnyLayer, Conv, Dense
from bakeoff.catalog.networks.named import NetworkRecord
from bakeoff.catalog.networks.settings import LayerNetwork


class Tiny(LayerNetwork):
    """The settings of `tiny` in a study file."""

    name: Literal["tiny"] = "tiny"
    filters: int = Field(default=4, ge=1, description="Filters of the convolution.")

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return the layers, without the last one, which has an output per class."""
        return (Conv(filters=self.filters, kernel=3, activation="relu"), Dense(units=8, activation="relu"))


TINY = NetworkRecord("tiny", "one convolution, one dense layer", "this package", Tiny)
