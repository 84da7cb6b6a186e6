"""bakeoff itself: its executor, its worker processes, its engine, its numeric probe; one cohort of all arms per worker.

Each worker trains one replicate of every arm, fused, on images of its own split; the first epoch is the warm-up.
`setting`: {"data_dir": where CIFAR-10 lies in the publisher's layout, "numeric": "auto", "float32" or "bfloat16",
"workers": processes, by default one a core}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.messages import CohortTask, DataView, EpochDone, Member, ProbeDone, ProbeTask, TrialFailed
from contenders.common import ARMS, Job, Measured, count_cores, print_result

INCLUDES = (
    "all arms of a replicate fused, one replicate per worker process: shuffling, gathering and conversion of images, "
    "forward, backward, every arm's own optimizer step, running loss and accuracy of every arm; not the validation, "
    "checkpoint and metrics after each epoch (see all_in), no start-up"
)
NUM_IMAGES = 50_000
VALIDATION = 0.1
AUGMENTATION = [
    {"name": "random_crop", "size": 32, "padding": 4},
    {"name": "horizontal_flip"},
    {"name": "rotation", "degrees": 15},
]
TIMED_EPOCH = 2


def main() -> None:
    """Measure one sample; print it as one line of JSON."""
    given = json.loads(sys.argv[1])
    job = Job(**{**given, "arms": tuple(given.get("arms", ARMS))})
    with tempfile.TemporaryDirectory() as workspace:
        parts = measure(job, Path(workspace))
    print_result(parts, INCLUDES, ["torch", "numpy"])


def measure(job: Job, workspace: Path) -> list[Measured]:
    """Train until every worker has reported its timed epoch."""
    num_workers = job.setting.get("workers", count_cores())
    data_dir = Path(job.setting["data_dir"])
    per_epoch = job.images_per_arm // num_workers
    # As many images as are trained on, and a tenth beside them: a study validates on no more.
    source = DataSource(name="cifar10", subset=min(1.0, per_epoch / (1 - VALIDATION) / NUM_IMAGES))
    fingerprint = open_training(source, data_dir).fingerprint
    views = [
        DataView(
            source=source,
            validation=VALIDATION,
            fingerprint=fingerprint,
            seed=replicate,
        )
        for replicate in range(num_workers)
    ]
    executor = LocalExecutor(num_workers, workspace, data_dir)
    try:
        numeric = job.setting.get("numeric", "auto")
        if numeric == "auto":
            numeric = probe(executor, job, views[0])
        for replicate, view in enumerate(views):
            executor.submit(
                CohortTask(
                    cohort_id=f"cohort-{replicate}",
                    label=f"replicate {replicate}",
                    members=list_members(job, replicate),
                    data=view,
                    numeric=numeric,
                )
            )
        return [clock_workers(executor, job, num_workers, per_epoch, numeric)]
    finally:
        executor.close()


def list_members(job: Job, replicate: int) -> tuple[Member, ...]:
    """Return one trial per arm."""
    optimizer: dict[str, Any] = {"name": "adam", "learning_rate": 0.001}
    if job.network != "lenet":
        optimizer = {"name": "sgd", "learning_rate": 0.001, "momentum": 0.9}
    members = []
    for arm in job.arms:
        recipe = Recipe.model_validate(
            {
                "network": job.network,
                "initializer": arm,
                "optimizer": optimizer,
                "augmentation": AUGMENTATION if job.augment else [],
                "batch_size": job.batch_size,
                # More than are timed: a worker that is done first goes on, so that no core falls idle.
                "epochs": TIMED_EPOCH + 100,
            }
        )
        members.append(Member(trial_id=f"{arm}-{replicate}", recipe=recipe))
    return tuple(members)


def receive(executor: LocalExecutor) -> Iterator[Report]:
    """Yield reports as they come; end the program on a failure."""
    while True:
        for report in executor.poll(timeout_seconds=1.0):
            if isinstance(report, TaskLost | TrialFailed):
                raise SystemExit(f"bakeoff failed: {report.reason}")
            yield report


def probe(executor: LocalExecutor, job: Job, view: DataView) -> Any:
    """Return the numeric mode that a study of these arms would run in."""
    executor.submit(ProbeTask(probe_id="probe", label="probe", members=list_members(job, 0), data=view))
    done = next(report for report in receive(executor) if isinstance(report, ProbeDone))
    faster = done.seconds_per_step["bfloat16"] < done.seconds_per_step["float32"]
    return "bfloat16" if done.agrees and faster else "float32"


def clock_workers(executor: LocalExecutor, job: Job, num_workers: int, per_epoch: int, numeric: str) -> Measured:
    """Return the sum of the workers' rates in their timed epochs.

    `extra.all_in` is the same with everything that a worker does between its first and its timed epoch's report:
    training, validation, metrics and checkpoint, by this process's clock.
    """
    arrived: dict[tuple[str, int], float] = {}
    rates: dict[str, float] = {}
    losses: dict[str, list[float]] = defaultdict(list)
    for report in receive(executor):
        if not isinstance(report, EpochDone):
            continue
        replicate = report.trial_id.rpartition("-")[2]
        arrived.setdefault((replicate, report.epoch), time.perf_counter())
        losses[replicate].append(report.train["loss"])
        if report.epoch == TIMED_EPOCH:
            rates[replicate] = report.images_per_second
        if len(rates) == num_workers:
            break
    images = per_epoch * len(job.arms)
    all_in = [images / (arrived[name, TIMED_EPOCH] - arrived[name, TIMED_EPOCH - 1]) for name in rates]
    extra = {"workers": rates, "all_in": sum(all_in), "numeric": numeric, "losses": dict(losses)}
    return Measured(images * num_workers, images * num_workers / sum(rates.values()), extra)


if __name__ == "__main__":
    main()
