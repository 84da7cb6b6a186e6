"""Local workers: one process per core, one torch thread each. A worker that dies is replaced."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import bakeoff
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.executors.watchdog import Watchdog
from bakeoff.messages import Task, TaskDone, task_id

# One thread per worker for every library that would start its own pool when torch is loaded. And freed memory stays in
# the worker's heap: a training step frees and allocates the same megabytes repeatedly, and page faults took a fifth of
# LeNet's time. (glibc reads these; 32 MiB is the maximum.)
WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS results may differ from run to run
}


class _Worker:
    """One process and the driver's end of its socket."""

    def __init__(self, workspace: Path, data_dir: Path | None, device: str) -> None:
        self.device = device
        ours, theirs = socket.socketpair()
        source = str(Path(bakeoff.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        arguments = (
            str(theirs.fileno()),
            str(workspace.absolute()),
            str(data_dir.absolute()) if data_dir else "",
            device,
        )
        workspace.mkdir(parents=True, exist_ok=True)
        with (workspace / "workers.log").open("ab") as log:
            self.process = subprocess.Popen(
                # -P: do not import a numpy.py from the current folder.
                [sys.executable, "-P", "-m", "bakeoff.driver.executors.worker", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": paths},
            )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.task: Task | None = None

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def explain_death(self) -> str:
        """Return how the process ended, after its socket was closed."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the worker process closed its connection"
        if code >= 0:
            return f"the worker process ended with exit status {code} (see workers.log)"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = " (killed from outside, perhaps for lack of memory)" if name == "SIGKILL" else ""
        return f"the worker process died of {name}{hint}"


class LocalExecutor:
    """Runs tasks on `num_workers` processes of this machine. They start with the first tasks, or when told of them.

    Args:
        num_workers: at least 1.
        workspace: where the workers write.
        data_dir: where they search for images first.
        devices: torch's names of their devices; workers are distributed evenly.
        watchdog: detects stuck workers.
    """

    def __init__(
        self,
        num_workers: int,
        workspace: Path,
        data_dir: Path | None,
        devices: Sequence[str] = ("cpu",),
        watchdog: Watchdog | None = None,
    ) -> None:
        self.num_workers = num_workers
        self._devices = tuple(devices)
        self._workspace = workspace
        self._data_dir = data_dir
        self._workers: list[_Worker] = []
        self._queue: deque[Task] = deque()
        self._reports: deque[Report] = deque()
        self._watchdog = watchdog or Watchdog()

    def prepare(self, num_tasks: int) -> None:
        """Start workers for tasks to come: they load torch meanwhile."""
        while len(self._workers) < min(self.num_workers, num_tasks):
            self._start_worker()

    def submit(self, task: Task) -> None:
        """Queue a task; tasks start in the order of submission."""
        self._queue.append(task)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was reported since the last call, waiting up to `timeout_seconds` for something."""
        self._assign()
        connections = {worker.connection: worker for worker in self._workers}
        ready = wait(list(connections), 0.0 if self._reports else timeout_seconds) if connections else []
        for connection in ready:
            if isinstance(connection, Connection):
                self._receive(connections[connection])
        self._kill_stuck()
        self._assign()
        reports = tuple(self._reports)
        self._reports.clear()
        return reports

    def close(self) -> None:
        """Kill the workers: every finished epoch is safely on disk."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        self._queue.clear()

    def _assign(self) -> None:
        """Assign queued tasks to idle workers, starting workers up to the limit."""
        idle = [worker for worker in self._workers if worker.task is None]
        while self._queue and (idle or len(self._workers) < self.num_workers):
            worker = idle.pop(0) if idle else self._start_worker()
            task = self._queue.popleft()
            worker.task = task
            self._watchdog.hear(worker.process.pid)
            self._reports.append(Started(task_id=task_id(task)))
            try:
                worker.connection.send(task)
            except OSError:
                self._remove(worker)

    def _start_worker(self) -> _Worker:
        worker = _Worker(self._workspace, self._data_dir, self._choose_device())
        self._workers.append(worker)
        return worker

    def _kill_stuck(self) -> None:
        """Kill the workers that do nothing; their tasks are retried."""
        busy = {worker.process.pid: worker for worker in self._workers if worker.task is not None}
        for process_id in self._watchdog.find_stuck(busy):
            idle = f"{self._watchdog.patience_seconds:.0f} s"
            self._remove(busy[process_id], f"the worker did nothing for {idle} (suspended or stuck) and was killed")

    def _choose_device(self) -> str:
        """Return the device with the fewest workers."""
        taken = [worker.device for worker in self._workers]
        return min(self._devices, key=taken.count)

    def _receive(self, worker: _Worker) -> None:
        """Receive everything a worker has sent; remove it if its socket was closed."""
        try:
            while worker.connection.poll():
                report: Report = worker.connection.recv()
                self._watchdog.hear(worker.process.pid)
                if isinstance(report, TaskDone | TaskLost):
                    worker.task = None
                self._reports.append(report)
        except (EOFError, OSError):
            self._remove(worker)

    def _remove(self, worker: _Worker, reason: str | None = None) -> None:
        """Remove a dead or useless worker and report its task as lost; the next `_assign` starts another."""
        reason = reason or worker.explain_death()
        worker.stop()
        self._workers.remove(worker)
        if worker.task is not None:
            self._reports.append(TaskLost(task_id=task_id(worker.task), died=True, reason=reason))
