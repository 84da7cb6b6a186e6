"""Bodies: torchvision, timm and user networks without their heads, from images to feature vectors.

Shape legend: N images, C channels, H and W pixels, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bakeoff.catalog.networks.outside import TIMM, TORCHVISION, find_outside
from bakeoff.catalog.networks.settings import NetworkSettings
from bakeoff.catalog.networks.shapes import format_shape
from bakeoff.catalog.networks.user_code import load_class
from bakeoff.engine.fused.build import State
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.errors import NetworkError, NetworkFitError, UnknownNetworkError, UserCodeError, nearest
from bakeoff.registry import bind

_BODY_STREAM = 1_000_008
"""Separates a body's initial weights from every other random stream of a replicate."""

Shape = tuple[int, int, int]


class Body(nn.Module):
    """A network without its head.

    Args:
        network: the module that maps images to features; its output is flattened.
        num_features: length of the feature vector.
        least_size: smaller images are enlarged to this side, in pixels, preserving the aspect ratio.
        exact_size: the only height and width it accepts; images are resized to it.
        repeat_grey: whether grayscale images are repeated to three channels.
        unknown: whether its code is the user's, so that its modules do not reveal what it does.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        num_features: int = 0,
        least_size: int = 1,
        exact_size: tuple[int, int] | None = None,
        repeat_grey: bool = True,
        unknown: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.unknown = network, unknown
        self.num_features = num_features
        self.least_size, self.exact_size, self.repeat_grey = least_size, exact_size, repeat_grey

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_NF.

        A batch of one image has no statistics for batch norm: it is processed as in evaluation.
        """
        if self.training and len(images_NCHW) == 1:
            self.eval()
        features: Tensor = self.network(self._adapt(images_NCHW))
        return features.flatten(1)

    def _adapt(self, images_NCHW: Tensor) -> Tensor:
        if self.repeat_grey and images_NCHW.shape[1] == 1:
            images_NCHW = images_NCHW.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        size = self.find_size(images_NCHW.shape[-2], images_NCHW.shape[-1])
        if size == tuple(images_NCHW.shape[-2:]):
            return images_NCHW
        resized = F.interpolate(images_NCHW.float(), size, mode="bilinear", antialias=True)
        return resized.to(images_NCHW.dtype)

    def find_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which images of this size are resized, in pixels."""
        return self.exact_size or _enlarge(height, width, self.least_size)

    @property
    def draws(self) -> bool:
        """Whether the network may draw random numbers in training, as dropout does, judging by module names."""
        names = [type(module).__name__.lower() for module in self.network.modules()]
        return self.unknown or any("drop" in name or "stochastic" in name for name in names)

    def state(self) -> State:
        """Return parameters and buffers by their names in the network's `state_dict`, not copied.

        Shared tensors appear once, under their first name; see `tied`.
        """
        return self._name_tensors()[0]

    def tied(self) -> dict[str, str]:
        """Return the other names of shared tensors, each with its name in `state`."""
        return self._name_tensors()[1]

    def _name_tensors(self) -> tuple[State, dict[str, str]]:
        first_names: dict[int, str] = {}
        state, tied = {}, {}
        for name, value in self.network.state_dict(keep_vars=True).items():
            first = first_names.setdefault(id(value), name)
            if first == name:
                state[name] = value
            else:
                tied[name] = first
        return state, tied


def _enlarge(height: int, width: int, least: int) -> tuple[int, int]:
    """Return the size whose smaller side is at least `least`, with the same aspect ratio."""
    smaller = min(height, width)
    if smaller >= least:
        return height, width
    return max(round(height * least / smaller), least), max(round(width * least / smaller), least)


def build_body(network: NetworkSettings, image_shape_HWC: Shape, seed: int = 0) -> Body:
    """Build a network's body with its own default initialization.

    Args:
        network: the network.
        image_shape_HWC: height, width, channels of its input images.
        seed: the replicate's seed, which determines the weights; >= 0.

    Raises:
        NetworkError: there is no such network, or it does not accept these images.
        BakeoffError: torchvision or timm is missing.
    """
    words = np.random.SeedSequence([seed, _BODY_STREAM]).generate_state(1, np.uint64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words[0] >> np.uint64(1)))
        body: Body = bind(network.find_builder())(network)
        _measure(network, body, image_shape_HWC)
    return body


def _cut(part: str, num_kept: int = 0) -> Callable[[Any], None]:
    """Return what removes a model's last part, except its first layers: all that come before the last linear layer."""

    def cut(model: Any) -> None:
        setattr(model, part, getattr(model, part)[:num_kept] if num_kept else nn.Identity())

    return cut


