"""The exam: finished trials evaluated once on the test split. The only code that opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from bakeoff.analysis.metrics import classification_metrics
from bakeoff.data.store import open_test
from bakeoff.networks.build import FusedNetwork
from bakeoff.networks.named import expand
from bakeoff.training.engine import DTYPES
from bakeoff.training.evaluate import predict
from bakeoff.training.folders import Folders, save_predictions
from bakeoff.training.task import Event, ExamDone, ExamTask, TaskDone


def hold_exam(task: ExamTask, workspace: Path, data_dir: Path | None, emit: Callable[[Event], None]) -> None:
    """Evaluate the kept weights of every member on the test split, save the predictions, report the metrics."""
    images = open_test(task.data.name, data_dir)
    folders = Folders(workspace)
    shape = images.shape_HWC
    network = FusedNetwork(
        [expand(member.recipe.network, shape, len(images.class_names)) for member in task.members],
        [load_file(folders.weights(member.trial_id)) for member in task.members],
        DTYPES[task.numeric],
    )
    indices = np.arange(len(images.labels))
    probabilities_KNL = predict(network, images.pixels, images.labels, indices)
    for k, member in enumerate(task.members):
        save_predictions(folders.predictions(member.trial_id, "test"), probabilities_KNL[k], images.labels, indices)
        metrics = classification_metrics(probabilities_KNL[k], images.labels)
        emit(ExamDone(trial_id=member.trial_id, metrics=metrics, fingerprint=images.fingerprint))
    emit(TaskDone(task_id=task.exam_id))
