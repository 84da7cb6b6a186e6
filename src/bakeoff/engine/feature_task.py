"""Computes one part of the features of a frozen body: the task of a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.data.opener import Opener
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.feature_files import name_feature_file
from bakeoff.engine.final_test import open_locked_images
from bakeoff.errors import ImagesChangedError
from bakeoff.messages import Event, FeaturesTask, TaskDone
from bakeoff.workspace import Folders

_LAST: dict[str, Assembly] = {}
"""The body that this process used last, since parts of one file follow each other."""


def compute_features(
    task: FeaturesTask, workspace: Path, opener: Opener, emit: Callable[[Event], None], context: DeviceContext = CPU
) -> None:
    """Compute one part of a file of features, store it, report it.

    The test split is opened only for a file of its features, which the final test asks for.

    Raises:
        ImagesChangedError: this process would compute other features than the task asks for.
    """
    folders = Folders(workspace)
    key = repr((task.members, task.data, task.numeric, task.file.split, context.device))
    if key not in _LAST:
        forget_body()
        _LAST[key] = _open_body(task, folders, opener, context)
    body = replace(_LAST[key], folders=folders)  # each task of a cluster has a folder of its own
    body.compute_part(task.members[0].recipe, task.data, task.file, task.start)
    emit(TaskDone(task_id=task.features_id))


def forget_body() -> None:
    """Free the body that is kept for further parts."""
    _LAST.clear()


def _open_body(task: FeaturesTask, folders: Folders, opener: Opener, context: DeviceContext) -> Assembly:
    recipe = task.members[0].recipe
    images = open_locked_images(task, opener) if task.file.split == "test" else opener.training(task.data.source)
    if task.file != name_feature_file(task, images, context.device.type, task.file.split, task.file.draw):
        raise ImagesChangedError(
            f"{task.data.source.label}: the images or the installed packages changed while the study was running. Run "
            "the study again."
        )
    training = opener.training(task.data.source) if needs_statistics(recipe.augmentation) else None
    return Assembly.make(task, images, folders, task.numeric, training, context, keeps_features=False)
