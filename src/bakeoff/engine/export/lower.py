"""Lowers a model's record to the plain description that `standalone.py` builds: concrete sizes, paddings, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from bakeoff.catalog.augmentation.records import AUGMENTATIONS, AnyAugmentation, trace_augmentation
from bakeoff.catalog.augmentation.steps import CenterCrop, Normalize, Pad, RandomCrop, Resize
from bakeoff.catalog.model_record import ModelRecord
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Residual, Scale
from bakeoff.catalog.networks.outside import TIMM, TORCHVISION
from bakeoff.catalog.networks.pretrained import IMAGENET_MEAN, IMAGENET_SD
from bakeoff.catalog.networks.shapes import LayerShape, pad_same, trace
from bakeoff.catalog.shape import all_layers
from bakeoff.engine.fused.modules import Body, build_body
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.errors import BakeoffError

Plan = dict[str, Any]
"""Plain values, as a literal in the exported `model.py`."""

_PAD_MODES = {"zero": "constant", "edge": "replicate", "reflect": "reflect"}


class ExportError(BakeoffError, code="BK802"):
    """A model cannot be exported in a format; names what is in the way."""


def lower(record: ModelRecord, temperature: float = 1.0) -> Plan:
    """Return all that prediction needs besides weights.

    Args:
        record: the model; `normalize` has numbers.
        temperature: what logits are divided by before the softmax.

    Raises:
        ExportError: a step of another package prepares the images with code of its own.
        NetworkError: an outside network cannot be built.
    """
    recipe = record.recipe
    shape_HWC = trace_augmentation(recipe.augmentation, record.shape_HWC)
    layers = all_layers(recipe, record.shape_HWC, len(record.class_names))
    body = build_body(recipe.network, _as_image(shape_HWC)) if recipe.network.has_module else None
    traced = trace(layers, shape_HWC if body is None else (1, 1, body.num_features))
    return {
        "steps": _lower_steps(recipe.augmentation, record.shape_HWC, body),
        "body": None if body is None else _lower_body(recipe.network.name, body),
        "layers": [_lower_layer(each) for each in traced],
        "mirrored": recipe.evaluate == "mirrored",
        "temperature": temperature,
        "factors": {f"head.{path}.bias": factor for path, factor in _list_factors(layers)},
        "tied": {} if body is None else {f"body.{alias}": f"body.{name}" for alias, name in body.tied().items()},
    }


def _as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    height, width, channels = shape
    return height, width, channels


def _lower_steps(choices: Sequence[AnyAugmentation], shape_HWC: tuple[int, ...], body: Body | None) -> list[Plan]:
    """Return the steps from uint8 pixels to the network's input; values are 0..255 until the step `scale`."""
    steps: list[Plan] = []
    is_scaled, repeats = False, body is not None and body.repeat_grey
    for choice in choices:
        if isinstance(choice, Normalize) and not is_scaled:
            steps.append({"type": "scale", "factor": 1 / 255})
            is_scaled = True
        steps += _lower_step(choice, shape_HWC, is_scaled, repeats)
        shape_HWC = choice.resulting_shape(shape_HWC)
    steps += [] if is_scaled else [{"type": "scale", "factor": 1 / 255}]
    if body is None:
        return steps
    height, width, channels = shape_HWC
    if body.repeat_grey and channels == 1 and not any(len(step.get("mean", ())) == 3 for step in steps):
        steps.append({"type": "repeat_grey"})
    size = list(body.find_size(height, width))
    return steps + ([] if size == [height, width] else [_make_resize(size, "bilinear")])


def _lower_step(choice: AnyAugmentation, shape_HWC: tuple[int, ...], is_scaled: bool, repeats: bool) -> list[Plan]:
    height, width = shape_HWC[:2]
    if isinstance(choice, Normalize):
        return [_lower_normalize(choice, shape_HWC[2], repeats)]
    if isinstance(choice, Pad):
        return _lower_pad(choice.amount, choice.fill)
    if isinstance(choice, CenterCrop):
        return [_make_crop(shape_HWC, choice.size)]
    if isinstance(choice, RandomCrop):
        if choice.size[0] <= height and choice.size[1] <= width:
            return [_make_crop(shape_HWC, choice.size)]
        sides = (height + 2 * choice.padding, width + 2 * choice.padding)
        return [*_lower_pad(choice.padding, choice.fill), _make_crop(sides, choice.size)]
    if isinstance(choice, Resize):
        if choice.size == (height, width):
            return []
        resized = _make_resize(list(choice.size), choice.interpolation, choice.antialias)
        if choice.interpolation == "nearest" or is_scaled:
            return [resized]
        return [{**resized, "type": "resize_pixels", "from": [height, width]}]
    if AUGMENTATIONS.find(choice.name).evaluate:
        raise ExportError(f"augmentation {choice.name} prepares images with code of its own: it cannot be exported.")
    return []


