"""Writes a trial's model into a folder, in several formats, each compared with the trial's own predictions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.catalog.model_record import ModelRecord, Origin
from bakeoff.engine.export import example
from bakeoff.engine.export.formats import FORMATS, MOST_DIFFERENCE, Run, Whole, silence_torch, write_format
from bakeoff.engine.export.lower import ExportError, Plan, lower
from bakeoff.engine.export.standalone import BODY_FILE
from bakeoff.engine.export.whole import join_body, save_whole
from bakeoff.engine.model import Model, load_model
from bakeoff.engine.model_file import read_model_record
from bakeoff.engine.weight_files import read_kept_weights
from bakeoff.stats.temperature import scale
from bakeoff.system import rename
from bakeoff.workspace import Folders, write_whole

WEIGHTS_FILE = "model.safetensors"
PREPROCESSING_FILE = "preprocessing.json"
EXAMPLE_FILE = "example.py"
_RUNNABLE = ("torch", "torchscript", "torch.export", "onnx")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Check:
    """How far an exported file's predictions are from the trial's, in float32.

    Attributes:
        difference: the largest of any probability, over images one by one and together.
    """

    format: str
    file: str
    difference: float


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was exported.

    Attributes:
        plan: what the exported network does, in plain values.
        checks: of the weights file, then of every format.
        rounding: the largest difference to the predictions in the numeric mode of training; None: that is float32.
        needed: the library that `model.py` needs besides torch; empty if none.
    """

    record: ModelRecord
    plan: Plan
    checks: tuple[Check, ...]
    rounding: float | None
    needed: str = ""


def write_model(
    record: ModelRecord, origin: Origin, formats: Sequence[str], folder: Path, pixels_NHWC: Pixels, folders: Folders
) -> Written:
    """Write a trial's whole model into a folder; files appear there once all of them are checked.

    Args:
        record: the trial's model.
        origin: its study.
        formats: names in `FORMATS`.
        folder: made if necessary; files of the same names are replaced.
        pixels_NHWC: images to compare predictions on.
        folders: the workspace.

    Raises:
        ExportError: the model cannot be exported to a format, or a file predicts otherwise than the trial did.
        WeightsError: the weights of a frozen body are unavailable.
        StorageError: the trial's cannot be read.
    """
    saved = read_kept_weights(folders.weights(record.trial_id))
    in_float32 = Model(record.model_copy(update={"numeric": "float32"}), saved, folders)
    expected_NL = _calibrate(in_float32.predict, origin)(pixels_NHWC)
    rounding = None
    if record.numeric != "float32":
        found_NL = _calibrate(Model(record, saved, folders).predict, origin)(pixels_NHWC)
        rounding = float(np.abs(found_NL - expected_NL).max())
    joined, state = join_body(record, saved, folders)
    whole = Whole.build(joined, state, lower(joined, origin.temperature))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as text:
        made = Path(text)
        save_whole(made / WEIGHTS_FILE, joined, origin, state)
        run = _calibrate(_open_weights(made / WEIGHTS_FILE, folders), origin)
        checks = [_compare("weights", WEIGHTS_FILE, run, pixels_NHWC, expected_NL)]
        for name in formats:
            run = write_format(whole, name, made)
            checks.append(_compare(name, FORMATS[name].file, run, pixels_NHWC, expected_NL))
        _write_preprocessing(made / PREPROCESSING_FILE, joined, whole.plan)
        if any(name in _RUNNABLE for name in formats):
            (made / EXAMPLE_FILE).write_text(Path(example.__file__).read_text("utf-8"), "utf-8")
        for path in sorted(made.iterdir()):
            if path.is_file():
                _place(path, folder / path.name)
    needed = "" if joined.recipe.network.has_module and (folder / BODY_FILE).is_file() else _name_library(whole.plan)
    return Written(record=joined, plan=whole.plan, checks=tuple(checks), rounding=rounding, needed=needed)


def _name_library(plan: Plan) -> str:
    return str((plan["body"] or {}).get("library", ""))


def _place(made: Path, path: Path) -> None:
    write_whole(path, lambda temporary: rename(made, temporary))


def _open_weights(path: Path, folders: Folders) -> Run:
    record = read_model_record(path)
    assert record is not None, "it was just written"
    return load_model(path, record, folders).predict


def _calibrate(run: Run, origin: Origin) -> Run:
    """Return what predicts with the temperature of an exported model, as its `Predictor` does."""
    if origin.temperature == 1.0:
        return run
    return lambda pixels_NHWC: scale(run(pixels_NHWC), origin.temperature).astype(np.float32)


def _compare(name: str, file: str, run: Run, pixels_NHWC: Pixels, expected_NL: npt.NDArray[np.float32]) -> Check:
    with silence_torch():
        found = np.abs(run(pixels_NHWC) - expected_NL).max()
        alone = np.abs(run(pixels_NHWC[:1]) - expected_NL[:1]).max()
    difference = float(max(found, alone))
    if not difference <= MOST_DIFFERENCE:  # NaN too
        raise ExportError(
            f"{file} ({name}) differs from the trial's predictions by {difference:.2g} in a probability, more than "
            f"{MOST_DIFFERENCE:g}: it is not exported."
        )
    return Check(format=name, file=file, difference=difference)


def _write_preprocessing(path: Path, record: ModelRecord, plan: Plan) -> None:
    height, width, channels = record.shape_HWC
    sizes = {"height": height, "width": width, "channels": channels}
    described: dict[str, Any] = {
        "format": "bakeoff.preprocessing/1",
        "classes": list(record.class_names),
        "photo": {
            "height": height,
            "width": width,
            "colour": "grey" if channels == 1 else "rgb",
            "fit": record.fit,
            "filter": "Pillow's BILINEAR, which antialiases",
            "orientation": "turned upright by its EXIF data",
            "transparency": "composited on white",
        },
        "input": {"name": "images", "type": "uint8", "layout": "NHWC", **sizes},
        "output": {"name": "probabilities", "type": "float32", "classes": len(record.class_names)},
        "inside_the_model": {
            "steps": plan["steps"],
            "averaged_with_mirror_image": plan["mirrored"],
            "temperature": plan["temperature"],
        },
    }
    path.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
