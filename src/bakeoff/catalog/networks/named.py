"""The registry of networks that a study can name, and their expansion to layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Discriminator, Tag

from bakeoff.catalog.choices import Lazily, RegistryEntry, expand_name, list_bare, make_literal, unite
from bakeoff.catalog.networks.classic import CNN, MLP, Layers, LeNet, ModNet1, ModNet2
from bakeoff.catalog.networks.deep import VGG11, VGG16, AlexNet, ResNet
from bakeoff.catalog.networks.layers import AnyLayer
from bakeoff.catalog.networks.outside import OUTSIDE_NAMES, OutsideName, OutsideNetwork, check_outside_name, is_outside
from bakeoff.catalog.networks.settings import LayerNetwork, NetworkSettings
from bakeoff.catalog.networks.shapes import Shape
from bakeoff.errors import NetworkFitError
from bakeoff.registry import Registry

__all__ = [
    "CNN",
    "MLP",
    "NETWORKS",
    "VGG11",
    "VGG16",
    "AlexNet",
    "AnyNetwork",
    "LayerNetwork",
    "Layers",
    "LeNet",
    "ModNet1",
    "ModNet2",
    "NetworkChoice",
    "NetworkRecord",
    "OutsideNetwork",
    "ResNet",
    "expand",
    "list_network_names",
]

AnyNetwork: TypeAlias = NetworkSettings
"""The settings of any network that a study can name."""


@dataclass(frozen=True)
class NetworkRecord(RegistryEntry[NetworkSettings]):
    """One network that a study can name; networks of other libraries are in `outside.OUTSIDE`."""


_VGG_SOURCE = "Simonyan and Zisserman (2015), Very deep convolutional networks for large-scale image recognition"

_OURS: tuple[NetworkRecord, ...] = (
    NetworkRecord(
        "lenet",
        "two 5x5 convolutions with average pooling, tanh",
        "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition",
        LeNet,
    ),
    NetworkRecord("modnet1", "three 3x3 convolutions with max pooling, ReLU, dropout", "weight-init study", ModNet1),
    NetworkRecord("modnet2", "four 3x3 convolutions in two pairs, ReLU, dropout", "weight-init study", ModNet2),
    NetworkRecord("mlp", "dense layers only", "Rumelhart, Hinton and Williams (1986)", MLP),
    NetworkRecord("cnn", "any number of convolutions with max pooling", "common practice", CNN),
    NetworkRecord(
        "alexnet",
        "five convolutions with overlapping max pooling, two dense layers with dropout; for small images",
        "Krizhevsky, Sutskever and Hinton (2012), ImageNet classification with deep convolutional neural networks",
        AlexNet,
    ),
    NetworkRecord("vgg11", "eight 3x3 convolutions in five stages; for small images", _VGG_SOURCE, VGG11),
    NetworkRecord("vgg16", "thirteen 3x3 convolutions in five stages; for small images", _VGG_SOURCE, VGG16),
    NetworkRecord(
        "resnet",
        "residual blocks with batch normalization, 20 layers by default; for small images",
        "He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, section 4.2",
        ResNet,
    ),
    NetworkRecord("layers", "defined layer by layer in the study", "the study file", Layers),
)

NETWORKS: Registry[NetworkRecord] = Registry("network", _OURS, "bakeoff.networks")


def list_network_names() -> tuple[str, ...]:
    """Return all names of networks, those of other libraries last."""
    return (*NETWORKS.names, *OUTSIDE_NAMES)


def _find_tag(value: object) -> str | None:
    """Return the tag of the union's member for a value; its name has been checked before."""
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    return "outside" if is_outside(name) else name if isinstance(name, str) else None


def _list_settings() -> tuple[type[NetworkSettings], ...]:
    return (*(record.settings for record in NETWORKS), OutsideNetwork)


def _expand_network(value: object) -> object:
    if isinstance(value, Mapping) and "name" not in value and "layers" in value:
        return {"name": "layers", **value}
    name = value.get("name") if isinstance(value, Mapping) else value
    if is_outside(name):
        check_outside_name(name)
        return value if isinstance(value, Mapping) else {"name": name}
    return expand_name(value, kind="network", allowed=list_network_names())


def _make_choice() -> Any:
    tags = (*NETWORKS.names, "outside")
    members = [Annotated[each, Tag(tag)] for each, tag in zip(_list_settings(), tags, strict=True)]
    tagged: Any = Annotated[unite(members), Discriminator(_find_tag)]
    input_type: Any = make_literal(list_bare(NETWORKS)) | OutsideName | tagged
    return Annotated[tagged, BeforeValidator(_expand_network, json_schema_input_type=input_type)]


NetworkChoice: TypeAlias = Annotated[AnyNetwork, Lazily(_make_choice, _list_settings)]
"""A network in a recipe: a bare name, a mapping of a name and settings, `{layers: [...]}`, or one of the records."""


def expand(network: AnyNetwork, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Expand a network for these images and classes.

    Args:
        network: a network's settings.
        image_shape_HWC: height, width, channels of the images.
        num_classes: number of outputs of the last layer.

    Returns:
        Every layer, ending in a linear dense layer of `num_classes` units. They fit the images.

    Raises:
        NetworkError: a layer does not fit its input, or the network is not made of layer records.
    """
    if network.has_module:
        raise NetworkFitError(f"{network.name} is a module of another library and cannot be expanded to layers")
    return network.list_layers(image_shape_HWC, num_classes)
