"""Trains one cohort on one device: K >= 1 trials with a fused forward pass, everything else separate.

Shape legend: K members, N images, L classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import save_file

from bakeoff.catalog.objective_settings import ObjectiveSettings
from bakeoff.catalog.packages import list_monitored
from bakeoff.catalog.shape import count_frozen_epochs
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.checkpoint import load_checkpoint, save_checkpoint
from bakeoff.engine.checkpoint_file import DamagedCheckpoint
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.epoch import Epoch
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.model_file import describe_model
from bakeoff.engine.objective import Objective
from bakeoff.engine.parts import Network
from bakeoff.engine.session import Session, Splits
from bakeoff.messages import CohortTask, EpochDone, Event, Notice, TaskDone, TrialDone, TrialFailed, TrialPaused
from bakeoff.stats.metrics import classification_metrics
from bakeoff.system import rename
from bakeoff.workspace import Folders, save_predictions, write_whole

Indices = npt.NDArray[np.int64]
Emit = Callable[[Event], None]


def train_cohort(task: CohortTask, images: Images, workspace: Path, emit: Emit, context: DeviceContext = CPU) -> None:
    """Train every member of `task` to its end or to the task's pause, resuming from the cohort's checkpoint if any.

    After each epoch the whole cohort is checkpointed, then the epoch is reported: reported epochs are never trained
    again. A member whose loss becomes non-finite fails alone. Random numbers are a function of the replicate's seed,
    the epoch and the layer, never of the cohort, so fused and separate training agree to rounding.

    Args:
        task: the members and the view of the images they share.
        images: the training images, including the validation split.
        workspace: where weights, predictions and the checkpoint are written.
        emit: called with every event, in order; ends with TaskDone.
        context: the device; members of several replicates train together only if images are prepared on it.
    """
    if task.members:  # none are left if a kill came between the last trial's end and the task's
        cohort = _Cohort(task, images, Folders(workspace), emit, context)
        while cohort.has_more():
            cohort.run_epoch()
        cohort.pause()
    emit(TaskDone(task_id=task.cohort_id))


class _Cohort:
    """The runners of one task, the fused network of the active ones, and their current epoch."""

    def __init__(self, task: CohortTask, images: Images, folders: Folders, emit: Emit, context: DeviceContext) -> None:
        self.task, self.folders, self.emit = task, folders, emit
        self.labels, self.groups = images.labels, images.groups
        self.splits = Splits(task, images, context)
        self.members = self.splits.sort(task.members)
        self.assembly = Assembly.make(task, images, folders, task.numeric, context=context)
        # Equal for all members: the plan groups only such trials.
        self.num_frozen_epochs = count_frozen_epochs(task.members[0].recipe)
        self.epoch = 0
        self.runners = self._resume() or self._start()
        self._report_again()
        self._finish_ending()
        self._fuse(self.epoch + 1)

    def has_more(self) -> bool:
        """Return whether there is another epoch to train before the end or the pause."""
        is_active = any(runner.status == "active" for runner in self.runners)
        return is_active and (self.task.until is None or self.epoch < self.task.until)

    def pause(self) -> None:
        """Report the members that have not ended as paused; they resume from this cohort's checkpoint."""
        paused = [runner for runner in self.runners if runner.status == "active"]
        path = self.folders.checkpoint(self.task.cohort_id)
        if paused and not path.exists():  # resumed from another cohort's checkpoint
            save_checkpoint(path, self.epoch, self.runners)
        for runner in paused:
            self.emit(TrialPaused(trial_id=runner.member.trial_id, epoch=self.epoch))

    def run_epoch(self) -> None:
        """Train, validate, checkpoint, report; then remove members that have ended."""
        started = time.perf_counter()
        self.epoch += 1
        if self.epoch == self.num_frozen_epochs + 1 > 1:
            self._fuse(self.epoch)  # the body is unfrozen
        measured = self.train_epoch(self.epoch)
        probabilities_KNL = self.session.predict_validation(self._judged_network())
        seconds = time.perf_counter() - started
        for k, runner in enumerate(self.active):
            validation = self._measure(runner, probabilities_KNL[k], self.session.validation_indices(k))
            self._record(runner, measured, k, validation, seconds)
        save_checkpoint(self.folders.checkpoint(self.task.cohort_id), self.epoch, self.runners)
        for runner in self.active:
            if runner.history and runner.history[-1].epoch == self.epoch:
                self.emit(runner.history[-1])
        if self._finish_ending():
            self._fuse(self.epoch + 1)

    def _measure(
        self, runner: MemberTrainer, probabilities_NL: npt.NDArray[np.float32], indices: Indices
    ) -> dict[str, float] | None:
        """Return a member's metrics, or None if a prediction is not finite."""
        if not np.isfinite(probabilities_NL).all():
            return None
        return classification_metrics(probabilities_NL, self.labels[indices], self._more_metrics(runner))

    def _more_metrics(self, runner: MemberTrainer) -> tuple[str, ...]:
        """Return the metrics that the study or a member's recipe names."""
        return (*self.task.metrics, *list_monitored(runner.member.recipe))

    def _record(
        self, runner: MemberTrainer, measured: Epoch, k: int, validation: dict[str, float] | None, seconds: float
    ) -> None:
        """Add the epoch to one runner's history and decide whether it continues."""
        runner.seconds += seconds / len(self.active)
        loss = float(measured.loss_K[k])
        if validation is None or not math.isfinite(loss):
            runner.outcome = TrialFailed(
                trial_id=runner.member.trial_id,
                reason=f"diverged: the loss became NaN or infinite in epoch {self.epoch}",
                diverged=True,
                num_epochs=self.epoch,
            )
            runner.status = "ending"
            return
        runner.history.append(
            EpochDone(
                trial_id=runner.member.trial_id,
                epoch=self.epoch,
                train={"loss": loss, "accuracy": float(measured.accuracy_K[k])},
                validation=validation,
                seconds=seconds,
                images_per_second=measured.images_per_second,
            )
        )
        if runner.plateau is not None:
            runner.plateau.observe(validation)
        if runner.stopper.observe(self.epoch, validation):
            runner.keep_weights()
        if runner.stopper.exhausted or self.epoch >= runner.member.recipe.epochs:
            runner.status = "ending"

    def _start(self) -> list[MemberTrainer]:
        assembly, seed = self.assembly, self.splits.seed
        return [
            MemberTrainer.start(
                member, assembly.layers_of(member.recipe), assembly.first_state(member.recipe, seed(member))
            )
            for member in self.members
        ]

    def _resume(self) -> list[MemberTrainer] | None:
        own = self._load(self.task.cohort_id)
        others = self.task.resume_from if own is None else ()
        contents = [own, *map(self._load, others)]
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        for content in filter(None, contents):
            for trial_id, packed in content["members"].items():
                if content["epoch"] > found.get(trial_id, (-1, {}))[0]:
                    found[trial_id] = (content["epoch"], packed)
        if any(member.trial_id not in found for member in self.task.members):
            return None  # with a checkpoint that lacks a member, that member would silently stay untrained
        epochs = {found[member.trial_id][0] for member in self.task.members}
        if len(epochs) > 1:
            return None
        (self.epoch,) = epochs
        return [
            MemberTrainer.unpack(member, self.assembly.layers_of(member.recipe), found[member.trial_id][1])
            for member in self.members
        ]

    def _load(self, cohort_id: str) -> dict[str, Any] | None:
        """Read a checkpoint; a damaged one is set aside, so that its trials start again."""
        path = self.folders.checkpoint(cohort_id)
        try:
            return load_checkpoint(path)
        except DamagedCheckpoint as error:
            aside = path.with_name(f"{path.name}.damaged")
            rename(path, aside)
            text = f"{error} It is kept as {aside.name}; its epochs are trained again."
            self.emit(Notice(task_id=self.task.cohort_id, text=text))
            return None

    def _report_again(self) -> None:
        """Report the checkpoint's content again: the driver may have died before recording it."""
        for runner in self.runners:
            for epoch in runner.history:
                self.emit(epoch)
            if runner.outcome is not None and runner.status == "ended":
                self.emit(runner.outcome)
            if runner.member.trial_id in self.task.finished:
                runner.release()

    def _fuse(self, next_epoch: int) -> None:
        """Fuse the active runners into one network for `next_epoch`; their states and optimizers become views of it."""
        self.active = [runner for runner in self.runners if runner.status == "active"]
        if not self.active:
            return
        recipes = [runner.member.recipe for runner in self.active]
        frozen = next_epoch <= self.num_frozen_epochs
        self.network = self.assembly.build_network(recipes, [runner.state for runner in self.active], frozen)
        body = self.assembly.body_names(recipes[0], self.network.members[0])
        for k, runner in enumerate(self.active):
            runner.bind(self.network.members[k], self.network.member_buffers[k], body)
        self.session = Session(self.splits, self.assembly, self.active, self.labels)
        settings = [ObjectiveSettings(recipe.label_smoothing, recipe.class_weights, recipe.loss) for recipe in recipes]
        objective = Objective(settings, self.assembly.class_names, self.session.train_labels())
        num_epochs = max(recipe.epochs for recipe in recipes) - self.epoch
        self.train_epoch = self.session.start(self.network, objective, num_epochs)

    def _judged_network(self) -> Network:
        """Return the network to evaluate: with averaged weights if a member averages, else the trained one."""
        if not any(runner.is_averaged for runner in self.active):
            return self.network
        states = [runner.judged_state() for runner in self.active]
        return self.assembly.build_network([runner.member.recipe for runner in self.active], states)

    def _finish_ending(self) -> bool:
        """Write the results of the runners that have ended, then report them; return whether there were any.

        All are saved before the first is reported. They are computed fused: after an interruption between reports the
        others would be computed without the first, with different last digits.
        """
        ending = [runner for runner in self.runners if runner.status == "ending"]
        trained = [runner for runner in ending if runner.outcome is None]
        if trained:
            self._finish_trained(trained)
        for runner in ending:
            runner.release()
        if trained:
            save_checkpoint(self.folders.checkpoint(self.task.cohort_id), self.epoch, self.runners)
        for runner in ending:
            if runner.outcome is not None:
                self.emit(runner.outcome)
        return bool(ending)

    def _finish_trained(self, runners: Sequence[MemberTrainer]) -> None:
        """Evaluate the best weights on both splits, save weights and predictions, set the outcomes."""
        started = time.perf_counter()
        kept = [runner.kept_weights() for runner in runners]
        recipes = [runner.member.recipe for runner in runners]
        network = self.assembly.build_network(recipes, kept)
        session, labels = Session(self.splits, self.assembly, runners, self.labels), self.labels
        features = self.assembly.features
        train_KNL, validation_KNL = session.predict_train(network), session.predict_validation(network)
        share = (time.perf_counter() - started) / len(runners)
        for k, runner in enumerate(runners):
            trial_id = runner.member.trial_id
            validation_indices = session.validation_indices(k)
            weights = self.assembly.name_for_saving(runner.member.recipe, kept[k])
            record = describe_model(runner.member, self.assembly, runner.member.view or self.task.data)
            path = self.folders.weights(trial_id)
            write_whole(path, partial(save_file, weights, metadata=record.dump()))
            save_predictions(
                self.folders.predictions(trial_id, "validation"),
                validation_KNL[k],
                labels[validation_indices],
                validation_indices,
                self.groups,
            )
            if self.task.keep_train:
                train = session.train_indices(k)
                path = self.folders.predictions(trial_id, "train")
                save_predictions(path, train_KNL[k], labels[train], train, self.groups)
            runner.seconds += share
            more = self._more_metrics(runner)
            runner.outcome = TrialDone(
                trial_id=trial_id,
                num_epochs=len(runner.history),
                best_epoch=runner.stopper.best_epoch,
                stop="early_stopping" if runner.stopper.exhausted else "epochs",
                seconds=runner.seconds,
                num_parameters=sum(parameter.numel() for parameter in network.members[k].values()),
                metrics={
                    "train": classification_metrics(train_KNL[k], labels[session.train_indices(k)], more),
                    "validation": classification_metrics(validation_KNL[k], labels[validation_indices], more),
                },
                features="" if features is None else features.key,
                features_seconds=0.0 if features is None else features.seconds,
            )
