"""The kinds of faults in the campaign: which processes are killed or suspended, and when."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from fault_ledgers import Settling, count

HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 6.0
"""The watchdog's patience if a worker is suspended for good."""

GIVES_UP_SECONDS = 300.0

Wait = Callable[[Callable[[], bool], float], bool]


@dataclass(frozen=True)
class Run:
    """A running study.

    Attributes:
        process: the driver, leader of its own process group.
        whole_seconds: duration of the study without a fault.
        cluster: the Ray cluster, if it runs on one.
    """

    process: subprocess.Popen[bytes]
    workspace: Path
    whole_seconds: float
    draw: random.Random
    settling: Settling
    cluster: Any = None

    def has_ended(self) -> bool:
        """Return whether the driver has ended by itself."""
        return self.process.poll() is not None

    def wait_until(self, condition: Callable[[], bool], limit_seconds: float = GIVES_UP_SECONDS) -> bool:
        """Return whether a condition became true before the run's end and the time limit."""
        ends = time.monotonic() + limit_seconds
        while not self.has_ended() and time.monotonic() < ends:
            if condition():
                return True
            time.sleep(0.003)
        return False

    def pause(self, seconds: float) -> bool:
        """Wait; return whether the run is still in progress."""
        ends = time.monotonic() + seconds
        return self.wait_until(lambda: time.monotonic() >= ends)


def start(study: Path, workspace: Path, kind: str, address: str | None) -> subprocess.Popen[bytes]:
    """Start a study's driver, with its output in a file."""
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--workspace", str(workspace), "--json"]
    if kind == "stuck worker":
        command = [
            sys.executable,
            str(HERE / "fault_driver.py"),
            str(study),
            str(workspace),
            "4",
            f"{PATIENCE_SECONDS}",
        ]
    elif address is not None:
        command += ["--executor", "ray", "--address", address]
    else:
        # One per cohort, so that a cohort that lost its worker resumes at once.
        command += ["--workers", "2" if kind == "driver" else "4"]
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "driver.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill_driver(run: Run) -> str | None:
    """Kill the driver and its workers at a random moment; return the moment, or None if the run ended before."""
    chosen = run.draw.random()
    if chosen < 0.25:
        seconds = run.draw.uniform(0.05, 0.6 * run.whole_seconds)
        name, reached = "after a while", run.pause(seconds)
    else:
        target = count(run.workspace, "epochs") + run.draw.randint(1, 60)
        reached = run.wait_until(lambda: count(run.workspace, "epochs") >= target)
        name = "in training"
        if reached and chosen < 0.45:
            reached, name = run.wait_until(lambda: is_writing(run.workspace)), "while a checkpoint is written"
        elif reached:
            reached = run.pause(run.draw.uniform(0.0, 0.1))
    if not reached:
        return None
    # With all its workers; or alone: its workers must leave by themselves, before another driver's train the same.
    kill, who = (os.killpg, "with its workers") if run.draw.random() < 0.5 else (os.kill, "alone")
    kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    return f"{name}, {who}"


def is_writing(workspace: Path) -> bool:
    """Return whether a checkpoint is being written."""
    with suppress(OSError):
        return any(name.endswith(".part") for name in os.listdir(workspace / "cohorts"))
    return False


def kill_worker(run: Run) -> str | None:
    """Kill one worker process, or one of Ray's actors."""
    return _strike(run, signal.SIGKILL, "worker")


def suspend_worker(run: Run) -> str | None:
    """Suspend one worker briefly, for less than any timeout."""
    victim = _choose_worker(run)
    if victim is None:
        return None
    _signal(victim, signal.SIGSTOP)
    run.pause(run.draw.uniform(0.05, 1.0))
    _signal(victim, signal.SIGCONT)
    return "suspended and woken"


def stop_worker(run: Run) -> str | None:
    """Suspend one worker for good; the watchdog has to find it."""
    return _strike(run, signal.SIGSTOP, "suspended for good")


def kill_node(run: Run) -> str | None:
    """Kill a node of a Ray cluster with everything on it; another one joins."""
    if not _await_training(run):
        return None
    node = run.draw.choice(sorted(run.cluster.worker_nodes, key=lambda each: str(each.node_id)))
    run.cluster.remove_node(node, allow_graceful=False)
    run.cluster.add_node(num_cpus=2)
    _settle(run)
    return "node"


def _strike(run: Run, number: signal.Signals, name: str) -> str | None:
    victim = _choose_worker(run)
    if victim is None:
        return None
    _signal(victim, number)
    _settle(run)
    return name


def _settle(run: Run) -> None:
    """Wait until the driver has noticed the loss, and the cohorts that lost a worker have made progress."""
    run.wait_until(run.settling.look, 20.0)  # an idle worker's death is nobody's loss
    run.wait_until(lambda: not run.settling.look() and run.settling.is_settled())


def _await_training(run: Run) -> bool:
    """Wait for a random moment of the training; False if the run ended or reached its final test before."""
    target = count(run.workspace, "epochs") + run.draw.randint(0, 20)
    if not run.wait_until(lambda: count(run.workspace, "epochs") >= target):
        return False
    return run.pause(run.draw.uniform(0.0, 0.3)) and count(run.workspace, "exams") == 0


def _choose_worker(run: Run) -> psutil.Process | None:
    if not _await_training(run):
        return None
    found: list[psutil.Process] = []
    run.wait_until(lambda: bool(found.extend(find_workers(run)) or found))
    return run.draw.choice(found) if found else None


def find_workers(run: Run) -> list[psutil.Process]:
    """Return the training processes: children of the driver, or actors of this process's cluster."""
    root = psutil.Process(run.process.pid if run.cluster is None else os.getpid())
    mark = "bakeoff.driver.executors.worker" if run.cluster is None else "ray::RayWorker"
    workers = []
    with suppress(psutil.Error):
        for process in root.children(recursive=True):
            with suppress(psutil.Error):
                if any(part.startswith(mark) for part in process.cmdline()):
                    workers.append(process)
    return workers


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)


KINDS: dict[str, Callable[[Run], str | None]] = {
    "driver": kill_driver,
    "worker": kill_worker,
    "suspended worker": suspend_worker,
    "stuck worker": stop_worker,
    "ray driver": kill_driver,
    "ray actor": kill_worker,
    "ray node": kill_node,
}
"""Returns a description of the fault, or None if the run ended before the moment came."""
