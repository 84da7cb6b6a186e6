"""Writes a model in a format, and runs what was written: only a file that predicts as the trial did counts.

Shape legend: N images, H and W pixels, C channels, L classes.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bakeoff.catalog.model_record import ModelRecord
from bakeoff.catalog.networks.layers import Dropout
from bakeoff.catalog.networks.outside import TIMM, TORCHVISION
from bakeoff.catalog.shape import all_layers
from bakeoff.engine.export import standalone
from bakeoff.engine.export.lower import ExportError, Plan
from bakeoff.engine.fused.build import State
from bakeoff.engine.fused.vision import import_timm, import_torchvision
from bakeoff.errors import BakeoffError, MissingPackageError
from bakeoff.extras import how_to_install

Pixels = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]
Run = Callable[[Pixels], Probabilities]
"""Maps images [N, H, W, C] to class probabilities [N, L]."""

MOST_DIFFERENCE = 1e-3
"""A file whose probabilities differ by more from the trial's is refused."""


@dataclass(frozen=True)
class Whole:
    """A whole model in memory: its record, weights, lowered description, and the network made from these."""

    record: ModelRecord
    state: State
    plan: Plan
    network: standalone.Network

    @classmethod
    def build(cls, record: ModelRecord, state: State, plan: Plan) -> Whole:
        """Build the network; it is in evaluation mode."""
        network = standalone.Network(plan)
        network.load_state_dict(standalone.name_weights(state, plan))
        return cls(record, state, plan, network.eval())

    def make_example(self) -> torch.Tensor:
        """Return two random images, which trace the network."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (2, *self.record.shape_HWC), generator=generator, dtype=torch.uint8)


@dataclass(frozen=True)
class Format:
    """A format to export to.

    Attributes:
        file: the name of the file that holds the model.
        write: writes it.
        open: returns what predicts with it; it may read other files of its folder.
    """

    name: str
    file: str
    write: Callable[[Whole, Path], None]
    open: Callable[[Whole, Path], Run]


def write_torch(whole: Whole, path: Path) -> None:
    """Write `model.py`: the network in plain PyTorch, with its description in it.

    A library's body is also written as a program, if it can be, so that the library is not needed to predict.
    """
    template = Path(standalone.__file__).read_text("utf-8")
    before = "ARCHITECTURE: dict[str, Any] = {}\n"
    text = pformat(whole.plan, width=118, sort_dicts=False)
    path.write_text(template.replace(before, f"{before.removesuffix('{}' + chr(10))}{text}\n", 1), "utf-8")
    if _is_of_library(whole):
        with torch.no_grad(), suppress(Exception):  # what cannot be traced raises exceptions of many kinds
            prepared = whole.network.prepare(whole.make_example())
            program = torch.jit.trace(whole.network.body, prepared, check_trace=False)  # type: ignore[no-untyped-call]  # torch leaves it untyped
            program.save(str(path.with_name(standalone.BODY_FILE)))


def _is_of_library(whole: Whole) -> bool:
    return (whole.plan["body"] or {}).get("library") in ("timm", "torchvision")


def open_torch(whole: Whole, path: Path) -> Run:
    """Import a `model.py`, and load the weights beside it."""
    spec = importlib.util.spec_from_file_location(f"bakeoff_exported_{whole.record.trial_id}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = _run_module(module.load(path.parent))
    if not _is_of_library(whole):
        return run
    built = _run_module(module.load(path.parent, trainable=True))

    def run_both(pixels_NHWC: Pixels) -> Probabilities:
        found_NL = run(pixels_NHWC)
        difference = np.abs(found_NL - built(pixels_NHWC)).max()
        if not difference <= MOST_DIFFERENCE:  # NaN too
            raise ExportError(
                f"{path.name}: {standalone.BODY_FILE} differs by {difference:.2g} from its library's body."
            )
        return found_NL

    return run_both


def write_torchscript(whole: Whole, path: Path) -> None:
    """Trace the network."""
    with torch.no_grad():
        torch.jit.trace(whole.network, whole.make_example(), check_trace=False).save(str(path))  # type: ignore[no-untyped-call]  # torch leaves it untyped


def open_torchscript(whole: Whole, path: Path) -> Run:
    """Load a TorchScript file."""
    return _run_module(torch.jit.load(str(path)))  # type: ignore[no-untyped-call]  # torch leaves it untyped


def write_program(whole: Whole, path: Path) -> None:
    """Export the network with torch.export, for any number of images."""
    torch.export.save(_export_program(whole), path)


def _export_program(whole: Whole) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    with torch.no_grad():
        return torch.export.export(whole.network, (whole.make_example(),), dynamic_shapes=({0: batch},))


def open_program(whole: Whole, path: Path) -> Run:
    """Load a file of torch.export."""
    return _run_module(torch.export.load(path).module())


def write_onnx(whole: Whole, path: Path) -> None:
    """Export the network to ONNX, for any number of images."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(f"{package} is not installed: {how_to_install('onnx')}")
    torch.onnx.export(
        _export_program(whole),
        f=str(path),
        dynamo=True,
        external_data=False,
        input_names=["images"],
        output_names=["probabilities"],
        verbose=False,
    )


