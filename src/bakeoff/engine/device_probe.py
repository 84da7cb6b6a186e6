"""The numeric probe on a device: is bfloat16 faster there for these networks, and does it agree with float32?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.objective_settings import ObjectiveSettings
from bakeoff.data.store import Images
from bakeoff.engine.assembly import Assembly
from bakeoff.engine.device_context import DeviceContext, Step
from bakeoff.engine.epoch import compute_gradients
from bakeoff.engine.inputs import Batch
from bakeoff.engine.objective import Objective
from bakeoff.engine.optim.stacks import read_stacks
from bakeoff.engine.probe import LARGEST_DIFFERENCE
from bakeoff.engine.stepper import is_worth_recording
from bakeoff.messages import Event, ProbeDone, ProbeTask, TaskDone
from bakeoff.workspace import Folders

NUM_STEPS = 20
"""Timed forward and backward passes per mode, after four warm-up passes."""

_WARM_UP = 4
_MODES: tuple[Numeric, ...] = ("float32", "bfloat16")


def probe_on_device(
    task: ProbeTask, images: Images, workspace: Path, emit: Callable[[Event], None], context: DeviceContext
) -> None:
    """Run one batch through the members in both modes; report the times and the difference of the gradients.

    The optimizer step is left out: it is the same in both.
    """
    benches = {mode: _Bench(task, images, workspace, mode, context) for mode in _MODES}
    exact, fast = (bench.take_gradients() for bench in benches.values())
    scale_K = exact.norm(dim=1).clamp_min(1e-30)
    worst = ((fast - exact).norm(dim=1) / scale_K).nan_to_num(torch.inf).max()
    difference = float(worst)
    emit(
        ProbeDone(
            probe_id=task.probe_id,
            seconds_per_step={mode: bench.time() for mode, bench in benches.items()},
            relative_difference=difference,
            agrees=difference <= LARGEST_DIFFERENCE,
        )
    )
    emit(TaskDone(task_id=task.probe_id))


class _Bench:
    """The members in one numeric mode, and a batch."""

    def __init__(self, task: ProbeTask, images: Images, workspace: Path, mode: Numeric, context: DeviceContext) -> None:
        assembly = Assembly.make(task, images, Folders(workspace), mode, context=context)
        seed, recipes = task.data.seed, [member.recipe for member in task.members]
        self._network = assembly.build_network(recipes, [assembly.first_state(recipe, seed) for recipe in recipes])
        settings = [ObjectiveSettings(recipe.label_smoothing, recipe.class_weights, recipe.loss) for recipe in recipes]
        self._objective = Objective(settings, assembly.class_names, images.labels)
        self._context, self._batch_size = context, recipes[0].batch_size
        order = torch.arange(self._batch_size).remainder(len(images.labels)).numpy()
        num_steps = len(images.labels) // self._batch_size * max(recipe.epochs for recipe in recipes)
        self._is_recorded = is_worth_recording(self._network, recipes, num_steps)
        self._dropout = torch.Generator(context.device)
        inputs = assembly.prepare_inputs(recipes, [0] * len(recipes), [seed])
        self._batch: Batch = next(iter(inputs.train([order], self._batch_size, 1)))

    def take_gradients(self) -> torch.Tensor:
        """Return every member's gradient of the batch, (K, number of weights), float32."""
        self._dropout.manual_seed(0)
        self._pass()
        gradients = read_stacks(self._network).gradients().values()
        return torch.cat([gradient.flatten(1).float() for gradient in gradients], dim=1).clone()

    def time(self) -> float:
        """Return the median seconds per pass: eager, or recorded if training records its steps and that is faster."""
        seconds, capture = self._time(self._pass), self._context.capture
        if not self._is_recorded or capture is None:
            return seconds
        for _ in range(_WARM_UP):
            capture.warm_up(self._pass)
        return min(seconds, self._time(capture.capture(self._pass, [self._dropout])))

    def _time(self, run: Step) -> float:
        seconds = []
        for _ in range(_WARM_UP + NUM_STEPS):
            started = time.perf_counter()
            run()
            self._wait()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[_WARM_UP:])

    def _pass(self) -> None:
        self._network.clear_gradients()
        compute_gradients(self._network, self._objective, self._batch, self._dropout, self._batch_size)

    def _wait(self) -> None:
        if self._context.capture is not None:
            self._context.capture.wait()
