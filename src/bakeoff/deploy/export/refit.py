"""Trains a winning recipe once more, on training and validation images together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from statistics import median_low

from pydantic import ValidationError

from bakeoff.catalog.model_record import ModelRecord
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Plateau
from bakeoff.driver.devices import CPU_DEVICE
from bakeoff.driver.executors.base import TaskLost
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.errors import RefitError
from bakeoff.messages import CohortTask, DataView, Member, TaskDone, TrialFailed
from bakeoff.report.document import Sources
from bakeoff.report.winner import Winner

_POLL_SECONDS = 0.5


def refit(record: ModelRecord, winner: Winner, sources: Sources) -> ModelRecord:
    """Train a trial's recipe on all training images, validation included, in a worker; return the new model's record.

    It trains for the median best epoch of the arm's trials, without early stopping, from the trial's seed. The weights
    stay in the workspace, so that asking again trains nothing; after an interruption it resumes.

    Args:
        record: the winner's best model.
        winner: the arm.
        sources: its study.

    Raises:
        WorkspaceError: the recipe follows validation scores, or the training failed; says why.
    """
    from bakeoff.engine.model_file import read_model_record

    recipe, num_epochs = _fix_epochs(record.recipe, winner, sources)
    source = next(each.data.source for each in sources.plan.blocks if each.label == winner.block)
    content = [record.trial_id, num_epochs, "refit on training and validation images"]
    trial_id = hashlib.sha256(json.dumps(content).encode()).hexdigest()[: len(record.trial_id)]
    view = DataView(
        source=source,
        validation="none",
        fingerprint=sources.record.facts[winner.block]["fingerprint"],
        seed=record.seed,
    )
    task = CohortTask(
        cohort_id=trial_id,
        label=f"{winner.block}, {winner.arm}, on all training images",
        members=(Member(trial_id=trial_id, recipe=recipe, code=record.code, refit_of=record.trial_id),),
        data=view,
        numeric=record.numeric,
    )
    path = sources.folders.weights(trial_id)
    if not path.is_file():
        _train(task, sources.folders.root, sources.data_dir)
        sources.folders.checkpoint(task.cohort_id).unlink(missing_ok=True)
        # Of images that trained the model: they say nothing of it.
        sources.folders.predictions(trial_id, "validation").unlink(missing_ok=True)
    found = read_model_record(path)
    assert found is not None, "it was just written"
    return found


def _fix_epochs(recipe: Recipe, winner: Winner, sources: Sources) -> tuple[Recipe, int]:
    if isinstance(recipe.schedule, Plateau):
        raise RefitError(
            f"{winner.arm} lowers its learning rate by validation scores (plateau), and a refit has no validation "
            "images: export it without --refit."
        )
    best = [each.best_epoch for each in sources.record.results if each.trial_id in winner.trial_ids and each.best_epoch]
    num_epochs = median_low(best)
    fields = {**recipe.model_dump(mode="json"), "early_stopping": None, "epochs": num_epochs}
    try:
        return Recipe.model_validate(fields), num_epochs
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RefitError(
            f"{winner.arm} cannot be trained for {num_epochs} epochs, the median best epoch: {reason}."
        ) from None


def _train(task: CohortTask, workspace: Path, data_dir: Path | None) -> None:
    executor = LocalExecutor(1, workspace, data_dir, CPU_DEVICE.addresses)
    try:
        executor.submit(task)
        while True:
            for report in executor.poll(_POLL_SECONDS):
                if isinstance(report, TrialFailed | TaskLost):
                    raise RefitError(f"The training on all images failed: {report.reason}.")
                if isinstance(report, TaskDone):
                    return
    finally:
        executor.close()
