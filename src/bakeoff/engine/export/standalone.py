"""The trained network in plain PyTorch: `load(folder)` returns it, from uint8 images to class probabilities."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ARCHITECTURE: dict[str, Any] = {}
BODY_FILE = "body.torchscript.pt"

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "swish": F.silu,
    "elu": F.elu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
}


class Network(nn.Module):
    """Maps uint8 images [N, H, W, C] of the size in `preprocessing.json` to probabilities [N, classes]."""

    def __init__(self, plan: dict[str, Any], body: nn.Module | None = None) -> None:
        super().__init__()
        self.plan = plan
        resized = {
            str(n): ResizePixels(step) for n, step in enumerate(plan["steps"]) if step["type"] == "resize_pixels"
        }
        self.steps = nn.ModuleDict(resized)
        self.body = body if body is not None or not plan["body"] else make_body(plan["body"])
        self.head = make_layers(plan["layers"])

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """Return the probabilities."""
        x = self.prepare(images_NHWC)
        logits = self.compute_logits(x)
        if self.plan["mirrored"]:  # as in validation and test: averaged with the mirror image
            logits = (logits + self.compute_logits(x.flip(-1))) / 2
        if self.plan["temperature"] != 1:  # calibrated on validation images
            logits = logits / self.plan["temperature"]
        return torch.softmax(logits, dim=1)

    def prepare(self, images_NHWC: Tensor) -> Tensor:
        """Crop, resize and normalize as in the final test."""
        x = images_NHWC.permute(0, 3, 1, 2).float()
        for number, step in enumerate(self.plan["steps"]):
            x = self.steps[str(number)](x) if str(number) in self.steps else apply_step(step, x)
        return x

    def compute_logits(self, x: Tensor) -> Tensor:
        """Return logits [N, classes] of prepared images [N, C, H, W]."""
        if self.body is not None:
            x = self.body(x).flatten(1)
        return run_layers(self.head, self.plan["layers"], x)


def apply_step(step: dict[str, Any], x: Tensor) -> Tensor:
    """Prepare images [N, C, H, W] by one step."""
    kind = step["type"]
    if kind == "scale":
        return x * float(step["factor"])
    if kind == "normalize":  # three numbers repeat a grey image to three channels
        mean, sd = (x.new_tensor(step[name]).view(1, -1, 1, 1) for name in ("mean", "sd"))
        return (x - mean) / sd
    if kind == "repeat_grey":
        return x.expand(-1, 3, -1, -1)
    if kind == "crop":
        return x[:, :, step["top"] : step["top"] + step["height"], step["left"] : step["left"] + step["width"]]
    if kind == "pad":
        return F.pad(x, [step["amount"]] * 4, step["mode"])
    if step["mode"] == "nearest":
        return F.interpolate(x, step["size"], mode="nearest")
    x = F.interpolate(x, step["size"], mode=step["mode"], align_corners=False, antialias=step["antialias"])
    return x.clamp(0, 1) if step["mode"] == "bicubic" else x


class ResizePixels(nn.Module):
    """Resizes pixels 0..255 to the digit as torch does uint8 images: rows, then columns, with fixed-point weights."""

    def __init__(self, step: dict[str, Any]) -> None:
        super().__init__()
        self.bits = {}
        for axis, before, after in ((3, step["from"][1], step["size"][1]), (2, step["from"][0], step["size"][0])):
            if before == after:
                continue
            single = torch.eye(before, dtype=torch.float64)[None, :, None]  # what each pixel contributes
            spread = F.interpolate(
                single, (1, after), mode=step["mode"], align_corners=False, antialias=step["antialias"]
            )
            bits = next(n for n in range(22) if int(0.5 + float(spread.max()) * 2 ** (n + 1)) >= 2**15)
            weights = torch.trunc(spread * 2**bits + 0.5 * spread.sign())[0, :, 0].T.float()
            self.register_buffer(f"weights_{axis}", weights, persistent=False)
            self.bits[axis] = bits

    def forward(self, x: Tensor) -> Tensor:
        """Return the resized images [N, C, H, W]."""
        for axis, bits in self.bits.items():
            summed = F.linear(x.transpose(axis, 3), self.get_buffer(f"weights_{axis}"))
            x = ((summed + 2 ** (bits - 1)) / 2**bits).floor().clamp(0, 255).transpose(axis, 3)
        return x


def run_layers(modules: Any, layers: list[dict[str, Any]], x: Tensor) -> Tensor:
    """Apply layers, whose modules are named by their numbers."""
    for number, layer in enumerate(layers):
        x = run_layer(modules, str(number), layer, x)
    return x


def run_layer(modules: Any, name: str, layer: dict[str, Any], x: Tensor) -> Tensor:
    """Apply one layer and its activation; `modules` has its module by its name, if it has weights."""
    kind = layer["type"]
    if kind == "residual":
        inner = modules[name]
        shortcut = inner["shortcut_norm"](inner["shortcut"](x)) if "shortcut" in inner else x
        x = shortcut + run_layers(inner, layer["layers"], x)
    elif kind == "conv":
        x = modules[name](F.pad(x, layer["pad"]) if any(layer["pad"]) else x)
    elif kind == "dense":
        x = modules[name](x.flatten(1))
    elif kind == "batch_norm":
        x = modules[name](x)
    elif kind == "pool":
        x = pool(layer, x)
    elif kind == "global_pool":
        x = x.mean((2, 3)) if layer["kind"] == "average" else x.amax((2, 3))
    elif kind == "scale":
        x = x * layer["factor"]
    elif kind == "dropout":
        x = F.dropout(x, layer["rate"], modules.training)
    x = ACTIVATIONS[layer.get("activation", "linear")](x)
    return x


def pool(layer: dict[str, Any], x: Tensor) -> Tensor:
    """Return the maximum or the average of each window; padding counts in neither."""
    size, stride, sides = layer["size"], layer["stride"], layer["pad"]
    if layer["kind"] == "max":
        return F.max_pool2d(F.pad(x, sides, value=-torch.inf) if any(sides) else x, size, stride)
    if not any(sides):
        return F.avg_pool2d(x, size, stride)
    inside = F.pad(torch.ones_like(x[:1, :1]), sides)
    return F.avg_pool2d(F.pad(x, sides), size, stride) / F.avg_pool2d(inside, size, stride)


def make_layers(layers: list[dict[str, Any]]) -> nn.ModuleDict:
    """Return the modules of the layers that have weights, named by their numbers."""
    made: dict[str, nn.Module] = {}
    for number, layer in enumerate(layers):
        if layer["type"] == "residual":
            made[str(number)] = make_layers(layer["layers"])
            for name, part in layer["shortcut"].items():
                made[str(number)].add_module(name, make_layers([part])["0"])
        elif layer["type"] == "conv":
            made[str(number)] = nn.Conv2d(
                layer["in"], layer["out"], layer["kernel"], layer["stride"], bias=layer["bias"]
            )
        elif layer["type"] == "dense":
            made[str(number)] = nn.Linear(layer["in"], layer["out"], bias=layer["bias"])
        elif layer["type"] == "batch_norm":
            norm = nn.BatchNorm2d if layer["images"] else nn.BatchNorm1d
            made[str(number)] = norm(layer["in"], layer["epsilon"], layer["momentum"])
    return nn.ModuleDict(made)


def make_body(body: dict[str, Any]) -> nn.Module:
    """Build the network below the head, without weights; it needs the library that it is from."""
    if body["library"] == "timm":
        model: Any = importlib.import_module("timm").create_model(body["name"], pretrained=False, num_classes=0)
    elif body["library"] == "torchvision":
        models = importlib.import_module("torchvision").models
        model = getattr(models, body["name"])(weights=None, **body["settings"])
        for name, value in body["attributes"].items():
            setattr(model, name, value)
        for name, kept in body["cut"].items():  # its published head: only the first parts are kept, or an average
            part = (
                nn.AdaptiveAvgPool2d(1) if kept == "average" else getattr(model, name)[:kept] if kept else nn.Identity()
            )
            setattr(model, name, part)
    else:  # your own class: its module must be on Python's path
        model = getattr(importlib.import_module(body["library"]), body["name"])()
    return model  # type: ignore[no-any-return]


def load(folder: str | Path = Path(__file__).parent, *, trainable: bool = False) -> Network:
    """Return the network with its weights, for prediction.

    A body of timm or torchvision comes as a program that needs torch alone; if `trainable`, it is built by its library.
    """
    from safetensors.torch import load_file

    program = Path(folder) / BODY_FILE
    body = torch.jit.load(str(program)) if program.is_file() and not trainable else None  # type: ignore[no-untyped-call]
    network = Network(ARCHITECTURE, body)
    state = name_weights(load_file(Path(folder) / "model.safetensors"), network.plan)
    if body is None:
        network.load_state_dict(state)
    else:  # which has its weights
        network.head.load_state_dict({n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.")})
    return network.eval()


def name_weights(saved: dict[str, Tensor], plan: dict[str, Any]) -> dict[str, Tensor]:
    """Return the file's weights under this network's names."""
    state = dict(saved) if plan["body"] else {f"head.{name}": tensor for name, tensor in saved.items()}
    for name in [name for name in state if name.startswith("head.")]:
        path, _, what = name.rpartition(".")
        if what == "mean":
            state[f"{path}.running_mean"] = state.pop(name)
            state[f"{path}.num_batches_tracked"] = torch.tensor(0)
            state.setdefault(f"{path}.weight", torch.ones_like(state[f"{path}.running_mean"]))
        elif what in ("variance", "filters"):
            state[f"{path}.{'running_var' if what == 'variance' else 'weight'}"] = state.pop(name)
    for name, factor in plan["factors"].items():
        state[name] = state[name] * factor
    return state | {alias: state[name] for alias, name in plan["tied"].items()}
