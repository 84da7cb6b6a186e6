"""An exported network predicts as the trained one, whatever it is made of, and for any number of images."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.model_record import ModelRecord
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import all_layers
from bakeoff.engine.export import standalone
from bakeoff.engine.export.formats import FORMATS, Whole, silence_torch, write_format
from bakeoff.engine.export.lower import ExportError, lower
from bakeoff.engine.fused.build import State, initialize
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import build_body
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.engine.model import Model
from bakeoff.workspace import Folders

IMAGENET = {"name": "normalize", "mean": "imagenet"}
NUMBERS = {"name": "normalize", "mean": [0.5, 0.4, 0.3], "sd": [0.2, 0.3, 0.25]}

PLAIN: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "layers": ({"network": {"name": "cnn", "filters": [4], "units": [5], "dropout": 0.3}}, (9, 10, 3)),
    "grey": ({"network": "lenet", "augmentation": [IMAGENET]}, (28, 28, 1)),
    "residual": ({"network": {"name": "resnet", "blocks": [1, 1], "filters": [4, 8]}}, (9, 9, 3)),
    "mirrored": ({"network": {"name": "cnn", "filters": [4]}, "evaluate": "mirrored"}, (8, 8, 3)),
    "overlapping pools": ({"network": "alexnet"}, (32, 32, 1)),
    "cropped": (
        {"network": "mlp", "augmentation": [{"name": "random_crop", "size": 8, "padding": 1, "fill": "edge"}, NUMBERS]},
        (7, 9, 3),
    ),
    "padded": (
        {
            "network": "mlp",
            "augmentation": [
                {"name": "center_crop", "size": [6, 7]},
                {"name": "pad", "amount": 2, "fill": "reflect"},
                {"name": "horizontal_flip"},
                NUMBERS,
            ],
        },
        (9, 8, 3),
    ),
    "resized": (
        {"network": "mlp", "augmentation": [{"name": "resize", "size": [6, 12], "interpolation": "bicubic"}, NUMBERS]},
        (9, 8, 3),
    ),
    "resized late": ({"network": "mlp", "augmentation": [NUMBERS, {"name": "resize", "size": 6}]}, (9, 8, 3)),
    "nearest": (
        {"network": "mlp", "augmentation": [{"name": "resize", "size": [5, 11], "interpolation": "nearest"}]},
        (9, 8, 1),
    ),
    "every layer": (
        {
            "network": {
                "layers": [
                    {"type": "whiten", "kernel": 2, "activation": "gelu"},
                    {"type": "conv", "filters": 4, "kernel": 3, "stride": 2, "padding": "same", "bias": False},
                    {"type": "batch_norm", "scale": False, "shift_rate": 64.0, "activation": "swish"},
                    {"type": "pool", "kind": "average", "size": 3, "stride": 2, "padding": "same"},
                    {"type": "residual", "layers": [{"type": "conv", "filters": 6, "kernel": 1}, "batch_norm"]},
                    {"type": "pool", "kind": "max", "size": 2, "stride": 1, "padding": "same"},
                    {"type": "global_pool", "kind": "max"},
                    {"type": "dense", "units": 7, "activation": "leaky_relu"},
                    {"type": "batch_norm", "activation": "elu"},
                    {"type": "scale", "factor": 0.5},
                ]
            }
        },
        (13, 12, 3),
    ),
}

BODIES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "torchvision:resnet18": ({"network": "torchvision:resnet18", "augmentation": [IMAGENET]}, (20, 28, 1)),
    "timm:test_resnet": ({"network": "timm:test_resnet", "augmentation": [NUMBERS]}, (33, 40, 3)),
}


def _make_model(recipe: dict[str, Any], shape_HWC: tuple[int, int, int]) -> tuple[Whole, Model, State]:
    """Return a network with random weights and running averages, as lowered and as trained."""
    record = ModelRecord(
        trial_id="ab12",
        recipe=Recipe.model_validate(recipe),
        class_names=("a", "b", "c"),
        shape_HWC=shape_HWC,
        numeric="float32",
        seed=1,
        engine_version=3,
    )
    network, inputs = record.recipe.network, trace_augmentation(record.recipe.augmentation, shape_HWC)
    layers = all_layers(record.recipe, shape_HWC, 3)
    if network.has_module:
        height, width, channels = inputs
        state = first_state(build_body(network, (height, width, channels), 1), layers, record.recipe.initializer, 1)
    else:
        height, width, channels = inputs
        state = initialize(layers, (height, width, channels), record.recipe.initializer, 1)
    generator = torch.Generator().manual_seed(2)
    for name, value in state.items():
        if name.endswith(("mean", "running_mean", "bias")):
            state[name] = 0.1 * torch.randn(value.shape, generator=generator)
        elif name.endswith(("variance", "running_var")):
            state[name] = 0.5 + torch.rand(value.shape, generator=generator)
    state = {name: value.contiguous() for name, value in state.items()}
    return Whole.build(record, state, lower(record)), Model(record, state, Folders(Path("nowhere"))), state


def _make_pixels(shape_HWC: tuple[int, int, int], number: int = 5) -> Any:
    return np.random.default_rng(3).integers(0, 256, (number, *shape_HWC), dtype=np.uint8)


def _check(name: str, case: tuple[dict[str, Any], tuple[int, int, int]], folder: Path) -> None:
    whole, model, state = _make_model(*case)
    save_file(state, folder / "model.safetensors")
    run = write_format(whole, name, folder)
    for number in (5, 1):
        pixels = _make_pixels(case[1], number)
        with silence_torch():
            np.testing.assert_allclose(run(pixels), model.predict(pixels), atol=2e-6)


@pytest.mark.parametrize("case", {**PLAIN, **BODIES})
def test_plain_pytorch(case: str, tmp_path: Path) -> None:
    _check("torch", {**PLAIN, **BODIES}[case], tmp_path)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("torchscript", "every layer"),
        ("torchscript", "resized"),
        ("torchscript", "mirrored"),
        ("torch.export", "padded"),
    ],
)
def test_compiled_formats(name: str, case: str, tmp_path: Path) -> None:
    _check(name, PLAIN[case], tmp_path)


@pytest.mark.parametrize("case", ["every layer", "resized"])
def test_onnx(case: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    _check("onnx", {**PLAIN, **BODIES}[case], tmp_path)
    assert [path.name for path in tmp_path.glob("model.onnx*")] == ["model.onnx"]


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_state_dicts_are_the_librarys_own(library: str, tmp_path: Path) -> None:
    case = next(case for name, case in BODIES.items() if name.startswith(library))
    _check(library, case, tmp_path)
    state = load_file(tmp_path / f"{library}.safetensors")
    if library == "timm":
        model = import_timm().create_model("test_resnet", num_classes=3)
    else:
        model = import_torchvision().models.resnet18(num_classes=3)
    assert str(model.load_state_dict(state)) == "<All keys matched successfully>"


@pytest.mark.parametrize(
    ("library", "recipe", "message"),
    [
        ("timm", {"network": "lenet"}, "lenet is not a network of timm"),
        ("torchvision", {"network": "timm:test_resnet"}, "timm:test_resnet is not a network of torchvision"),
        ("torchvision", {"network": {"name": "torchvision:resnet18", "units": [4]}}, "a head of 2 dense layers"),
        ("torchvision", {"network": "torchvision:alexnet"}, "another kind of head"),
    ],
)
def test_what_a_library_cannot_hold_is_refused(library: str, recipe: Any, message: str, tmp_path: Path) -> None:
    whole, _, _ = _make_model(recipe, (32, 32, 3))
    with pytest.raises(ExportError, match=message):
        write_format(whole, library, tmp_path)


def test_a_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    code += "        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2))\n"
    (tmp_path / "own_exported.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    case = ({"network": {"name": "own_exported:Net", "units": [4]}}, (9, 9, 3))
    _check("torch", case, tmp_path)
    _check("torchscript", case, tmp_path)


@pytest.mark.parametrize("case", ["every layer", "timm:test_resnet"])
def test_model_py_needs_torch_alone(case: str, tmp_path: Path) -> None:
    whole, _, state = _make_model(*{**PLAIN, **BODIES}[case])
    save_file(state, tmp_path / "model.safetensors")
    write_format(whole, "torch", tmp_path)
    code = f"import sys, model, torch; model.load()(torch.zeros(2, *{whole.record.shape_HWC}, dtype=torch.uint8)); "
    code += "print([name for name in ('bakeoff', 'torchvision', 'timm', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_a_body_can_be_built_by_its_library(tmp_path: Path) -> None:
    whole, _, state = _make_model(*BODIES["timm:test_resnet"])
    save_file(state, tmp_path / "model.safetensors")
    write_format(whole, "torch", tmp_path)
    spec = importlib.util.spec_from_file_location("exported_body", tmp_path / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = torch.from_numpy(_make_pixels(whole.record.shape_HWC))
    with silence_torch():
        alone, built = module.load(tmp_path), module.load(tmp_path, trainable=True)
    assert type(built.body).__module__.startswith("timm.")
    assert not type(alone.body).__module__.startswith("timm.")
    with torch.no_grad():
        torch.testing.assert_close(alone(images), built(images), atol=2e-6, rtol=0)
    (tmp_path / "body.torchscript.pt").unlink()
    assert type(module.load(tmp_path).body).__module__.startswith("timm.")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(16, 9), (5, 37), (40, 40)])
def test_pixels_are_resized_to_the_digit(mode: str, antialias: bool, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        pixels_NHWC = torch.randint(0, 256, (3, 12, 18, channels), generator=generator, dtype=torch.uint8)
        images = pixels_NHWC.permute(0, 3, 1, 2)
        expected = F.interpolate(images, size, mode=mode, align_corners=False, antialias=antialias)
        step = {"from": [12, 18], "size": list(size), "mode": mode, "antialias": antialias}
        assert torch.equal(standalone.ResizePixels(step)(images.float()), expected.float())


def test_every_format_is_listed_once() -> None:
    from bakeoff.deploy.export.export import FORMATS as NAMES

    assert tuple(FORMATS) == NAMES
    assert importlib.util.find_spec(standalone.__name__) is not None
