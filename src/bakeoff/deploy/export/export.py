"""Exports a study's winner: chooses the model and the images to check it on, and writes its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.catalog.model_record import ModelRecord, Origin
from bakeoff.data.store import find_decoded
from bakeoff.deploy.export.card import CardFacts, TemperatureEffect, write_card
from bakeoff.deploy.export.mistakes import MISTAKES_FILE, MistakeSheet
from bakeoff.deploy.export.refit import refit
from bakeoff.deploy.photos import Pixels
from bakeoff.deploy.records import find_record
from bakeoff.deploy.votes import Vote
from bakeoff.errors import UnknownPartError, UnwritableError, nearest
from bakeoff.ledger.given import find_given_study
from bakeoff.ledger.read import open_reading
from bakeoff.report.document import Sources
from bakeoff.report.gather import gather_report, gather_sources
from bakeoff.report.winner import Prefer, Winner, choose_winner
from bakeoff.stats.results import TrialResult
from bakeoff.stats.wilson import wilson_interval
from bakeoff.workspace import Folders, check_workspace, write_whole

if TYPE_CHECKING:
    from bakeoff.engine.export.write import Check

FORMATS = ("torch", "torchscript", "torch.export", "onnx", "timm", "torchvision")
"""What a model can be exported to, besides its weights."""

CHECKS_FILE = "checks.json"
CARD_FILE = "README.md"

_NUM_CHECKED = 32
"""Images on which an exported file is compared with the trial."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A folder with an exported model.

    Attributes:
        checked_on: the images on which it was compared with the trial.
        checks: largest difference of a probability by file.
        rounding: the largest difference to predictions in the numeric mode of training; None: that is float32.
        calibration: what its temperature changed; None without one.
        needed: the library that the written `model.py` needs besides torch; empty if none.
    """

    folder: Path
    winner: Winner
    record: ModelRecord
    origin: Origin
    checked_on: str
    checks: tuple[Check, ...]
    rounding: float | None
    calibration: TemperatureEffect | None
    needed: str


def export_study(
    study: str,
    formats: Sequence[str],
    out: Path | None = None,
    workspace: str | Path = "runs",
    *,
    arm: str | None = None,
    block: str | None = None,
    prefer: Prefer = "score",
    data_dir: Path | None = None,
    on_all_images: bool = False,
    calibrate: bool = False,
) -> Exported:
    """Write a study's best model into a folder that needs no workspace.

    Args:
        study: its name or id.
        formats: some of `FORMATS`.
        out: the folder; by default the study's name in `exports`. One that holds another model is refused.
        workspace: the folder of the ledger.
        arm: the arm; by default the best on validation. The best of its models is exported.
        block: the block; needed if there are several.
        prefer: which of the arms that tie with the best.
        data_dir: searched for images to check on.
        on_all_images: whether to train the recipe anew on training and validation images together; see `refit`.
        calibrate: whether the model divides its logits by a temperature, which is fitted on the validation images; see
            `Predictor.load`.

    Raises:
        WorkspaceError: no such study, arm or block; nothing trained; weights missing; the folder is in use.
        ExportError: the model cannot be exported so; says why.
    """
    for name in formats:
        if name not in FORMATS:
            raise UnknownPartError(f"No format '{name}'. There are: {', '.join(FORMATS)}.{nearest(name, FORMATS)}")
    folders = Folders(check_workspace(workspace))
    with open_reading(folders) as connection:
        identity = find_given_study(connection, study)
        sources = gather_sources(connection, identity, folders, data_dir)
        winner = choose_winner(sources, block, arm, prefer)
        record = find_record(winner.trial_ids[0], winner.block, sources)
        origin = describe_origin(record, winner, sources)
        if calibrate:
            temperature = Vote(trial_ids=winner.trial_ids[:1]).fit_temperature(sources)
            origin = origin.model_copy(update={"temperature": temperature})
        if on_all_images:
            record = refit(record, winner, sources)
            origin = _mark_refit(origin, record)
        folder = out or Path("exports") / folders.reports(sources.study.name, identity).name
        earlier = _read_earlier(folder, record.trial_id, origin.temperature)
        checked_on, pixels = _choose_images(record, winner, sources)
        from bakeoff.engine.export.write import write_model

        written = write_model(record, origin, formats, folder, pixels, folders)
        report = gather_report(identity, folders, data_dir=data_dir)
        facts = replace(CardFacts.gather(report, winner, record, origin, sources), needed=written.needed)
        if facts.mistakes is not None:
            facts = replace(facts, mistakes=_explain(facts.mistakes, folder, written.record, sources))
        exported = Exported(
            folder=folder,
            winner=winner,
            record=written.record,
            origin=origin,
            checked_on=checked_on,
            checks=written.checks,
            rounding=written.rounding,
            calibration=facts.calibration,
            needed=written.needed if "torch" in formats else "",
        )
    checks = {**earlier, **{check.file: asdict(check) for check in written.checks}}
    _write_checks(exported, checks)
    if facts.mistakes is not None:
        facts.mistakes.write(folder / MISTAKES_FILE)
    text = write_card(facts, list(checks.values()), checked_on, written.rounding)
    write_whole(folder / CARD_FILE, lambda path: path.write_text(text, "utf-8"))
    return exported


def _explain(mistakes: MistakeSheet, folder: Path, record: ModelRecord, sources: Sources) -> MistakeSheet:
    """Return the worst mistakes with the exported model's heat maps."""
    from bakeoff.engine.export.write import WEIGHTS_FILE
    from bakeoff.engine.model import load_model

    source = next(each.data.source for each in sources.plan.blocks if each.label == mistakes.evidence.block)
    return mistakes.explain(load_model(folder / WEIGHTS_FILE, record, sources.folders), source, sources.data_dir)


