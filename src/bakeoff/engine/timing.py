"""Times training steps on this machine: a few real steps on random images, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.probe import Bench
from bakeoff.messages import Event, Member, ProbeTask, TaskDone, TimingDone, TimingTask
from bakeoff.workspace import Folders

SMALL_BATCH = 4
"""Batch size of the first step: a whole batch of large images in a large network may take half a minute."""

MOST_STEPS = 4


def time_task(task: TimingTask, workspace: Path, emit: Callable[[Event], None]) -> None:
    """Time training steps of a task's members, fused and the first alone; report seconds per step of a whole batch."""
    deadline = time.perf_counter() + task.budget_seconds
    images = _make_noise(task)
    # With random weights instead of pretrained ones: they take as long.
    recipes = [m.recipe if m.recipe.transfer is None else m.recipe.start_from(None) for m in task.members]
    modes: tuple[Numeric, ...] = ("float32", "bfloat16") if task.numeric == "auto" else (task.numeric,)
    probe = ProbeTask(probe_id=task.timing_id, label=task.label, members=(), data=task.data)
    fused = _time(probe, recipes, images, Folders(workspace), modes, deadline)
    alone = _time(probe, recipes[:1], images, Folders(workspace), modes, deadline) if len(recipes) > 1 else fused
    emit(
        TimingDone(timing_id=task.timing_id, seconds_per_step=fused, seconds_alone=alone, num_members=len(task.members))
    )
    emit(TaskDone(task_id=task.timing_id))


def _make_noise(task: TimingTask) -> Images:
    count = max(2 * task.members[0].recipe.batch_size, task.num_classes)
    pixels = np.random.default_rng(0).integers(0, 256, (count, *task.shape_HWC), dtype=np.uint8)
    return Images(
        pixels=pixels,
        labels=np.arange(count) % task.num_classes,
        class_names=task.class_names,
        fingerprint="noise",
    )


def _time(
    probe: ProbeTask,
    recipes: list[Recipe],
    images: Images,
    folders: Folders,
    modes: tuple[Numeric, ...],
    deadline: float,
) -> float:
    """Return the seconds per step on a whole batch in the faster mode, extrapolated from a small batch if necessary."""
    whole = recipes[0].batch_size
    small = min(SMALL_BATCH, whole)
    best = float("inf")
    started = time.perf_counter()
    for mode in modes:
        seconds = _step(probe, recipes, images, folders, mode, small, deadline) * whole / small
        # Two whole steps: the first allocates.
        if small < whole and time.perf_counter() + 2 * seconds < deadline:
            seconds = _step(probe, recipes, images, folders, mode, whole, deadline)
        best = min(best, seconds)
        if 2 * time.perf_counter() - started > deadline:
            break  # the other mode would take equally long
    return best


def _step(
    probe: ProbeTask,
    recipes: list[Recipe],
    images: Images,
    folders: Folders,
    mode: Numeric,
    batch_size: int,
    deadline: float,
) -> float:
    """Return the minimum seconds of a few steps; the first, which allocates, counts only if there is no time left."""
    sized = [recipe.model_copy(update={"batch_size": batch_size}) for recipe in recipes]
    members = tuple(Member(trial_id=f"timing {number}", recipe=recipe) for number, recipe in enumerate(sized))
    bench = Bench(replace(probe, members=members), images, folders, mode)
    times = [bench.time_step(0)]
    for number in range(1, MOST_STEPS):
        if time.perf_counter() + times[-1] > deadline:
            break
        times.append(bench.time_step(number))
    return min(times[1:] or times)