def _average(part: str) -> Callable[[Any], None]:
    """Return what replaces a model's last parts by an average over the image, so that any image size fits."""

    def cut(model: Any) -> None:
        setattr(model, part, nn.AdaptiveAvgPool2d(1))
        if part != "classifier":
            model.classifier = nn.Identity()

    return cut


def _cut_normalized(model: Any) -> None:
    # As its published weights expect: images normalised as for the other networks, converted to -1..1 inside.
    model.transform_input = True
    model.fc = nn.Identity()


_NO_AUXILIARY: dict[str, object] = {"aux_logits": False, "init_weights": True}

_CUTS: tuple[tuple[tuple[str, ...], Callable[[Any], None], dict[str, object]], ...] = (
    (("resnet", "resnext", "wide_resnet", "regnet", "shufflenet"), _cut("fc"), {}),
    (("googlenet", "inception"), _cut_normalized, _NO_AUXILIARY),
    (("vgg", "alexnet"), _average("avgpool"), {}),
    (("squeezenet",), _average("classifier"), {}),
    (("densenet", "efficientnet", "mobilenet_v2", "mnasnet"), _cut("classifier"), {}),
    (("mobilenet_v3", "convnext"), _cut("classifier", 2), {}),
    (("maxvit",), _cut("classifier", 5), {}),
    (("swin",), _cut("head"), {}),
    (("vit",), _cut("heads"), {}),
)
"""Prefixes of torchvision's names, what removes such a network's head, and the settings it is built with."""


def build_torchvision(network: NetworkSettings) -> Body:
    """Build a body from torchvision."""
    record = find_outside(network.name)
    name = network.name.removeprefix(TORCHVISION)
    cut, settings = next((cut, settings) for prefixes, cut, settings in _CUTS if name.startswith(prefixes))
    model = getattr(import_torchvision().models, name)(weights=None, **settings)
    cut(model)
    return Body(
        model, num_features=record.num_features or 0, least_size=record.least_size, exact_size=record.exact_size
    )


def build_timm(network: NetworkSettings) -> Body:
    """Build a body from timm."""
    timm = import_timm()
    name = network.name.removeprefix(TIMM)
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        hint = nearest(name.partition(".")[0], timm.list_models())
        raise UnknownNetworkError(f"timm cannot make {name}: {error}.{hint}") from error
    config = model.pretrained_cfg
    exact = tuple(config["input_size"][1:]) if config.get("fixed_input_size") else None
    return Body(model, least_size=find_outside(network.name).least_size, exact_size=exact)


def build_user(network: NetworkSettings) -> Body:
    """Build a body from a user's class."""
    try:
        model = load_class(network.name)()
    except NetworkError:
        raise
    except Exception as error:  # any exception of the user's code becomes a one-line error
        raise UserCodeError(f"{network.name}: calling it without arguments failed: {_say(error)}.") from error
    if not isinstance(model, nn.Module):
        raise UserCodeError(f"{network.name} is not a torch module: derive the class from torch.nn.Module.")
    return Body(model, repeat_grey=False, unknown=True)


def _measure(network: NetworkSettings, body: Body, image_shape_HWC: Shape) -> None:
    """Determine an unknown number of features by a forward pass of two black images."""
    height, width, channels = image_shape_HWC
    if body.repeat_grey and channels not in (1, 3):
        raise NetworkFitError(f"{network.name} accepts grey or colour images, not {channels} channels.")
    if body.num_features:
        return
    images_NCHW = torch.zeros(2, channels, height, width)
    failure = _try(body, images_NCHW)
    if failure is not None and channels == 1 and not body.repeat_grey:
        # A user network written for colour images.
        body.repeat_grey = True
        failure = _try(body, images_NCHW) and failure
    if failure is not None:
        raise NetworkFitError(f"{network.name} does not accept {format_shape(image_shape_HWC)} images: {failure}.")


@torch.no_grad()
def _try(body: Body, images_NCHW: Tensor) -> str | None:
    """Set the number of features; return the reason if that is impossible, else None."""
    body.eval()
    try:
        features = body.network(body._adapt(images_NCHW))
    except Exception as error:  # any exception of the user's code becomes a one-line error
        return _say(error)
    finally:
        body.train()
    if not isinstance(features, Tensor) or not features.is_floating_point():
        return f"it returns {type(features).__name__}, not a tensor of numbers"
    if features.dim() < 2 or len(features) != len(images_NCHW) or not features[0].numel():
        return (
            f"for two images it returns {format_shape(tuple(features.shape)) or 'one number'}, not one vector per image"
        )
    body.num_features = features[0].numel()
    return None


def _say(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300].rstrip(".")
