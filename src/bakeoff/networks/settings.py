"""What the settings of every network say of it without building it. No torch.

A network is a body under a head, which gives one output a class. Of most networks both are layer records; of some the
body is a torch module, which only a worker can build, and the head alone is made of layers.
"""

from __future__ import annotations

from typing import ClassVar

from bakeoff.errors import NetworkError
from bakeoff.networks.choices import Record
from bakeoff.networks.layers import AnyLayer, Dense
from bakeoff.networks.shapes import Shape, format_shape, trace
from bakeoff.registry import Implementation


class NetworkSettings(Record):
    """The settings of a network.

    Attributes:
        has_module: whether its body is a torch module, not layers.
    """

    has_module: ClassVar[bool] = False

    name: str

    def list_layers(self, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return every layer that is a record: the whole network, or the head above a module.

        Args:
            image_shape_HWC: height, width, channels of the images as the network gets them.
            num_classes: how many classes the last layer tells apart.

        Raises:
            NetworkError: a layer does not fit what reaches it.
        """
        raise NotImplementedError

    def find_builder(self) -> Implementation:
        """Return what builds the `modules.Body` of a network that has a module, given these settings."""
        raise NotImplementedError

    def name_module(self) -> str:
        """Return what identifies a body that is a module, whatever the head; empty where there is none."""
        return ""

    def count_module_operations(self, image_shape_HWC: Shape) -> int | None:
        """Return about how many multiply-adds a body that is a module takes for an image; None where unknown."""
        return 0

    def find_module_features(self) -> int | None:
        """Return the length of the feature vector that such a body makes; None where only building it tells."""
        return None


class LayerNetwork(NetworkSettings):
    """A network made of layer records alone: cohorts of them are trained fused."""

    def expand(self, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return all layers but the last, which has one output a class."""
        raise NotImplementedError

    def list_layers(self, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
        """Return every layer, ending in a linear dense layer of `num_classes` units. They fit the images."""
        try:
            layers = (*self.expand(num_classes), Dense(units=num_classes))
            trace(layers, image_shape_HWC)
        except NetworkError as error:
            raise NetworkError(f"{self.name} on {format_shape(image_shape_HWC)} images: {error}") from None
        return layers
