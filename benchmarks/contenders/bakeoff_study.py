"""bakeoff itself: a study, run as `bakeoff run` runs it, with the probes' choice of mode and of what is fused.

As many replicates as cores, no final test. The first epoch is the warm-up: the clock starts when every worker has
reported one, and stops with the last epoch of all. So it includes validation on a fiftieth of the images, checkpoints,
the driver, and the time at the end in which a core has nothing left to do. `setting`: {"data_dir": where CIFAR-10 lies,
"folder": one of enlarged images, "numeric": "auto", "float32" or "bfloat16", "workers": one per core by
default}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bakeoff.api import Study, run
from bakeoff.driver.observer import BaseObserver
from contenders.common import ARMS, Job, Measured, count_cores, print_result, read_processor_seconds

INCLUDES = (
    "a whole study from the second epoch on: shuffling, gathering and conversion of images, forward, backward, every "
    "arm's own optimizer step, running loss and accuracy of every arm, validation on 2% of the images, checkpoints, "
    "driver and ledger; no start-up, no probe, no report"
)
NUM_IMAGES = 50_000
VALIDATION = 0.02
TIMED_EPOCHS = 2
FEWEST_IMAGES = 1_600
"""Images per epoch: of shorter ones, validation and checkpoints would take more than they do in any study."""

AUGMENTATION = [
    {"name": "random_crop", "size": 32, "padding": 4},
    {"name": "horizontal_flip"},
    {"name": "rotation", "degrees": 15},
]


def main() -> None:
    """Measure one sample; print it as one line of JSON."""
    given = json.loads(sys.argv[1])
    job = Job(**{**given, "arms": tuple(given.get("arms", ARMS))})
    with tempfile.TemporaryDirectory() as workspace:
        measured = measure(job, Path(workspace))
    print_result([measured], INCLUDES, ["torch", "torchvision", "numpy"])


def make_study(job: Job) -> Study:
    """Return the study whose epochs are timed, on `images_per_arm` images of each arm in all, or more."""
    num_replicates = job.setting.get("workers", count_cores())
    per_epoch = max(FEWEST_IMAGES, job.images_per_arm / num_replicates / TIMED_EPOCHS)
    if job.vision:
        data: dict[str, Any] = {"folder": job.setting["folder"], "test": 0.02}
    else:
        data = {"name": "cifar10", "subset": min(1.0, per_epoch / (1 - VALIDATION) / NUM_IMAGES)}
    return Study(
        question="How many images per second?",
        name="throughput",
        data={**data, "validation": VALIDATION},
        recipe={"batch_size": job.batch_size, "epochs": 1 + TIMED_EPOCHS, **describe_training(job)},
        arms=[{arm: describe_arm(job, arm) for arm in job.arms}],
        replicates=num_replicates,
        numeric=job.setting.get("numeric", "auto"),
        decide={"metric": "accuracy"},
    )


def describe_training(job: Job) -> dict[str, Any]:
    """Return the parts of the recipe that all arms share."""
    if job.vision:
        return {"network": f"torchvision:{job.vision}"}
    optimizer: dict[str, Any] = {"name": "adam", "learning_rate": 0.001}
    if job.network != "lenet":
        optimizer = {"name": "sgd", "learning_rate": 0.001, "momentum": 0.9}
    return {"network": job.network, "optimizer": optimizer, "augmentation": AUGMENTATION if job.augment else []}


def describe_arm(job: Job, arm: str) -> dict[str, Any]:
    """Return what an arm changes."""
    if job.vision:
        return {"optimizer": {"name": "sgd", "learning_rate": float(arm), "momentum": 0.9}}
    return {"initializer": arm}


class Stopwatch(BaseObserver):
    """Counts model-images and time from the moment when every worker has reported its first cohort's first epoch."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self.first: set[str] = set()
        self.images, self.began, self.ended = 0, (0.0, 0.0), (0.0, 0.0)

    def epoch_done(self, label: str, *, epoch: int, num_model_images: int, **_: Any) -> None:
        """A member has finished an epoch; the members of a cohort report one after another."""
        if epoch > 1 or (label not in self.first and len(self.first) == self.num_workers):
            self.images += num_model_images
        elif label not in self.first:
            self.first.add(label)
            self.began = time.perf_counter(), read_processor_seconds()
        self.ended = time.perf_counter(), read_processor_seconds()


def measure(job: Job, workspace: Path) -> Measured:
    """Run the study; return what its observer saw."""
    num_workers = job.setting.get("workers", count_cores())
    stopwatch = Stopwatch(num_workers)
    result = run(
        make_study(job),
        workspace=workspace,
        data_dir=job.setting["data_dir"],
        workers=num_workers,
        final_test=False,
        observer=stopwatch,
    )
    seconds, processor_seconds = (end - start for start, end in zip(stopwatch.began, stopwatch.ended, strict=True))
    return Measured(stopwatch.images, seconds, processor_seconds, {"numeric": result.document.get("numeric")})


if __name__ == "__main__":
    main()