def describe_origin(record: ModelRecord, winner: Winner, sources: Sources) -> Origin:
    """Return where a model is from, and its own score on the split that decides."""
    result = next(each for each in sources.record.results if each.trial_id == record.trial_id)
    split = next(name for name in (sources.summary.split, "validation") if name in result.metrics)
    score = result.metrics[split].get(winner.metric)
    interval = _measure_interval(result, winner.metric, split, sources)
    images = {"test": "the test images", "held-out": "the images of its held-out fold"}.get(
        split, "the validation images, on which it was also chosen: expect less on new ones"
    )
    return Origin(
        study=sources.study.name,
        study_id=sources.study_id,
        question=sources.study.question,
        block=winner.block,
        arm=winner.arm,
        replicate=result.replicate,
        metric=winner.metric,
        split=split,  # type: ignore[arg-type]  # never "train"
        score=score,
        interval=interval,
        scope=f"this model on {images}" + ("; the interval: on new images of this kind" if interval else ""),
        bakeoff=version("bakeoff"),
    )


def _mark_refit(origin: Origin, record: ModelRecord) -> Origin:
    changes = {
        "score": None,
        "interval": None,
        "is_refit": True,
        "scope": f"this model was trained anew, for {record.recipe.epochs} epochs on training and validation images "
        "together, and its score was not measured anew",
    }
    return origin.model_copy(update=changes)


def _measure_interval(result: TrialResult, metric: str, split: str, sources: Sources) -> tuple[float, float] | None:
    """Return the sampling error of an accuracy; None for another metric, or on images that chose the model."""
    predictions = None if split == "validation" else sources.folders.load_predictions(result.trial_id, split)
    if metric != "accuracy" or predictions is None:
        return None
    number = len(predictions["labels"])
    return wilson_interval(round(result.metrics[split][metric] * number), number)


def _choose_images(record: ModelRecord, winner: Winner, sources: Sources) -> tuple[str, Pixels]:
    """Return images of the model's shape, and what they are: test images only after the final test."""
    source = next(each.data.source for each in sources.plan.blocks if each.label == winner.block)
    splits = [("test", "test images")] if winner.test is not None and sources.summary.split == "test" else []
    for split, title in [*splits, ("train", "training images")]:
        images = find_decoded(source, split, sources.data_dir)  # type: ignore[arg-type]  # one of its names
        if images is not None and images.shape_HWC == record.shape_HWC and len(images.labels):
            chosen = np.unique(np.linspace(0, len(images.labels) - 1, _NUM_CHECKED).astype(np.int64))
            return f"{len(chosen)} {title}", np.ascontiguousarray(images.pixels[chosen])
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (_NUM_CHECKED, *record.shape_HWC), dtype=np.uint8)
    return f"{_NUM_CHECKED} random images", pixels


def _read_earlier(folder: Path, trial_id: str, temperature: float) -> dict[str, dict[str, Any]]:
    """Return the checks of what a folder already holds of this model, by file.

    Raises:
        WorkspaceError: it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    try:
        found = json.loads((folder / CHECKS_FILE).read_text("utf-8"))
        if (found["trial_id"], found.get("temperature", 1.0)) == (trial_id, temperature):
            return {check["file"]: check for check in found["checks"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UnwritableError(
        f"{folder} holds something else than an export of this model (--calibrate included): name another with --out."
    )


def _write_checks(exported: Exported, checks: dict[str, dict[str, Any]]) -> None:
    described = {
        "format": "bakeoff.checks/1",
        "trial_id": exported.record.trial_id,
        "temperature": exported.origin.temperature,
        "compared_with": "the trial's own predictions, in float32",
        "images": exported.checked_on,
        "difference_to_the_numeric_mode_of_training": exported.rounding,
        "checks": list(checks.values()),
    }
    text = json.dumps(described, indent=2) + "\n"
    write_whole(exported.folder / CHECKS_FILE, lambda path: path.write_text(text, "utf-8"))
