"""One pass over the training images on a GPU: equivalent to `epoch.train_epoch`, with fewer kernel launches.

All members' weights are updated in one call, sums stay on the device until the epoch ends, and after a few steps a step
is captured and replayed. None of this changes a digit: the same kernels run.

Shape legend: K members, S replicates among them, N images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from bakeoff.catalog.recipe import Recipe
from bakeoff.engine.batches import epoch_order
from bakeoff.engine.device_context import Capture, DeviceContext, Step
from bakeoff.engine.epoch import AccumulationSchedule, Epoch, compute_gradients, count_right, move, seed_dropout
from bakeoff.engine.fused.draws import Randomness, ReplicateDraws
from bakeoff.engine.fused.module_network import ModuleNetwork
from bakeoff.engine.inputs import Batch, Indices
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.objective import Objective
from bakeoff.engine.optim.stacked import StackedOptimizer, fits
from bakeoff.engine.parts import Network
from bakeoff.engine.prepared import PreparedInputs

WARM_UP_STEPS = 4
"""Warm-up steps before timing: kernels are loaded and memory is allocated."""

TIMED_STEPS = 8
"""Number of timed eager steps, and of timed replayed steps."""

LEAST_STEPS = 300
"""Minimum number of remaining steps for which a capture pays off."""


@dataclass(frozen=True)
class Replicates:
    """The replicates of a cohort's active members.

    Attributes:
        seeds: each replicate's.
        orders: the indices of each replicate's training images.
        of_K: the replicate of each member.
    """

    seeds: tuple[int, ...]
    orders: tuple[Indices, ...]
    of_K: tuple[int, ...]


def is_worth_recording(network: Network, recipes: Sequence[Recipe], num_steps: int) -> bool:
    """Return whether a step can be recorded, and enough steps follow: all members are updated at once, by no draws.

    Args:
        network: may draw random numbers of its own, which a recording would repeat.
        recipes: its members'.
        num_steps: still to come.
    """
    draws = isinstance(network, ModuleNetwork) and network.body.draws
    return num_steps >= LEAST_STEPS and fits(recipes) and not draws


class Stepper:
    """Trains the members of one network until one of them leaves.

    Args:
        network: the members' network.
        runners: the members, bound to it.
        inputs: their inputs.
        objective: their losses.
        replicates: their seeds and images.
        context: the device.
        num_epochs: maximum number of epochs left, to decide whether a capture pays off.
    """

    def __init__(
        self,
        network: Network,
        runners: Sequence[MemberTrainer],
        inputs: PreparedInputs,
        objective: Objective,
        replicates: Replicates,
        context: DeviceContext,
        num_epochs: int,
    ) -> None:
        self._network, self._runners, self._inputs, self._objective = network, runners, inputs, objective
        self._replicates, self._context = replicates, context
        self._batch_size = runners[0].member.recipe.batch_size
        self._pacer = AccumulationSchedule(
            len(replicates.orders[0]), self._batch_size, [runner.member.recipe.accumulate for runner in runners]
        )
        num_steps = self._pacer.num_batches
        recipes = [runner.member.recipe for runner in runners]
        self._optimizer = StackedOptimizer(network, runners, num_steps) if fits(recipes) else None
        self._generators = [torch.Generator(context.device) for _ in replicates.seeds]
        num_members = network.num_members
        self._loss_K = torch.zeros(num_members, dtype=context.exact, device=context.device)
        self._right_K = torch.zeros(num_members, dtype=context.exact, device=context.device)
        worthwhile = is_worth_recording(network, recipes, num_steps * num_epochs)
        self._recorder = _Recorder(context.capture, self._generators) if worthwhile and context.capture else None

    def train_epoch(self, epoch: int) -> Epoch:
        """Train one epoch, every member on its replicate's images in its replicate's order."""
        started = time.perf_counter()
        orders = [
            epoch_order(order, seed, epoch)
            for order, seed in zip(self._replicates.orders, self._replicates.seeds, strict=True)
        ]
        self._begin(epoch)
        for number, batch in enumerate(self._inputs.train(orders, self._batch_size, epoch)):
            self._take(number, batch, epoch)
        self._end(epoch)
        num_images = len(orders[0])
        loss_K, accuracy_K = (self._loss_K / num_images).cpu(), (self._right_K.cpu().double() / num_images)
        rate = num_images * self._network.num_members / (time.perf_counter() - started)
        return Epoch(loss_K.double().numpy(), accuracy_K.numpy(), rate)

    def _begin(self, epoch: int) -> None:
        for generator, seed in zip(self._generators, self._replicates.seeds, strict=True):
            generator.manual_seed(seed_dropout(seed, epoch))
        self._loss_K.zero_()
        self._right_K.zero_()
        if self._optimizer is not None:
            self._optimizer.begin_epoch(
                [self._pacer.progress(epoch, number, 0) for number in range(self._pacer.num_batches)]
            )

    def _end(self, epoch: int) -> None:
        if self._optimizer is not None:
            self._optimizer.end_epoch(self._pacer.num_batches)
        for runner in self._runners:
            runner.end_epoch(epoch)

    def _take(self, number: int, batch: Batch, epoch: int) -> None:
        """Take the step of batch `number`; the last batch of an epoch may be smaller, and is never recorded."""
        if self._optimizer is None:
            self._step_separately(number, batch, epoch)
        elif self._recorder is None or batch.labels_N.shape[-1] != self._batch_size:
            self._step_together(batch)
        else:
            self._recorder.run(batch, self._step_together)

    def _step_together(self, batch: Batch) -> None:
        assert self._optimizer is not None, "members that step separately do not come here"
        self._network.clear_gradients()
        self._sum(batch, compute_gradients(self._network, self._objective, batch, self._dropout, self._count(batch)))
        self._optimizer.step()

    def _step_separately(self, number: int, batch: Batch, epoch: int) -> None:
        """Take a step for members that accumulate, or whose optimizers have no stacked version."""
        if self._pacer.starts_afresh(number):
            self._network.clear_gradients()
        divisors = self._pacer.divisors(number)
        self._sum(batch, compute_gradients(self._network, self._objective, batch, self._dropout, divisors))
        due = [k for k in range(len(self._runners)) if self._pacer.ends(number, k)]
        move(self._network, self._runners, {k: self._pacer.progress(epoch, number, k) for k in due})

    def _sum(self, batch: Batch, measured: tuple[Tensor, Tensor]) -> None:
        losses_KN, logits_KNL = measured
        self._loss_K += losses_KN.sum(dim=1)
        self._right_K += count_right(logits_KNL, batch)

    def _count(self, batch: Batch) -> int:
        return batch.labels_N.shape[-1]

    @property
    def _dropout(self) -> Randomness:
        if len(self._generators) == 1:
            return self._generators[0]
        return ReplicateDraws(tuple(self._generators), self._replicates.of_K)


class _Recorder:
    """Runs a step eagerly, times it, records it, and then uses whichever is faster.

    It keeps no reference to a step or its owner: a cycle would hold a graph's memory after the members were fused anew.

    Args:
        capture: records steps.
        generators: the random generators they use.
    """

    def __init__(self, capture: Capture, generators: Sequence[torch.Generator]) -> None:
        self._capture, self._generators = capture, generators
        self._batch: Batch | None = None
        self._replay: Step | None = None
        self._num_taken, self._started, self._plain_seconds = 0, 0.0, 0.0

    def run(self, batch: Batch, step: Callable[[Batch], object]) -> None:
        """Take the step of one batch; all batches have the same shape.

        The first are eager, then some are timed; one is recorded, and as many replays are timed.
        """
        loaded, number = self._load(batch), self._num_taken
        self._num_taken += 1
        recorded_at = WARM_UP_STEPS + TIMED_STEPS
        if number in (WARM_UP_STEPS, recorded_at + 1):
            self._started = self._now()
        if number == recorded_at:
            self._plain_seconds = self._now() - self._started
            self._replay = self._capture.capture(partial(step, loaded), self._generators)
        if number < recorded_at:
            self._capture.warm_up(partial(step, loaded))
        elif self._replay is not None:
            self._replay()
        else:
            step(loaded)
        if number == recorded_at + TIMED_STEPS and self._now() - self._started > self._plain_seconds:
            self._replay = None

    def _load(self, batch: Batch) -> Batch:
        """Copy a batch to the tensors that the recorded step reads, and return these."""
        if self._batch is None:
            self._batch = _like(batch)
        for target, source in zip(_tensors(self._batch), _tensors(batch), strict=True):
            target.copy_(source)
        return self._batch

    def _now(self) -> float:
        self._capture.wait()
        return time.perf_counter()


def _tensors(batch: Batch) -> list[Tensor]:
    mixed = [] if batch.mixed is None else [batch.mixed.partner_labels_N, batch.mixed.share_N]
    return [batch.inputs, batch.labels_N, *mixed]


def _like(batch: Batch) -> Batch:
    """Return a batch of the same shapes and memory layout."""
    inputs, labels_N, *rest = (torch.empty_like(tensor) for tensor in _tensors(batch))
    mixed = None
    if batch.mixed is not None:
        mixed = replace(batch.mixed, partner_labels_N=rest[0], share_N=rest[1])
    return Batch(inputs, labels_N, mixed)
