"""The exam: finished trials evaluated once on the test split. The only code that opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bakeoff.analysis.metrics import classification_metrics
from bakeoff.data.opener import Opener
from bakeoff.training.assembly import Assembly
from bakeoff.training.augmentation.records import needs_statistics
from bakeoff.training.evaluate import predict, predict_batches
from bakeoff.training.folders import Folders, save_predictions
from bakeoff.training.place import CPU, Place
from bakeoff.training.task import Event, ExamDone, ExamTask, TaskDone
from bakeoff.training.weight_files import read_kept_weights


def hold_exam(
    task: ExamTask, workspace: Path, opener: Opener, emit: Callable[[Event], None], place: Place = CPU
) -> None:
    """Evaluate the kept weights of every member on the test split, save the predictions, report the metrics."""
    images = opener.test(task.data.source)
    folders = Folders(workspace)
    recipes = [member.recipe for member in task.members]
    asked = any(needs_statistics(recipe.augmentation) for recipe in recipes)
    training_images = opener.training(task.data.source) if asked else None
    assembly = Assembly.make(task, images, folders, task.numeric, training_images, place)
    saved = [read_kept_weights(folders.weights(member.trial_id)) for member in task.members]
    states = [assembly.take_saved(recipe, state) for recipe, state in zip(recipes, saved, strict=True)]
    network = assembly.build_network(recipes, states)
    indices = np.arange(len(images.labels))
    if place.prepared:
        prepared = assembly.prepare_inputs(recipes, [0] * len(recipes), [task.data.seed])
        batches = prepared.evaluate(indices, place.evaluation_batch)
        probabilities_KNL = predict_batches(network, batches, prepared.mirrored)
    else:
        probabilities_KNL = predict(network, assembly.make_inputs(recipes, task.data.seed), indices)
    for k, member in enumerate(task.members):
        save_predictions(folders.predictions(member.trial_id, "test"), probabilities_KNL[k], images.labels, indices)
        metrics = classification_metrics(probabilities_KNL[k], images.labels)
        emit(ExamDone(trial_id=member.trial_id, metrics=metrics, fingerprint=images.fingerprint))
    emit(TaskDone(task_id=task.exam_id))
