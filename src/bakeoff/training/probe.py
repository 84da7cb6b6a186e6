"""The numeric probe: is bfloat16 faster on this machine for these networks, and does it agree with float32?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from bakeoff.data.store import Images
from bakeoff.networks.build import FusedNetwork, initialize
from bakeoff.networks.named import expand
from bakeoff.training.batches import iterate_batches
from bakeoff.training.engine import DTYPES, step
from bakeoff.training.runner import make_optimizer
from bakeoff.training.task import Event, Member, ProbeDone, ProbeTask, TaskDone

NUM_STEPS = 12
"""Timed steps per mode, after two that warm up."""

LARGEST_DIFFERENCE = 0.25
"""Largest relative distance ||g16 - g32|| / ||g32|| of a member's first gradient at which the modes agree.

bfloat16 keeps 8 bits, and a rounded value can fall on the other side of a ReLU or win another max-pool window: correct
kernels were measured at 1% (LeNet) to 10% (ModNet1) here, where the gradients of two different batches differ by about
100%. A broken or overflowing kernel gives about 1 or NaN.
"""

Emit = Callable[[Event], None]


def probe_numeric(task: ProbeTask, images: Images, emit: Emit) -> None:
    """Train the members a few steps in both modes, in turn, and report the median step times and the agreement.

    Where the first bfloat16 steps take three times as long as float32's, the processor emulates it: no more are
    taken.
    """
    networks = {mode: _build(task.members, images, task.data.seed, dtype) for mode, dtype in DTYPES.items()}
    difference = _compare_gradients(networks["float32"], networks["bfloat16"], task, images)
    optimizers = {
        mode: [make_optimizer(m, list(p.values())) for m, p in zip(task.members, net.members, strict=True)]
        for mode, net in networks.items()
    }
    seconds: dict[str, list[float]] = {mode: [] for mode in DTYPES}
    for number in range(NUM_STEPS + 2):
        for mode, network in networks.items():
            seconds[mode].append(_time_step(network, optimizers[mode], task, images, number))
        if number == 1:
            if seconds["bfloat16"][1] > 3 * seconds["float32"][1]:
                break
            seconds = {mode: [] for mode in DTYPES}
    emit(
        ProbeDone(
            probe_id=task.probe_id,
            seconds_per_step={mode: statistics.median(times) for mode, times in seconds.items()},
            relative_difference=difference,
            agrees=difference <= LARGEST_DIFFERENCE,
        )
    )
    emit(TaskDone(task_id=task.probe_id))


def _build(members: Sequence[Member], images: Images, seed: int, dtype: torch.dtype) -> FusedNetwork:
    shape = images.shape_HWC
    layers = [expand(member.recipe.network, shape, len(images.class_names)) for member in members]
    states = [
        initialize(each, shape, member.recipe.initializer, seed) for each, member in zip(layers, members, strict=True)
    ]
    return FusedNetwork(layers, states, dtype)


def _batch(task: ProbeTask, images: Images, number: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    size = task.members[0].recipe.batch_size
    order = np.arange(number * size, (number + 1) * size) % len(images.labels)
    return next(iterate_batches(images.pixels, images.labels, order, size, dtype))


def _time_step(
    network: FusedNetwork, optimizers: list[torch.optim.Optimizer], task: ProbeTask, images: Images, number: int
) -> float:
    images_NCHW, labels_N = _batch(task, images, number, network.dtype)
    loss_K = torch.zeros(network.num_members, dtype=torch.float64)
    started = time.perf_counter()
    step(network, optimizers, images_NCHW, labels_N, torch.Generator().manual_seed(number), loss_K)
    return time.perf_counter() - started


def _compare_gradients(exact: FusedNetwork, fast: FusedNetwork, task: ProbeTask, images: Images) -> float:
    """Return the worst member's relative distance of the first gradients; infinite where one is not finite."""
    for network in (exact, fast):
        images_NCHW, labels_N = _batch(task, images, 0, network.dtype)
        loss_K = torch.zeros(network.num_members, dtype=torch.float64)
        step(network, [], images_NCHW, labels_N, torch.Generator().manual_seed(0), loss_K)
    distances = []
    for one, other in zip(exact.members, fast.members, strict=True):
        reference = torch.cat([p.grad.flatten() for p in one.values() if p.grad is not None])
        compared = torch.cat([p.grad.flatten() for p in other.values() if p.grad is not None])
        distances.append(float((compared - reference).norm() / reference.norm().clamp_min(1e-30)))
    worst = max(distances)
    return worst if all(np.isfinite(distances)) else float("inf")
