"""The whole network of a trial in one file: a frozen body, which trials do not store, is joined to its head."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from bakeoff.catalog.model_record import ModelRecord, Origin
from bakeoff.catalog.shape import is_body_frozen
from bakeoff.engine.fused.build import State
from bakeoff.engine.parts import Parts
from bakeoff.workspace import Folders


def join_body(record: ModelRecord, saved: State, folders: Folders) -> tuple[ModelRecord, State]:
    """Return a trial's model with all of its weights, and the record that says so, in float32.

    Args:
        record: the trial's.
        saved: its weights as stored.
        folders: its workspace.

    Raises:
        WeightsError: the weights of a frozen body are unavailable.
    """
    recipe = record.recipe
    if recipe.transfer is not None and is_body_frozen(recipe):
        saved = Parts.of(recipe, record.shape_HWC, len(record.class_names), folders).load_frozen_state() | saved
        transfer = recipe.transfer.model_copy(update={"weights": None, "freeze": 0})
        recipe = recipe.model_copy(update={"transfer": transfer})
    return record.model_copy(update={"recipe": recipe, "numeric": "float32"}), saved


def save_whole(path: Path, record: ModelRecord, origin: Origin, state: State) -> None:
    """Write a model that describes itself."""
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, path, metadata={"format": "pt"} | record.dump() | origin.dump())
