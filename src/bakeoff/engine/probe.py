"""The numeric probe: is bfloat16 faster on this machine for these networks, and does it agree with float32?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bakeoff.catalog.numeric_modes import (
    ENOUGH_PROBE_SECONDS,
    FEWEST_PROBE_STEPS,
    NUM_PROBE_STEPS,
    NUM_WARM_UP_STEPS,
    Numeric,
)
from bakeoff.catalog.objective_settings import ObjectiveSettings
from bakeoff.catalog.schedules import Progress
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.epoch import compute_gradients, move
from bakeoff.engine.fused.build import FusedNetwork, count_layers_in_turn
from bakeoff.engine.inputs import Batch
from bakeoff.engine.member_trainer import MemberTrainer
from bakeoff.engine.objective import Objective
from bakeoff.engine.optim.joint import JointOptimizer
from bakeoff.messages import Event, ProbeDone, ProbeTask, TaskDone
from bakeoff.workspace import Folders

LARGEST_DIFFERENCE = 0.25
"""Largest relative distance ||g16 - g32|| / ||g32|| of a member's first gradient for the modes to agree.

bfloat16 keeps 8 bits, and a rounded value can fall on the other side of a ReLU or win another max-pool window: correct
kernels were measured at 1% (LeNet) to 10% (ModNet1) here, where the gradients of two different batches differ by about
100%. A broken or overflowing kernel gives about 1 or NaN.
"""

NEARLY_AS_FAST = 1.25
"""Separate members that take longer than fused ones by more than this factor are not timed in turn: up to 1.1 in turn
was faster, from 1.17 on slower (docs/log.md)."""

ENOUGH_TURN_SECONDS = 3.0
"""Time limit after which only the minimum of steps is timed in turn."""

_MODES: tuple[Numeric, ...] = ("float32", "bfloat16")

Emit = Callable[[Event], None]


def probe_numeric(task: ProbeTask, images: Images, workspace: Path, emit: Emit) -> None:
    """Train the members for a few alternating steps in both modes, fused and the first alone; report median times.

    If the first bfloat16 steps take three times as long as float32's, the CPU emulates bfloat16, and no more are taken.
    Times are CPU times of the process, so that other load on the machine hardly matters.
    """
    folders = Folders(workspace)
    fused = {mode: Bench(task, images, folders, mode) for mode in _MODES}
    difference = _compare_gradients(fused["float32"], fused["bfloat16"])
    alone: dict[Numeric, Bench] = {}
    if len(task.members) > 1:
        first = replace(task, members=task.members[:1])
        alone = {mode: Bench(first, images, folders, mode) for mode in _MODES}
    benches = [*fused.values(), *alone.values()]
    medians = [statistics.median(times) for times in _time_steps(benches)]
    seconds: dict[str, float] = dict(zip(fused, medians, strict=False))
    seconds_alone: dict[str, float] = dict(zip(alone, medians[len(fused) :], strict=True))
    agrees = difference <= LARGEST_DIFFERENCE
    chosen: Numeric = "bfloat16" if agrees and seconds["bfloat16"] < seconds["float32"] else "float32"
    seconds_in_turn: dict[str, float] = {}
    if _may_gain_in_turn(fused[chosen], seconds[chosen], seconds_alone.get(chosen)):
        bench = fused[chosen]
        if task.cohort:
            bench = Bench(replace(task, members=task.cohort), images, folders, chosen)
        seconds_in_turn = {chosen: seconds[chosen] * _time_in_turn(bench)}
    emit(
        ProbeDone(
            probe_id=task.probe_id,
            seconds_per_step=seconds,
            relative_difference=difference,
            agrees=agrees,
            num_members=len(task.members),
            seconds_alone=seconds_alone,
            seconds_in_turn=seconds_in_turn,
        )
    )
    emit(TaskDone(task_id=task.probe_id))


def _may_gain_in_turn(bench: Bench, seconds: float, seconds_alone: float | None) -> bool:
    """Return whether steps with convolutional layers member by member should be timed.

    Where separate members take much longer than fused ones, as with all small networks, so do these.
    """
    network = bench.network
    if seconds_alone is None or not isinstance(network, FusedNetwork) or not count_layers_in_turn(network.layers):
        return False
    return seconds_alone * len(bench.runners) <= NEARLY_AS_FAST * seconds


def _time_in_turn(bench: Bench) -> float:
    """Return the time of a step with convolutional layers member by member, as a share of the fused step's."""
    network = bench.network
    assert isinstance(network, FusedNetwork), "only these may gain"
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(NUM_WARM_UP_STEPS + NUM_PROBE_STEPS):
        for in_turn, found in times.items():
            network.in_turn = in_turn
            found.append(bench.time_step(number))
        if number >= NUM_WARM_UP_STEPS + FEWEST_PROBE_STEPS and sum(map(sum, times.values())) > ENOUGH_TURN_SECONDS:
            break
    together, by_turns = (statistics.median(found[NUM_WARM_UP_STEPS:]) for found in times.values())
    return by_turns / together


