"""Weights files that describe themselves: the record written with a trial's weights, and reading it back."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.catalog.model_record import ModelRecord, Origin, fix_statistics
from bakeoff.catalog.networks.outside import TIMM, TORCHVISION
from bakeoff.catalog.packages import list_packages
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.inputs import measure_training
from bakeoff.messages import ENGINE_VERSION, DataView, Member
from bakeoff.workspace import refuse_reading

_NUMERIC = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def describe_model(member: Member, assembly: Assembly, view: DataView) -> ModelRecord:
    """Return the record of a trained member.

    Args:
        member: the trial and its recipe.
        assembly: what it was trained with: image shape, classes, numeric mode, training images.
        view: its split.
    """
    recipe = member.recipe
    if needs_statistics(recipe.augmentation):
        recipe = fix_statistics(recipe, *measure_training(assembly.training_images))
    return ModelRecord.model_construct(
        trial_id=member.trial_id,
        recipe=recipe,
        class_names=tuple(assembly.class_names),
        shape_HWC=assembly.shape_HWC,
        fit=view.source.fit,
        numeric=_NUMERIC[assembly.dtype],
        seed=view.seed,
        fold=view.fold,
        code=member.code,
        refit_of=member.refit_of,
        engine_version=ENGINE_VERSION,
        versions=_list_versions(member),
    )


def read_model_record(path: Path) -> ModelRecord | None:
    """Return the record in a weights file; None if it was written before there were records.

    Raises:
        BakeoffError: the file cannot be read, or its record is damaged or of a later version.
    """
    return ModelRecord.parse(_read_metadata(path), str(path))


def read_origin(path: Path) -> Origin | None:
    """Return what an exported file says of its study; None for other files. Errors are as above."""
    return Origin.parse(_read_metadata(path), str(path))


def _read_metadata(path: Path) -> dict[str, str] | None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] | None = file.metadata()
    except OSError as error:
        raise refuse_reading(path, error) from error
    except SafetensorError as error:
        raise refuse_reading(path, OSError(str(error))) from error
    return metadata


def _list_versions(member: Member) -> dict[str, str]:
    """Return the versions of the packages that the network is from."""
    from importlib.metadata import version

    name = member.recipe.network.name
    found = {"torch": str(torch.__version__)}
    for prefix, package in ((TORCHVISION, "torchvision"), (TIMM, "timm")):
        if name.startswith(prefix):
            found[package] = version(package)
    return {**found, **list_packages(member.recipe)}
