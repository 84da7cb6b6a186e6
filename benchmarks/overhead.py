"""The overhead of bakeoff itself: many trials without work, with the real driver and the real, durable ledger.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --trials 1000 5000 10000 --rounds 3

Every trial trains one epoch that takes no time: the executor answers each cohort at once. What remains is planning,
identities, grouping, the ledger's transactions and the final test. Each size is run in a new process and an empty
workspace: the run, then the same study again (all in the ledger), then its summary. Also timed: `bakeoff --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import describe_machine, name_machine

from bakeoff.api import Study, load_study
from bakeoff.driver.context import RunContext
from bakeoff.driver.executors.base import Report, Started
from bakeoff.driver.observer import watch
from bakeoff.driver.run import RunCounts, run_plan
from bakeoff.messages import CohortTask, EpochDone, FinalTestDone, FinalTestTask, Task, TaskDone, TrialDone, task_id
from bakeoff.report.gather import gather_report
from bakeoff.report.progress import RunProgress
from bakeoff.study.plan import expand
from bakeoff.workspace import Folders

HERE = Path(__file__).resolve().parent
NUM_ARMS = 10
"""Arms of the study; a cohort is one replicate of all of them."""

ANSWERED_AT_ONCE = 2
"""Cohorts answered per poll, as two workers would."""


class NoWork:
    """An executor whose trials are done as soon as they are submitted."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()

    def prepare(self, num_tasks: int) -> None:
        """Do nothing."""

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Answer the next tasks."""
        taken = [self._tasks.popleft() for _ in range(min(ANSWERED_AT_ONCE, len(self._tasks)))]
        return [report for task in taken for report in answer(task)]

    def close(self) -> None:
        """Discard all tasks."""
        self._tasks.clear()


def answer(task: Task) -> list[Report]:
    """Return the events that a worker would report for a task."""
    reports: list[Report] = [Started(task_id=task_id(task))]
    if isinstance(task, CohortTask):
        for member in task.members:
            train, validation = score(member.trial_id, "train"), score(member.trial_id, "validation")
            reports.append(
                EpochDone(
                    trial_id=member.trial_id,
                    epoch=1,
                    train=train,
                    validation=validation,
                    seconds=0.001,
                    images_per_second=1e6,
                )
            )
            reports.append(
                TrialDone(
                    trial_id=member.trial_id,
                    num_epochs=1,
                    best_epoch=1,
                    stop="epochs",
                    seconds=0.001,
                    num_parameters=1_000,
                    metrics={"train": train, "validation": validation},
                )
            )
    elif isinstance(task, FinalTestTask):
        reports += [
            FinalTestDone(trial_id=member.trial_id, metrics=score(member.trial_id, "test"), fingerprint="none")
            for member in task.members
        ]
    return [*reports, TaskDone(task_id=task_id(task))]


def score(trial_id: str, split: str) -> dict[str, float]:
    """Return made-up metrics of a trial, derived from its id."""
    chance = (int(trial_id[:8], 16) + 7 * len(split)) % 1_000 / 1_000
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
    return {**dict.fromkeys(names, 0.8 + 0.1 * chance), "loss": 0.6 - 0.2 * chance}


def measure(num_trials: int) -> dict[str, Any]:
    """Run a study of `num_trials` trials without work twice; return seconds and memory."""
    study = Study(
        question="What does bakeoff itself cost?",
        name="overhead",
        recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 1},
        arms=[{"optimizer.learning_rate": [0.001 * (n + 1) for n in range(NUM_ARMS)]}],
        replicates=num_trials // NUM_ARMS,
        numeric="float32",
    )
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        first = time_call(lambda: run_once(study, workspace))
        memory = peak_memory_mib()
        again = time_call(lambda: run_once(study, workspace))
        identity = run_once(study, workspace).study_id
        summary = time_call(lambda: gather_report(identity, Folders(workspace)))
        size = Folders(workspace).ledger.stat().st_size
    return {
        "trials": num_trials,
        "run_seconds": first,
        "resume_seconds": again,
        "summary_seconds": summary,
        "peak_memory_mib": memory,
        "ledger_mib": size / 2**20,
        "load": os.getloadavg()[0],
    }


def run_once(study: Study, workspace: Path) -> RunCounts:
    """Run the study, or find it in the ledger."""
    with watch([RunProgress(quiet=True)]) as observer:
        return run_plan(expand(study), RunContext(workspace=workspace, executor=NoWork(), observer=observer))


def time_call(call: Any) -> float:
    """Return the seconds a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak_memory_mib() -> float:
    """Return the peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure_apart(num_trials: int) -> dict[str, Any]:
    """Measure one size in its own process."""
    command = [sys.executable, __file__, "--one", str(num_trials)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def measure_help() -> float:
    """Return the seconds that `bakeoff --help` takes."""
    command = [sys.executable, "-m", "bakeoff", "--help"]
    return time_call(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    """Measure all sizes in turn, print the table, save the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 5_000, 10_000], help="sizes of the study")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default %(default)s)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: benchmarks/results/overhead-MACHINE.json)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        load_study("quickstart")  # warm up imports and caches
        print(json.dumps(measure(options.one)))
        return
    samples = [measure_apart(size) for _ in range(options.rounds) for size in options.trials]
    helps = [measure_help() for _ in range(5 * options.rounds)]
    result = {
        "machine": describe_machine(),
        "versions": {name: version(name) for name in ("bakeoff", "pydantic", "numpy", "scipy")},
        "options": {"trials": options.trials, "rounds": options.rounds},
        "samples": samples,
        "help_seconds": helps,
    }
    path = options.output or HERE / "results" / f"overhead-{name_machine()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print_table(options.trials, samples, helps)
    print(path)


def print_table(sizes: Sequence[int], samples: Sequence[dict[str, Any]], helps: Sequence[float]) -> None:
    """Print medians, a line per size."""
    columns = ("run_seconds", "resume_seconds", "summary_seconds", "peak_memory_mib", "ledger_mib")
    print(f"{'trials':>8} " + " ".join(f"{name:>16}" for name in columns))
    for size in sizes:
        mine = [sample for sample in samples if sample["trials"] == size]
        medians = (statistics.median(sample[name] for sample in mine) for name in columns)
        print(f"{size:>8,} " + " ".join(f"{value:>16.2f}" for value in medians))
    print(f"bakeoff --help: {statistics.median(helps):.2f} s")


if __name__ == "__main__":
    main()
