"""One training epoch: every member of a network is trained on the same batches.

Shape legend: K members, N images, L classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.schedules import Progress
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.fused.draws import Randomness
from bakeoff.engine.inputs import Batch, Inputs
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.objective import Objective
from bakeoff.engine.optim.joint import JointOptimizer
from bakeoff.engine.parts import Network

_DROPOUT_STREAM = 1_000_004
"""Separates dropout's random stream from those of the order and the layers."""

Indices = npt.NDArray[np.int64]


@dataclass
class Epoch:
    """The results of one training epoch, per member.

    Attributes:
        loss_K: the minimised loss in nats, including label smoothing, class weights and mixing.
        accuracy_K: fraction of correct predictions; each label of a mixed image counts by its weight.
        images_per_second: training images per second, summed over all members.
    """

    loss_K: npt.NDArray[np.float64]
    accuracy_K: npt.NDArray[np.float64]
    images_per_second: float


def train_epoch(
    network: Network,
    runners: Sequence[MemberTrainer],
    inputs: Inputs,
    objective: Objective,
    indices: Indices,
    epoch: int,
) -> Epoch:
    """Train one epoch on the images at `indices`, every member on the same batches in the same order.

    Returns:
        Loss and accuracy per member, averaged over the epoch's steps, and the throughput.
    """
    started = time.perf_counter()
    order = epoch_order(indices, inputs.seed, epoch)
    batch_size = runners[0].member.recipe.batch_size
    pacer = AccumulationSchedule(len(order), batch_size, [runner.member.recipe.accumulate for runner in runners])
    dropout = torch.Generator().manual_seed(seed_dropout(inputs.seed, epoch))
    joint = JointOptimizer(runners, network)
    loss_K = torch.zeros(network.num_members, dtype=torch.float64)
    right_K = torch.zeros(network.num_members, dtype=torch.float64)
    for number, batch in enumerate(inputs.train(order, batch_size, epoch)):
        if pacer.starts_afresh(number):
            network.clear_gradients()
        losses_KN, logits_KNL = compute_gradients(network, objective, batch, dropout, pacer.divisors(number))
        due = [k for k in range(len(runners)) if pacer.ends(number, k)]
        move(network, runners, {k: pacer.progress(epoch, number, k) for k in due}, joint)
        loss_K += losses_KN.sum(dim=1)
        right_K += count_right(logits_KNL, batch)
    joint.return_states()
    for runner in runners:
        runner.end_epoch(epoch)
    rate = len(order) * network.num_members / (time.perf_counter() - started)
    return Epoch((loss_K / len(order)).numpy(), (right_K / len(order)).numpy(), rate)


def compute_gradients(
    network: Network, objective: Objective, batch: Batch, dropout: Randomness, divisors: int | Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Add every member's gradient on one batch to its `grad`; return losses_KN and logits_KNL, detached.

    `divisors` is the number of images over which a member's step averages: those of this batch, or all accumulated.
    """
    logits_KNL = network(batch.inputs, network.cast(), dropout)
    losses_KN = objective(logits_KNL, batch.labels_N, batch.mixed)
    if isinstance(divisors, int):
        # The members' mean losses are summed, so each member's gradient is that of its own mean loss.
        torch.autograd.backward(losses_KN.sum() / divisors)
    else:
        torch.autograd.backward((losses_KN.sum(dim=1) / torch.tensor(divisors, device=losses_KN.device)).sum())
    return losses_KN.detach(), logits_KNL.detach()


def count_right(logits_KNL: Tensor, batch: Batch) -> Tensor:
    """Return how many images of a batch each member classifies correctly, shape (K,).

    A mixed image has two labels: predicting one of them counts by its weight.

    Source: Zhang et al. (2018), mixup, whose code measures training accuracy this way.
    """
    predicted_KN = logits_KNL.argmax(dim=2)
    right_KN = predicted_KN == batch.labels_N
    if batch.mixed is None:
        return right_KN.sum(dim=1)
    share_N, partner_KN = batch.mixed.share_N, predicted_KN == batch.mixed.partner_labels_N
    return (share_N * right_KN + (1 - share_N) * partner_KN).sum(dim=1)


def move(
    network: Network, runners: Sequence[MemberTrainer], due: Mapping[int, Progress], joint: JointOptimizer | None = None
) -> None:
    """Take an optimizer step for the members that are due, and reset their gradients while others accumulate.

    `due` maps members to the training progress before the step; if all are due, `joint` updates them in one call.
    """
    if not due:
        return
    if joint is not None and len(due) == network.num_members:
        joint.step([due[k] for k in range(network.num_members)])
        return
    network.share_gradients()
    for k, progress in due.items():
        runners[k].step(progress)
        if len(due) < network.num_members:
            for parameter in network.members[k].values():
                if parameter.grad is not None:
                    parameter.grad.zero_()


class AccumulationSchedule:
    """Gradient accumulation: which members step after which batch (every `accumulate` batches, and after the last).

    Args:
        num_images: images per epoch.
        batch_size: images per batch; the last may have fewer.
        accumulate: batches per step, for every member.
    """

    def __init__(self, num_images: int, batch_size: int, accumulate: Sequence[int]) -> None:
        self.num_batches = -(-num_images // batch_size)
        self._num_images, self._batch_size, self._accumulate = num_images, batch_size, accumulate

    def starts_afresh(self, number: int) -> bool:
        """Return whether no member holds an accumulated gradient before batch `number` (from 0)."""
        return all(number % count == 0 for count in self._accumulate)

    def ends(self, number: int, k: int) -> bool:
        """Return whether member k steps after batch `number`."""
        return (number + 1) % self._accumulate[k] == 0 or number + 1 == self.num_batches

    def progress(self, epoch: int, number: int, k: int) -> Progress:
        """Return member k's training progress before the step of batch `number` in an epoch (from 1)."""
        count = self._accumulate[k]
        steps = -(-self.num_batches // count)
        done = number // count
        share = done * count * self._batch_size / self._num_images
        return Progress(epoch - 1 + share, (epoch - 1) * steps + done, steps)

    def divisors(self, number: int) -> int | list[int]:
        """Return over how many images the step of batch `number` averages; one number if all members agree."""
        counts = [self._count_images(number - number % count, count) for count in self._accumulate]
        return counts[0] if len(set(counts)) == 1 else counts

    def _count_images(self, first: int, count: int) -> int:
        return min(count * self._batch_size, self._num_images - first * self._batch_size)


def seed_dropout(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's dropout: a function of the replicate's seed and the epoch alone."""
    words = np.random.SeedSequence([seed, _DROPOUT_STREAM, epoch]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
