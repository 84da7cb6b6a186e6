"""Train one cohort on one device: K >= 1 trials, fused forward pass, everything else their own.

Shape legend: K members, N images, L classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from bakeoff.analysis.metrics import classification_metrics
from bakeoff.data.splits import split_fold, split_stratified
from bakeoff.data.store import Images
from bakeoff.networks.build import FusedNetwork, initialize
from bakeoff.networks.named import expand
from bakeoff.training.batches import epoch_order, iterate_batches
from bakeoff.training.checkpoint import load_checkpoint, save_checkpoint
from bakeoff.training.evaluate import predict
from bakeoff.training.folders import Folders, save_predictions, write_whole
from bakeoff.training.runner import Runner
from bakeoff.training.stopping import Stopper
from bakeoff.training.task import CohortTask, DataView, EpochDone, Event, TaskDone, TrialDone, TrialFailed

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_DROPOUT_STREAM = 1_000_004
"""Keeps dropout's random stream apart from the order's and the layers'."""

Indices = npt.NDArray[np.int64]
Emit = Callable[[Event], None]


def train_cohort(task: CohortTask, images: Images, workspace: Path, emit: Emit) -> None:
    """Train every member of `task` to its end, or on from the cohort's checkpoint.

    After each epoch the whole cohort is checkpointed, then the epoch is reported: what was reported is never trained
    again. A member whose numbers leave the finite range fails alone. Randomness is a function of the replicate's seed,
    the epoch and the layer, never of the cohort, so fused and separate training agree to rounding.

    Args:
        task: the members and the view of the images they share.
        images: the training images, validation split included.
        workspace: where weights, predictions and the checkpoint go.
        emit: called with every event, in order; ends with TaskDone.
    """
    cohort = _Cohort(task, images, Folders(workspace), emit)
    while cohort.has_active():
        cohort.run_epoch()
    emit(TaskDone(task_id=task.cohort_id))


@dataclass
class _Epoch:
    """What one pass over the training images measured, per member."""

    loss_K: npt.NDArray[np.float64]
    accuracy_K: npt.NDArray[np.float64]
    images_per_second: float