def _time_steps(benches: Sequence[Bench]) -> list[list[float]]:
    """Return the seconds of every bench's alternating steps; the first two benches are the modes, all members fused."""
    seconds: list[list[float]] = [[] for _ in benches]
    started = time.process_time()
    for number in range(NUM_WARM_UP_STEPS + NUM_PROBE_STEPS):
        timed = number - NUM_WARM_UP_STEPS
        if timed >= FEWEST_PROBE_STEPS and time.process_time() - started > ENOUGH_PROBE_SECONDS:
            break  # long steps vary little
        for times, bench in zip(seconds, benches, strict=True):
            times.append(bench.time_step(number))
        if number == NUM_WARM_UP_STEPS - 1:
            exact, fast = seconds[:2]
            if fast[1] > 3 * exact[1]:
                return [times[1:] for times in seconds]
            seconds = [[] for _ in benches]
    return seconds


class Bench:
    """The members in one numeric mode, ready to take steps."""

    def __init__(self, task: ProbeTask, images: Images, folders: Folders, mode: Numeric) -> None:
        assembly = Assembly.make(task, images, folders, mode)
        seed = task.data.seed
        recipes = [member.recipe for member in task.members]
        self.runners = [
            MemberTrainer.start(member, assembly.layers_of(member.recipe), assembly.first_state(member.recipe, seed))
            for member in task.members
        ]
        self.network = assembly.build_network(recipes, [runner.state for runner in self.runners])
        body = assembly.body_names(recipes[0], self.network.members[0])
        for k, runner in enumerate(self.runners):
            runner.bind(self.network.members[k], self.network.member_buffers[k], body)
        self.joint = JointOptimizer(self.runners, self.network)
        self.inputs = assembly.make_inputs(recipes, seed)
        settings = [ObjectiveSettings(recipe.label_smoothing, recipe.class_weights, recipe.loss) for recipe in recipes]
        self.objective = Objective(settings, assembly.class_names, images.labels)
        self.num_images, self.batch_size = len(images.labels), recipes[0].batch_size

    def time_step(self, number: int) -> float:
        """Take one step on batch `number`; return its seconds, including the preparation of images."""
        started = time.process_time()
        self.compute_gradients(number)
        move(self.network, self.runners, dict.fromkeys(range(len(self.runners)), Progress(0.0, 0, 1)), self.joint)
        return time.process_time() - started

    def compute_gradients(self, number: int) -> None:
        """Set every member's gradient to that of batch `number`."""
        batch = self._take(number)
        self.network.clear_gradients()
        generator = torch.Generator().manual_seed(number)
        compute_gradients(self.network, self.objective, batch, generator, len(batch.labels_N))

    def _take(self, number: int) -> Batch:
        order = np.arange(number * self.batch_size, (number + 1) * self.batch_size) % self.num_images
        return next(self.inputs.train(order, self.batch_size, 1))


def _compare_gradients(exact: Bench, fast: Bench) -> float:
    """Return the largest relative distance of a member's first gradients; infinite if one is not finite."""
    for bench in (exact, fast):
        bench.compute_gradients(0)
        bench.network.share_gradients()
    distances = []
    for one, other in zip(exact.network.members, fast.network.members, strict=True):
        reference = torch.cat([p.grad.flatten() for p in one.values() if p.grad is not None])
        compared = torch.cat([p.grad.flatten() for p in other.values() if p.grad is not None])
        distances.append(float((compared - reference).norm() / reference.norm().clamp_min(1e-30)))
    worst = max(distances)
    return worst if all(np.isfinite(distances)) else float("inf")
