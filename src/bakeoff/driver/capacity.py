"""The number of workers that fit into a machine's memory; with more, the system would kill some of them."""

from __future__ import annotations

import psutil

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.numeric_modes import EVALUATION_BATCH
from bakeoff.catalog.recipe import Recipe
from bakeoff.cgroups import read_memory_left
from bakeoff.driver.cohorts import group_trials
from bakeoff.driver.costs import FLOAT_BYTES, estimate_bytes
from bakeoff.driver.devices import Device
from bakeoff.driver.facts import Datasets, ImageFacts
from bakeoff.study.plan import Plan

WORKER_BYTES = 400 * 2**20
"""Memory of a worker without its cohort: Python, torch, and retained heap; 234 MiB before training."""

GPU_WORKER_BYTES = 3 * 2**30
"""The same with CUDA's libraries and context, and batches in transfer."""

USED_MEMORY = 0.9
"""Fraction of the free memory that workers may fill: the estimates are rough."""

_KEPT_PER_OPERATION = 0.003
"""Values that a torch module saves for the backward pass, per multiply-add: ResNet-18 0.0014, ResNet-50 0.0027."""


def count_fitting(plan: Plan, datasets: Datasets, device: Device) -> int:
    """Return how many workers currently fit into this machine's memory, at least one.

    Args:
        plan: the trials.
        datasets: facts about images that are known before they are opened; without them a cohort's memory is unknown.
        device: the device to train on.
    """
    each = GPU_WORKER_BYTES if device.kind == "cuda" else WORKER_BYTES + _estimate_cohort(plan, datasets)
    return max(1, int(USED_MEMORY * read_free_bytes()) // each)


def read_free_bytes() -> int:
    """Return the available memory of this machine and container, including reclaimable memory."""
    free = int(psutil.virtual_memory().available)
    left = read_memory_left()
    return free if left is None else min(free, left)


def _estimate_cohort(plan: Plan, datasets: Datasets) -> int:
    """Return the bytes of the plan's largest cohort in training, as far as its images are known."""
    groups = group_trials([trial for trial in plan.trials if trial.data.source in datasets], datasets)
    sizes = (
        len(group.trials) * _estimate_member(group.trials[0].recipe, datasets[group.trials[0].data.source])
        for group in groups
    )
    return max(sizes, default=0)


def _estimate_member(recipe: Recipe, images: ImageFacts) -> int:
    num_bytes = estimate_bytes(recipe, images.shape_HWC, images.num_classes, EVALUATION_BATCH)
    operations = recipe.network.count_module_operations(trace_augmentation(recipe.augmentation, images.shape_HWC)) or 0
    return num_bytes + int(recipe.batch_size * operations * _KEPT_PER_OPERATION * 2 * FLOAT_BYTES)
