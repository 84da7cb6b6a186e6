"""What every contender shares: its job, its processes, its clock. Standard library, NumPy and psutil only.

A contender is a program, run in the folder above: `python -m contenders.NAME '{"network": "lenet", ...}'`. It trains
every arm for `images_per_arm` images after a warm-up, and prints one line of JSON: what it measured and with which
versions. Arms are dealt to `processes` processes that train at the same time; the throughput is the sum of their rates,
each process's images divided by the seconds it spent in timed training. Processor time is counted beside it, over all
threads and child processes. Building, compiling, warm-up and evaluation are not timed. Needs psutil.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import queue
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

ARMS = (
    "orthogonal",
    "random_normal",
    "random_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
)
RATES = ("0.01", "0.02", "0.03", "0.05")
"""Learning rates: the arms of networks that are not initialized by name."""

WARM_UP_BATCHES = 40
ROUND_BATCHES = 20
"""Every model is timed for a multiple of this many batches: a remainder would make Keras compile once more."""


@dataclass(frozen=True)
class Job:
    """What to train and how.

    Attributes:
        network: lenet, modnet1, modnet2, or one of torchvision's with the side of the images: resnet18-64.
        pixels: path of a .npy file, uint8 [n, side, side, 3].
        labels: path of a .npy file, int64 [n], 0..9.
        arms: names of initializers, one model each; learning rates for networks of torchvision.
        images_per_arm: timed images of each arm, a multiple of ROUND_BATCHES batches.
        processes: how many train at once, each with its share of the cores.
        augment: crop, flip and rotate every image: a random 32x32 part of the image with 4 black pixels around it,
            mirrored half the time, turned by up to 15 degrees (bilinear).
        setting: what this contender varies, by name.
    """

    network: str
    pixels: str
    labels: str
    arms: tuple[str, ...] = ARMS
    images_per_arm: int = 9_600
    batch_size: int = 32
    processes: int = 1
    augment: bool = False
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Cores of one process."""
        return max(1, count_cores() // self.processes)

    @property
    def vision(self) -> str:
        """The name in torchvision of the network; empty for the others."""
        return self.network.partition("-")[0] if "-" in self.network else ""


@dataclass(frozen=True)
class Measured:
    """What one process measured.

    Attributes:
        images: model-images trained while the clock ran.
        seconds: of timed training.
        processor_seconds: of timed training, of this process with its threads and children.
        extra: anything else worth keeping.
    """

    images: int
    seconds: float
    processor_seconds: float
    extra: dict[str, Any] = field(default_factory=dict)


class Clock:
    """Counts seconds, and seconds of processor time of this process, its threads and its children, while it runs.

    Children must be there when it starts and when it stops.
    """

    def __init__(self) -> None:
        self.seconds, self.processor_seconds = 0.0, 0.0

    def __enter__(self) -> Clock:
        self._began = time.perf_counter(), read_processor_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began[0]
        self.processor_seconds += read_processor_seconds() - self._began[1]

    def measure(self, images: int, **extra: Any) -> Measured:
        """Return what was measured."""
        return Measured(images, self.seconds, self.processor_seconds, extra)


def read_processor_seconds() -> float:
    """Return the processor time that this process and its children have used so far."""
    used = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return used


Train = Callable[[Job, Sequence[str], int, Callable[[], None]], Measured]
"""(job, this process's arms, timed images of each of them, a barrier to call between warm-up and training)."""


def count_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_images(job: Job, num_images: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the first `num_images` images and labels, memory-mapped."""
    pixels, labels = np.load(job.pixels, mmap_mode="r"), np.load(job.labels)
    if num_images > len(pixels):
        raise SystemExit(f"{num_images} images are wanted, and there are {len(pixels)}")
    return pixels[:num_images], labels[:num_images]


def run_contender(train: Train, includes: str, packages: Sequence[str]) -> None:
    """Read the job from the command line, train in its processes, print the result as one line of JSON."""
    given = json.loads(sys.argv[1])
    job = Job(**{**given, "arms": tuple(given.get("arms", ARMS))})
    parts = [_run_inline(train, job)] if job.processes == 1 else _run_apart(train, job)
    print_result(parts, includes, packages)


def print_result(parts: Sequence[Measured], includes: str, packages: Sequence[str]) -> None:
    """Print what the processes measured as one line of JSON."""
    result = {
        "images_per_second": sum(part.images / part.seconds for part in parts),
        "images_per_processor_second": sum(part.images for part in parts)
        / sum(part.processor_seconds for part in parts),
        "images": sum(part.images for part in parts),
        "processes": [asdict(part) for part in parts],
        "includes": includes,
        "versions": {"python": platform.python_version(), **_find_versions(packages)},
    }
    print(json.dumps(result))


def _run_inline(train: Train, job: Job) -> Measured:
    return train(job, job.arms, job.images_per_arm, lambda: None)


def _run_apart(train: Train, job: Job) -> list[Measured]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(job.processes), context.Queue()
    children = [
        context.Process(target=_run_child, args=(train, job, number, barrier, results))
        for number in range(job.processes)
    ]
    for child in children:
        child.start()
    parts: list[Measured] = []
    while len(parts) < job.processes:
        try:
            parts.append(results.get(timeout=5))
        except queue.Empty:
            if any(child.exitcode for child in children):
                raise SystemExit("a process of this contender died") from None
    for child in children:
        child.join()
    return parts


def _run_child(train: Train, job: Job, number: int, barrier: Any, results: Any) -> None:
    arms = job.arms[number :: job.processes]
    # Every process times the same number of images, however many arms it was dealt.
    share = job.images_per_arm * len(job.arms) / job.processes / len(arms)
    unit = ROUND_BATCHES * job.batch_size
    num_images = max(1, round(share / unit)) * unit
    results.put(train(job, arms, num_images, barrier.wait))


def _find_versions(packages: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