def open_onnx(whole: Whole, path: Path) -> Run:
    """Open an ONNX file with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(pixels_NHWC: Pixels) -> Probabilities:
        return np.asarray(session.run(None, {"images": pixels_NHWC})[0], np.float32)

    return run


def write_library(whole: Whole, path: Path) -> None:
    """Write the state dict of a timm or torchvision model with its own classifier, under the library's names.

    A temperature is part of the classifier: its weights are divided by it.
    """
    _check_plain_head(whole, path.stem)
    classifier = _find_classifier(whole, path.stem)
    body = {name.removeprefix("body."): tensor for name, tensor in whole.state.items() if name.startswith("body.")}
    body |= {
        alias.removeprefix("body."): body[name.removeprefix("body.")].clone()
        for alias, name in whole.plan["tied"].items()
    }
    number = len(whole.plan["layers"]) - 1
    divided = {what: whole.state[f"head.{number}.{what}"] / whole.plan["temperature"] for what in ("weight", "bias")}
    head = {f"{classifier}.{what}": tensor for what, tensor in divided.items()}
    save_file({name: tensor.contiguous() for name, tensor in (body | head).items()}, path)


def open_library(whole: Whole, path: Path) -> Run:
    """Load a state dict into the library's own model; images are prepared, and logits averaged, as by the network."""
    model = _make_library_model(whole, path.stem)
    model.load_state_dict(load_file(path))
    model.eval()

    class Prepared(standalone.Network):
        """The network with the library's model in place of body and head."""

        def compute_logits(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(x)
            return logits

    return _run_module(Prepared({**whole.plan, "body": None, "layers": [], "temperature": 1.0}))


def _check_plain_head(whole: Whole, library: str) -> None:
    """Refuse what a library's own model cannot hold."""
    record, prefix = whole.record, {"timm": TIMM, "torchvision": TORCHVISION}[library]
    name = record.recipe.network.name
    if not name.startswith(prefix):
        raise ExportError(f"{name} is not a network of {library}: export it to torch or onnx.")
    layers = [
        layer
        for layer in all_layers(record.recipe, record.shape_HWC, len(record.class_names))
        if not isinstance(layer, Dropout)
    ]
    if len(layers) != 1:
        raise ExportError(
            f"{name} has a head of {len(layers)} dense layers, {library}'s own has one: export it to torch or onnx."
        )


def _make_library_model(whole: Whole, library: str) -> Any:
    body, num_classes = whole.plan["body"], len(whole.record.class_names)
    if library == "timm":
        return import_timm().create_model(body["name"], pretrained=False, num_classes=num_classes)
    make = getattr(import_torchvision().models, body["name"])
    model = make(weights=None, num_classes=num_classes, **body["settings"])
    for name, value in body["attributes"].items():
        setattr(model, name, value)
    return model


def _find_classifier(whole: Whole, library: str) -> str:
    """Return the name of the library's own last linear layer, the only one that its body lacks."""
    model = _make_library_model(whole, library)
    own = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    given = {name.removeprefix("body.") for name in (*whole.state, *whole.plan["tied"]) if name.startswith("body.")}
    num_features = whole.plan["layers"][-1]["in"]
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and {f"{name}.weight", f"{name}.bias"} == own - given
        if module.in_features == num_features
    ]
    if len(linear) != 1:
        raise ExportError(
            f"{whole.record.recipe.network.name} has another kind of head in {library} than one dense layer on "
            f"{num_features:,} features: export it to torch or onnx."
        )
    return str(linear[0])


def _run_module(module: Any) -> Run:
    def run(pixels_NHWC: Pixels) -> Probabilities:
        with torch.no_grad():
            probabilities_NL: Probabilities = module(torch.from_numpy(pixels_NHWC)).numpy()
        return probabilities_NL

    return run


_ALL = (
    Format("torch", "model.py", write_torch, open_torch),
    Format("torchscript", "model.torchscript.pt", write_torchscript, open_torchscript),
    Format("torch.export", "model.pt2", write_program, open_program),
    Format("onnx", "model.onnx", write_onnx, open_onnx),
    Format("timm", "timm.safetensors", write_library, open_library),
    Format("torchvision", "torchvision.safetensors", write_library, open_library),
)

FORMATS: Mapping[str, Format] = {each.name: each for each in _ALL}


def write_format(whole: Whole, name: str, folder: Path) -> Run:
    """Write a model into a folder in a format, and return what predicts with the written file.

    Raises:
        ExportError: the model cannot be exported so; says why.
        BakeoffError: a package is missing.
    """
    found = FORMATS[name]
    path = folder / found.file
    with silence_torch():
        try:
            found.write(whole, path)
            return found.open(whole, path)
        except BakeoffError:
            raise
        except Exception as error:  # exporters raise exceptions of many kinds, with pages of text
            line = " ".join(str(error).split())[:200]
            network = whole.record.recipe.network.name
            raise ExportError(f"{network} cannot be exported to {name}: {type(error).__name__}: {line}") from error


def silence_torch() -> AbstractContextManager[None]:
    """Suppress the warnings of torch's exporters: what matters is whether the file predicts as it should."""
    return warnings.catch_warnings(action="ignore")
