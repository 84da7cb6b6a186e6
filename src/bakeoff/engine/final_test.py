"""The final test: evaluates finished trials once on locked images. No other code opens these.

Locked images are the test split and, with folds, each trial's held-out fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.catalog.packages import list_monitored
from bakeoff.data.opener import Opener
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.batches import held_out
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.evaluate import predict, predict_batches
from bakeoff.engine.weight_files import read_kept_weights
from bakeoff.errors import ImagesChangedError
from bakeoff.messages import Event, FeaturesTask, FinalTestDone, FinalTestTask, TaskDone
from bakeoff.stats.metrics import classification_metrics
from bakeoff.workspace import Folders, save_predictions

Indices = npt.NDArray[np.int64]
Scores = list[Mapping[str, float]]
"""Metrics of every member."""


def run_final_test(
    task: FinalTestTask, workspace: Path, opener: Opener, emit: Callable[[Event], None], context: DeviceContext = CPU
) -> None:
    """Evaluate every member's stored weights on its locked images, save the predictions, report the metrics.

    Raises:
        DataError: the training images, which contain the held-out fold, have changed since training.
    """
    images, folders = open_locked_images(task, opener), Folders(workspace)
    held_out_scores = None if task.data.fold is None else _score_held_out(task, folders, opener, context)
    asked = any(needs_statistics(member.recipe.augmentation) for member in task.members)
    training_images = opener.training(task.data.source) if asked else None
    assembly = Assembly.make(task, images, folders, task.numeric, training_images, context)
    scores = _score(task, assembly, images, "test", np.arange(len(images.labels)))
    for k, member in enumerate(task.members):
        done = FinalTestDone(
            trial_id=member.trial_id,
            metrics=scores[k],
            fingerprint=images.fingerprint,
            held_out=None if held_out_scores is None else held_out_scores[k],
        )
        emit(done)
    emit(TaskDone(task_id=task.final_test_id))


def open_locked_images(task: FinalTestTask | FeaturesTask, opener: Opener) -> Images:
    """Open the test split, for the final test or for features that it reads."""
    return opener.test(task.data.source)


def _score_held_out(task: FinalTestTask, folders: Folders, opener: Opener, context: DeviceContext) -> Scores:
    images = opener.training(task.data.source)
    if images.fingerprint != task.data.fingerprint:
        raise ImagesChangedError(f"{task.data.source.label}: the images changed since these trials were trained.")
    indices = held_out(images, task.data)
    assert indices is not None, "only trials of folds are scored so"
    assembly = Assembly.make(task, images, folders, task.numeric, images, context)
    return _score(task, assembly, images, "held-out", indices)


def _score(task: FinalTestTask, assembly: Assembly, images: Images, split: str, indices: Indices) -> Scores:
    """Evaluate every member on the images at `indices`; save the predictions, return the metrics."""
    recipes = [member.recipe for member in task.members]
    saved = [read_kept_weights(assembly.folders.weights(member.trial_id)) for member in task.members]
    states = [assembly.take_saved(recipe, state) for recipe, state in zip(recipes, saved, strict=True)]
    network = assembly.build_network(recipes, states)
    if assembly.context.prepared:
        prepared = assembly.prepare_inputs(recipes, [0] * len(recipes), [task.data.seed])
        batches = prepared.evaluate(indices, assembly.context.evaluation_batch)
        probabilities_KNL = predict_batches(network, batches, prepared.mirrored)
    else:
        probabilities_KNL = predict(network, assembly.make_inputs(recipes, task.data.seed), indices)
    labels_N = images.labels[indices]
    for k, member in enumerate(task.members):
        path = assembly.folders.predictions(member.trial_id, split)
        save_predictions(path, probabilities_KNL[k], labels_N, indices, images.groups)
    return [
        classification_metrics(probabilities_NL, labels_N, (*task.metrics, *list_monitored(recipe)))
        for probabilities_NL, recipe in zip(probabilities_KNL, recipes, strict=True)
    ]
