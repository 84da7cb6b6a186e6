"""The overhead of Ray: trials without work, on a real cluster of this machine.

    python benchmarks/ray_overhead.py
    python benchmarks/ray_overhead.py --trials 1000 --members 8 --nodes 2

Everything except the engine is bakeoff's own: plan, driver, ledger, cohorts, actors, file transfer. In the actors'
processes the function that trains a cohort is replaced by one that reports an epoch and an end for every member, after
writing small weights and predictions for each, so that files are packed, sent, and written to the workspace (each
flushed to disk). With --no-files it only reports. The cluster is running, and its actors have loaded torch, before the
clock starts. The target is 30 ms per trial. The exit status is 0 if it is met, else 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from kills import describe_versions
from machine import describe_machine, name_machine

from bakeoff.driver.context import RunContext
from bakeoff.driver.executors.base import Started
from bakeoff.driver.executors.ray_executor import RayExecutor
from bakeoff.driver.executors.ray_worker import RayWorker
from bakeoff.driver.observer import watch
from bakeoff.driver.run import run_plan
from bakeoff.ledger.read import open_reading
from bakeoff.report.progress import RunProgress
from bakeoff.study.plan import Plan, expand
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

HERE = Path(__file__).resolve().parent
BAR_SECONDS = 0.030
NUM_PARAMETERS, NUM_VALIDATION, NUM_CLASSES = 10_000, 180, 10


class IdleWorker(RayWorker):
    """A worker with an engine that does nothing."""

    def __init__(self, with_files: bool) -> None:
        super().__init__()
        from functools import partial

        from bakeoff.engine import cohort

        cohort.train_cohort = partial(train_nothing, with_files=with_files)  # type: ignore[assignment]


def train_nothing(task: Any, images: Any, workspace: Path, emit: Any, context: Any, *, with_files: bool) -> None:
    """Report every member of a cohort as trained for one epoch."""
    from safetensors.numpy import save_file

    from bakeoff.messages import EpochDone, TaskDone, TrialDone
    from bakeoff.workspace import save_predictions, write_whole

    folders, scores = Folders(workspace), {"accuracy": 0.5, "loss": 1.0}
    for member in task.members:
        emit(
            EpochDone(
                trial_id=member.trial_id,
                epoch=1,
                train=scores,
                validation=scores,
                seconds=0.0,
                images_per_second=1.0,
            )
        )
    for member in task.members:
        if with_files:
            arrays = {"weights": np.zeros(NUM_PARAMETERS, np.float32)}
            write_whole(folders.weights(member.trial_id), lambda path, arrays=arrays: save_file(arrays, path))
            probabilities = np.full((NUM_VALIDATION, NUM_CLASSES), 0.1, np.float32)
            numbers = np.zeros(NUM_VALIDATION, np.int64)
            save_predictions(folders.predictions(member.trial_id, "validation"), probabilities, numbers, numbers)
        emit(
            TrialDone(
                trial_id=member.trial_id,
                num_epochs=1,
                best_epoch=1,
                stop="epochs",
                seconds=0.0,
                num_parameters=NUM_PARAMETERS,
                metrics={"train": scores, "validation": scores},
            )
        )
    emit(TaskDone(task_id=task.cohort_id))


class TimedExecutor(RayExecutor):
    """Ray's executor with idle workers; records when each cohort starts."""

    with_files = True

    def __init__(self, workspace: Path, with_files: bool) -> None:
        self.with_files = with_files
        self.start_times: list[float] = []
        super().__init__(workspace, None, address=None)

    def _make_class(self) -> Any:
        import functools

        made = self._ray.remote(IdleWorker).options(num_cpus=1, scheduling_strategy="SPREAD")
        made.remote = functools.partial(made.remote, self.with_files)
        return made

    def warm_up(self) -> None:
        """Wait until as many actors run as the cluster has room for."""
        while len(self._workers) < self.num_workers:
            actor = self._actor_class.remote()
            from bakeoff.driver.executors.ray_executor import _Worker

            self._workers.append(_Worker(actor=actor, ready=actor.describe.remote()))
        while any(worker.ready is not None for worker in self._workers):
            super().poll(0.5)

    def poll(self, timeout_seconds: float) -> Any:
        """Poll, and record the time."""
        reports = super().poll(timeout_seconds)
        self.start_times += [time.perf_counter()] * sum(isinstance(each, Started) for each in reports)
        return reports


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000, help="in all (default %(default)s)")
    parser.add_argument("--members", type=int, default=8, help="of a cohort (default %(default)s)")
    parser.add_argument("--nodes", type=int, default=2, help="with one CPU each (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs, after a warm-up run (default %(default)s)")
    parser.add_argument("--no-files", action="store_true", help="report only, write nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/ray-overhead-MACHINE.json")
    return parser.parse_args()


def main() -> int:
    """Run, print, save."""
    import ray
    from ray.cluster_utils import Cluster

    options = parse_arguments()
    plan = make_plan(options.trials, options.members)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(options.nodes):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        runs = [run_once(plan, not options.no_files) for _ in range(options.repeats)]
    finally:
        ray.shutdown()
        cluster.shutdown()
    milliseconds = [1_000 * run["seconds"] / run["trials"] for run in runs]
    median = statistics.median(milliseconds)
    result = {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "nodes": options.nodes,
        "members": options.members,
        "files": not options.no_files,
        "bar_milliseconds": 1_000 * BAR_SECONDS,
        "median_milliseconds_per_trial": round(median, 2),
        "runs": runs,
    }
    print(f"{runs[0]['trials']} trials in {runs[0]['cohorts']} cohorts on {options.nodes} nodes")
    print("ms a trial: " + ", ".join(f"{value:.1f}" for value in milliseconds) + f"; median {median:.1f}, bar 30")
    path = options.output or HERE / "results" / f"ray-overhead-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"saved to {path}", file=sys.stderr)
    return 0 if median < 1_000 * BAR_SECONDS else 1


def make_plan(num_trials: int, num_members: int) -> Plan:
    """Return a study with this many trials; the arms of a replicate are a cohort."""
    rates = [round(0.001 * (number + 1), 3) for number in range(num_members)]
    return expand(
        Study.model_validate(
            {
                "question": "?",
                "name": "idle",
                "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 1},
                "arms": [{"optimizer.learning_rate": rates}],
                "replicates": -(-num_trials // num_members),
                "numeric": "float32",
            }
        )
    )


def run_once(plan: Plan, with_files: bool) -> dict[str, Any]:
    """Run a plan in a new workspace; time the driver from start to end, without the final test."""
    with tempfile.TemporaryDirectory() as folder:
        executor = TimedExecutor(Path(folder), with_files)
        try:
            executor.warm_up()
            started = time.perf_counter()
            with watch([RunProgress(quiet=True)]) as observer:
                run_plan(
                    plan,
                    RunContext(workspace=Path(folder), executor=executor, observer=observer, final_test=False),
                )
            seconds = time.perf_counter() - started
        finally:
            executor.close()
        with open_reading(Folders(Path(folder))) as connection:
            (done,) = connection.execute("SELECT COUNT(*) FROM trials WHERE state = 'done'").fetchone()
        if done != len(plan.trials):
            raise SystemExit(f"{done} of {len(plan.trials)} trials are done")
    starts = [round(moment - started, 4) for moment in executor.start_times]
    return {"trials": done, "cohorts": len(starts), "seconds": round(seconds, 3), "cohorts_begun_at_seconds": starts}


if __name__ == "__main__":
    sys.exit(main())