class _Cohort:
    """The runners of one task, the fused network of those still active, and the epoch they have reached."""

    def __init__(self, task: CohortTask, images: Images, folders: Folders, emit: Emit) -> None:
        self.task, self.images, self.folders, self.emit = task, images, folders, emit
        self.train_indices, self.validation_indices = split_view(images.labels, task.data)
        self.epoch = 0
        self.runners = self._resume() or self._start()
        self._report_again()
        self._finish_ending()
        self._fuse()

    def has_active(self) -> bool:
        return any(runner.status == "active" for runner in self.runners)

    def run_epoch(self) -> None:
        """Train, validate, checkpoint, report; then let those leave that have come to their end."""
        started = time.perf_counter()
        self.epoch += 1
        measured = train_epoch(
            self.network, self.active, self.images, self.train_indices, self.task.data.seed, self.epoch
        )
        probabilities_KNL = predict(self.network, self.images.pixels, self.images.labels, self.validation_indices)
        seconds = time.perf_counter() - started
        for k, runner in enumerate(self.active):
            validation = self._measure(probabilities_KNL[k])
            self._record(runner, measured, k, validation, seconds)
        save_checkpoint(self.folders.checkpoint(self.task.cohort_id), self.epoch, self.runners)
        for runner in self.active:
            if runner.history and runner.history[-1].epoch == self.epoch:
                self.emit(runner.history[-1])
        if self._finish_ending():
            self._fuse()

    def _measure(self, probabilities_NL: npt.NDArray[np.float32]) -> dict[str, float] | None:
        """Return the validation metrics, or None where a prediction is not finite."""
        if not np.isfinite(probabilities_NL).all():
            return None
        return classification_metrics(probabilities_NL, self.images.labels[self.validation_indices])

    def _record(
        self, runner: Runner, measured: _Epoch, k: int, validation: dict[str, float] | None, seconds: float
    ) -> None:
        """Add the epoch to one runner's history and decide whether it goes on."""
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
        if runner.stopper.observe(self.epoch, validation):
            runner.keep_weights()
        if runner.stopper.exhausted or self.epoch >= runner.member.recipe.epochs:
            runner.status = "ending"

    def _start(self) -> list[Runner]:
        runners = []
        for member in self.task.members:
            layers = expand(member.recipe.network, self.images.shape_HWC, len(self.images.class_names))
            state = initialize(layers, self.images.shape_HWC, member.recipe.initializer, self.task.data.seed)
            runners.append(Runner(member, layers, state, Stopper(member.recipe.early_stopping)))
        return runners

    def _resume(self) -> list[Runner] | None:
        sources = filter(None, (self.task.cohort_id, self.task.resume_from))
        content = next(filter(None, (load_checkpoint(self.folders.checkpoint(source)) for source in sources)), None)
        members = {member.trial_id: member for member in self.task.members}
        if content is None or not members.keys() <= content["members"].keys():
            return None  # a checkpoint that lacks a member would leave it untrained, without a word
        self.epoch = content["epoch"]
        return [
            Runner.unpack(
                members[trial_id],
                expand(members[trial_id].recipe.network, self.images.shape_HWC, len(self.images.class_names)),
                packed,
            )
            for trial_id, packed in content["members"].items()
            if trial_id in members
        ]

    def _report_again(self) -> None:
        """Report what the checkpoint holds once more: the driver may have died before it wrote that down."""
        for runner in self.runners:
            for epoch in runner.history:
                self.emit(epoch)
            if runner.outcome is not None and runner.status == "ended":
                self.emit(runner.outcome)
            if runner.member.trial_id in self.task.finished:
                runner.release()

    def _fuse(self) -> None:
        """Fold the active runners into one network; their states and optimizers move into it."""
        self.active = [runner for runner in self.runners if runner.status == "active"]
        if not self.active:
            return
        self.network = FusedNetwork(
            [runner.layers for runner in self.active],
            [{name: tensor.detach() for name, tensor in runner.state.items()} for runner in self.active],
            DTYPES[self.task.numeric],
        )
        for runner, parameters in zip(self.active, self.network.members, strict=True):
            runner.bind(parameters)

    def _finish_ending(self) -> bool:
        """Write the results of the runners that came to their end, then report them; return whether there were any.

        All are safe before the first is reported. They are computed fused, and an interruption after the first would
        leave the others to be computed without it, to other last digits.
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

    def _finish_trained(self, runners: Sequence[Runner]) -> None:
        """Evaluate the kept weights on both splits, save weights and predictions, set the outcomes."""
        started = time.perf_counter()
        kept = [runner.kept_weights() for runner in runners]
        network = FusedNetwork([runner.layers for runner in runners], kept, DTYPES[self.task.numeric])
        labels = self.images.labels
        train_KNL = predict(network, self.images.pixels, labels, self.train_indices)
        validation_KNL = predict(network, self.images.pixels, labels, self.validation_indices)
        share = (time.perf_counter() - started) / len(runners)
        for k, runner in enumerate(runners):
            trial_id = runner.member.trial_id
            weights = {name: tensor.contiguous() for name, tensor in kept[k].items()}
            write_whole(self.folders.weights(trial_id), partial(save_file, weights))
            save_predictions(
                self.folders.predictions(trial_id, "validation"),
                validation_KNL[k],
                labels[self.validation_indices],
                self.validation_indices,
            )
            runner.seconds += share
            runner.outcome = TrialDone(
                trial_id=trial_id,
                num_epochs=len(runner.history),
                best_epoch=runner.stopper.best_epoch,
                stop="early_stopping" if runner.stopper.exhausted else "epochs",
                seconds=runner.seconds,
                num_parameters=sum(tensor.numel() for tensor in weights.values()),
                metrics={
                    "train": classification_metrics(train_KNL[k], labels[self.train_indices]),
                    "validation": classification_metrics(validation_KNL[k], labels[self.validation_indices]),
                },
            )


def split_view(labels: Indices, view: DataView) -> tuple[Indices, Indices]:
    """Return the indices to train on and those held out for validation: a stratified share, or one fold."""
    if view.folds is None or view.fold is None:
        return split_stratified(labels, view.validation, view.seed)
    return split_fold(labels, view.folds, view.fold, view.seed)


def train_epoch(
    network: FusedNetwork, runners: Sequence[Runner], images: Images, indices: Indices, seed: int, epoch: int
) -> _Epoch:
    """Take one pass over the images at `indices`, every member on the same batches in the same order.

    Returns:
        Loss (nats) and accuracy per member, averaged over the pass as the weights moved, and the rate.
    """
    started = time.perf_counter()
    batch_size = runners[0].member.recipe.batch_size
    dropout = _seeded(seed, epoch)
    loss_K = torch.zeros(network.num_members, dtype=torch.float64)
    correct_K = torch.zeros(network.num_members, dtype=torch.int64)
    order = epoch_order(indices, seed, epoch)
    optimizers = [runner.optimizer for runner in runners if runner.optimizer is not None]
    for images_NCHW, labels_N in iterate_batches(images.pixels, images.labels, order, batch_size, network.dtype):
        logits_KNL = step(network, optimizers, images_NCHW, labels_N, dropout, loss_K)
        correct_K += (logits_KNL.argmax(dim=2) == labels_N).sum(dim=1)
    rate = len(order) * network.num_members / (time.perf_counter() - started)
    return _Epoch((loss_K / len(order)).numpy(), (correct_K.double() / len(order)).numpy(), rate)


def step(
    network: FusedNetwork,
    optimizers: Sequence[torch.optim.Optimizer],
    images_NCHW: torch.Tensor,
    labels_N: torch.Tensor,
    dropout: torch.Generator,
    loss_K: torch.Tensor,
) -> torch.Tensor:
    """Move every member by one step; add each one's summed loss to `loss_K`; return the detached logits_KNL.

    The members' mean losses are summed, so each one's gradient is that of its own mean loss.
    """
    network.clear_gradients()
    logits_KNL = network(images_NCHW, network.cast(), dropout)
    repeated_labels = labels_N.repeat(network.num_members)
    losses = F.cross_entropy(logits_KNL.flatten(0, 1), repeated_labels, reduction="none")
    losses_KN = losses.view(network.num_members, -1)
    torch.autograd.backward(losses_KN.sum() / len(labels_N))
    network.share_gradients()
    for optimizer in optimizers:
        optimizer.step()
    loss_K += losses_KN.detach().sum(dim=1)
    return logits_KNL.detach()


def _seeded(seed: int, epoch: int) -> torch.Generator:
    words = np.random.SeedSequence([seed, _DROPOUT_STREAM, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