def _lower_normalize(choice: Normalize, channels: int, repeats: bool) -> Plan:
    if choice.mean == "imagenet":
        mean, sd = list(IMAGENET_MEAN), list(IMAGENET_SD)
        if channels == 1 and not repeats:
            mean, sd = [sum(mean) / 3], [sum(sd) / 3]
        return {"type": "normalize", "mean": mean, "sd": sd}
    if isinstance(choice.mean, str) or isinstance(choice.sd, str):
        raise ExportError(f"normalize: the record lacks the numbers of {choice.mean}.")
    return {"type": "normalize", "mean": list(choice.mean), "sd": list(choice.sd)}


def _lower_pad(amount: int, fill: str) -> list[Plan]:
    return [{"type": "pad", "amount": amount, "mode": _PAD_MODES[fill]}] if amount else []


def _make_crop(shape: Sequence[int], size: tuple[int, int]) -> Plan:
    top, left = ((shape[axis] - size[axis]) // 2 for axis in (0, 1))
    return {"type": "crop", "top": top, "left": left, "height": size[0], "width": size[1]}


def _make_resize(size: list[int], mode: str, antialias: bool = True) -> Plan:
    return {"type": "resize", "size": size, "mode": mode, "antialias": antialias}


def _lower_layer(shape: LayerShape) -> Plan:
    layer, width = shape.layer, shape.input_shape[-1]
    if isinstance(layer, Residual):
        shortcut = zip(("shortcut", "shortcut_norm"), shape.shortcut, strict=False)
        return {
            "type": "residual",
            "layers": [_lower_layer(each) for each in shape.inner],
            "shortcut": {name: _lower_layer(each) for name, each in shortcut},
            "activation": layer.activation,
        }
    if isinstance(layer, Conv):
        kept = {"bias": layer.bias, "pad": _find_pad(shape, layer.kernel, layer.stride, layer.padding)}
        sizes = {"in": width, "out": layer.filters, "kernel": layer.kernel, "stride": layer.stride}
        return {"type": "conv", **sizes, **kept, "activation": layer.activation}
    if isinstance(layer, Dense):
        num_inputs = 1
        for size in shape.input_shape:
            num_inputs *= size
        sizes = {"in": num_inputs, "out": layer.units}
        return {"type": "dense", **sizes, "bias": layer.bias, "activation": layer.activation}
    if isinstance(layer, BatchNorm):
        kept = {"epsilon": layer.epsilon, "momentum": layer.momentum, "images": len(shape.input_shape) == 3}
        return {"type": "batch_norm", "in": width, **kept, "activation": layer.activation}
    if isinstance(layer, Pool):
        stride = layer.stride or layer.size
        pad = _find_pad(shape, layer.size, stride, layer.padding)
        return {"type": "pool", "kind": layer.kind, "size": layer.size, "stride": stride, "pad": pad}
    if isinstance(layer, GlobalPool | Scale | Dropout):
        return layer.model_dump()
    sizes = {"in": width, "out": shape.output_shape[-1], "kernel": layer.kernel, "stride": 1}
    return {"type": "conv", **sizes, "bias": True, "pad": [0] * 4, "activation": layer.activation}  # whitening


def _find_pad(shape: LayerShape, kernel: int, stride: int, padding: str) -> list[int]:
    """Return zeros to the left, right, top, bottom."""
    if padding == "valid":
        return [0, 0, 0, 0]
    rows, columns = (pad_same(size, kernel, stride) for size in shape.input_shape[:2])
    return [*columns, *rows]


def _list_factors(layers: Sequence[AnyLayer], prefix: str = "") -> list[tuple[str, float]]:
    """Return the factors of batch norms' shifts, which are stored divided by them, by the layers' paths."""
    found: list[tuple[str, float]] = []
    for number, layer in enumerate(layers):
        if isinstance(layer, Residual):
            found += _list_factors(layer.layers, f"{prefix}{number}.")
        elif isinstance(layer, BatchNorm) and layer.shift_rate != 1.0:
            found.append((f"{prefix}{number}", layer.shift_rate**0.5))
    return found


def _lower_body(name: str, body: Body) -> Plan:
    if name.startswith(TIMM):
        return {"library": "timm", "name": name.removeprefix(TIMM)}
    if not name.startswith(TORCHVISION):
        module, _, class_name = name.partition(":")
        return {"library": module, "name": class_name}
    return _describe_cut(name.removeprefix(TORCHVISION), body.network)


def _describe_cut(name: str, network: nn.Module) -> Plan:
    """Return how a torchvision network differs from the published one: what was cut off its end."""
    has_input = hasattr(network, "transform_input")
    settings = {"aux_logits": False, "init_weights": False} if has_input else {}
    published = getattr(import_torchvision().models, name)(weights=None, **settings)
    cut: dict[str, int | str] = {}
    for part, module in network.named_children():
        before = getattr(published, part)
        if repr(before) == repr(module):
            continue
        if isinstance(module, nn.AdaptiveAvgPool2d):
            cut[part] = "average"
        else:
            cut[part] = 0 if isinstance(module, nn.Identity) else len(list(module.children()))
    attributes = {"transform_input": bool(network.transform_input)} if has_input else {}
    return {"library": "torchvision", "name": name, "settings": settings, "attributes": attributes, "cut": cut}
