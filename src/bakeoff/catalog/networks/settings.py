"""The settings of networks, and the facts they imply without building a network. No torch.

A network is a body and a head, which has one output per class. In most networks both are layer records. In some the
body is a torch module, which only a worker can build, and only the head consists of layers.
"""

from __future__ import annotations

from typing import ClassVar

from bakeoff.catalog.choices import Record
from bakeoff.catalog.networks.layers import AnyLayer, Dense
from bakeoff.catalog.networks.shapes import Shape, format_shape, trace
from bakeoff.errors import NetworkError, NetworkFitError
from bakeoff.registry import Implementation


class NetworkSettings(Record):
    """The settings of a network.

    Attributes:
        has_module: whether its body is a torch module, not layers.
    """

    has_module: ClassVar[bool] = False

    name: str

    def list_layers(self, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return all layer records: those of the whole network, or of the head on a module.

        Args:
            image_shape_HWC: height, width, channels of the network's input.
            num_classes: number of outputs of the last layer.

        Raises:
            NetworkError: a layer does not fit its input.
        """
        raise NotImplementedError  # abstract

    def find_builder(self) -> Implementation:
        """Return the builder of the network's `modules.Body`, which takes these settings."""
        raise NotImplementedError  # abstract for networks with `has_module`

    def name_module(self) -> str:
        """Return an identifier of a module body, independent of the head; empty if there is none."""
        return ""

    def count_module_operations(self, image_shape_HWC: Shape) -> int | None:
        """Return the approximate multiply-adds per image of a module body; None if unknown."""
        return 0

    def find_module_features(self) -> int | None:
        """Return the length of a module body's feature vector; None if it must be built to know."""
        return None


class LayerNetwork(NetworkSettings):
    """A network of layer records only: cohorts are trained fused."""

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return all layers except the last, which has one output per class."""
        raise NotImplementedError  # abstract

    def list_layers(self, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return all layers, ending in a linear dense layer of `num_classes` units, checked against the images."""
        try:
            layers = (*self.expand(num_classes), Dense(units=num_classes))
            trace(layers, image_shape_HWC)
        except NetworkError as error:
            raise NetworkFitError(f"{self.name} on {format_shape(image_shape_HWC)} images: {error}") from None
        return layers
