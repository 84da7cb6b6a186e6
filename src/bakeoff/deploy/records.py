"""The record of a trial's model: from its weights file, or, for files of earlier versions, from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.catalog.model_record import ModelRecord, fix_statistics
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.manage import measure_pixels
from bakeoff.data.source import DataSource, Fit
from bakeoff.data.store import find_decoded
from bakeoff.errors import LostFileError
from bakeoff.ledger.values import read_mapping
from bakeoff.report.document import Sources


def find_record(trial_id: str, block: str, sources: Sources) -> ModelRecord:
    """Return the record of a finished trial's model.

    Raises:
        WorkspaceError: its weights are missing, or they were written by an earlier version and the training images are
            needed and not decoded on this machine.
        BakeoffError: the file is damaged, or of a later version.
    """
    from bakeoff.engine.model_file import read_model_record

    path = sources.folders.weights(trial_id)
    if not path.is_file():
        raise LostFileError(f"The weights of trial {trial_id} are missing: {path}.")
    return read_model_record(path) or _rebuild(trial_id, block, sources)


def _rebuild(trial_id: str, block: str, sources: Sources) -> ModelRecord:
    row = sources.connection.execute("SELECT content FROM trials WHERE id = ?", (trial_id,)).fetchone()
    content, facts = read_mapping(row[0]), sources.record.facts.get(block, {})
    recipe = _read_recipe(content["recipe"])
    source = next(each.data.source for each in sources.plan.blocks if each.label == block)
    if needs_statistics(recipe.augmentation):
        recipe = fix_statistics(recipe, *_measure(source, facts.get("fingerprint", ""), content, sources))
    if "shape_HWC" not in facts:
        raise LostFileError(
            f"The ledger does not say which images trial {trial_id} was trained on: run its study again."
        )
    return ModelRecord(
        trial_id=trial_id,
        recipe=recipe,
        class_names=tuple(facts["class_names"]),
        shape_HWC=tuple(facts["shape_HWC"]),
        fit=_find_fit(source, facts.get("fingerprint", ""), sources),
        numeric=content["numeric"],
        seed=content["seed"],
        fold=content.get("fold"),
        code=content.get("code"),
        engine_version=int(content["engine"]),
    )


def _find_fit(source: DataSource, fingerprint: str, sources: Sources) -> Fit:
    """Return how a trial's images were brought to their size: as they are now, or, if that gives others, stretched.

    There was no other way in earlier versions.
    """
    images = find_decoded(source, "train", sources.data_dir)
    return source.fit if images is not None and images.fingerprint == fingerprint else "stretch"


def _read_recipe(fields: Mapping[str, Any]) -> Recipe:
    """Return a recipe from a trial's content, which names a weights file by its hash alone."""
    weights = (fields.get("transfer") or {}).get("weights")
    if isinstance(weights, dict) and "sha256" in weights:
        weights.setdefault("file", weights["sha256"])
    return Recipe.model_validate(fields)


def _measure(
    source: DataSource, fingerprint: str, content: Mapping[str, Any], sources: Sources
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and sd of the training images by which a trial without a record normalises."""
    images = find_decoded(source, "train", sources.data_dir)
    if images is None or images.fingerprint != fingerprint or content.get("fold") is not None:
        raise LostFileError(
            f"These weights were stored by an earlier version, without the mean and sd of the training images "
            f"({source.label}), which are not on this machine: train the study again."
        )
    return measure_pixels(images.pixels)
