"""Local workers: one process per core, one torch thread each unless a task asks for more. Dead ones are replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO, cast

import bakeoff
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.executors.channel import BROKEN, await_worker, receive, send
from bakeoff.driver.executors.watchdog import Watchdog
from bakeoff.messages import Task, TaskDone, count_threads, task_id
from bakeoff.system import WORKER_FLAGS, find_interpreter

# One thread per worker for every library that would start its own pool when torch is loaded. Where a task asks for
# several, those that wait for each other sleep: spinning, they slow a step on a busy machine twentyfold. And freed
# memory stays in the worker's heap: a training step frees and allocates the same megabytes repeatedly, and page faults
# took a fifth of LeNet's time. Large arrays come from the heap, too: mapping them anew took a tenth of ModNet2's.
# (glibc reads these.)
WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS results may differ from run to run
}


class _Worker:
    """One process, and the thread that talks to it.

    Args:
        workspace, data_dir, device: as given to the process.
        post: receives the worker and each of its reports, in the thread; None once it is gone.
    """

    def __init__(self, workspace: Path, data_dir: Path | None, device: str, post: _Post) -> None:
        self.device = device
        self.task: Task | None = None
        self._post = post
        self._tasks = SimpleQueue[Task | None]()
        self.process = _start_process(workspace, data_dir, device)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def start(self, task: Task) -> None:
        """Send the idle worker a task; this never waits, also while the process is still starting."""
        self.task = task
        self._tasks.put(task)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._tasks.put(None)
        self._thread.join()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # a task that could not be sent
                cast("BinaryIO", stream).close()

    def _talk(self) -> None:
        """Send each task, and post what the worker reports on it."""
        tasks, reports = cast("BinaryIO", self.process.stdin), cast("BinaryIO", self.process.stdout)
        try:
            await_worker(reports)
            while (task := self._tasks.get()) is not None:
                send(task, tasks)
                report = None
                while not isinstance(report, TaskDone | TaskLost):
                    report = receive(reports)
                    self._post(self, report)
        except BROKEN:
            pass  # the process has ended
        except Exception:
            # Something else wrote into the pipe; what it left can be anything.
            self.process.kill()
        finally:
            self._post(self, None)

    def explain_death(self) -> str:
        """Return how the process ended, after its pipe was closed."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "the worker process closed its connection"
        if code >= 0:
            return f"the worker process ended with exit status {code} (see workers.log)"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = " (killed from outside, perhaps for lack of memory)" if name == "SIGKILL" else ""
        return f"the worker process died of {name}{hint}"


_Post = Callable[[_Worker, Report | None], None]


def _start_process(workspace: Path, data_dir: Path | None, device: str) -> subprocess.Popen[bytes]:
    """Start a worker, whose own output goes to a file in the workspace."""
    python, variables = find_interpreter()
    paths = os.pathsep.join(filter(None, (str(Path(bakeoff.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    arguments = (str(workspace.absolute()), str(data_dir.absolute()) if data_dir else "", device)
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "workers.log").open("ab") as log:
        return subprocess.Popen(
            # -P: do not import a numpy.py from the current folder.
            [python, "-P", "-m", "bakeoff.driver.executors.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": paths, **variables},
            creationflags=WORKER_FLAGS,
        )


class LocalExecutor:
    """Runs tasks on `num_workers` processes of this machine. They start with the first tasks, or when told of them.

    Args:
        num_workers: at least 1. A task with several threads counts as that many workers, or as all of them.
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
        self._posted = SimpleQueue[tuple[_Worker, Report | None]]()
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
        if self._workers:
            self._take_posted(0.0 if self._reports else timeout_seconds)
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
        for worker in [each for each in self._workers if each.task is None and each.process.poll() is not None]:
            self._remove(worker)
        idle = [worker for worker in self._workers if worker.task is None]
        while self._queue and self._count_threads(self._queue[0]) <= self._count_free():
            worker = idle.pop(0) if idle else self._start_worker()
            task = self._queue.popleft()
            self._watchdog.hear(worker.process.pid)
            self._reports.append(Started(task_id=task_id(task)))
            worker.start(task)

    def _count_threads(self, task: Task) -> int:
        return min(count_threads(task), self.num_workers)

    def _count_free(self) -> int:
        """Return how many threads may be started: later tasks do not overtake one that waits for several."""
        return self.num_workers - sum(self._count_threads(each.task) for each in self._workers if each.task is not None)

    def _start_worker(self) -> _Worker:
        worker = _Worker(self._workspace, self._data_dir, self._choose_device(), self._post)
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

    def _post(self, worker: _Worker, report: Report | None) -> None:
        self._posted.put((worker, report))

    def _take_posted(self, timeout_seconds: float) -> None:
        """Take everything that was posted, waiting up to `timeout_seconds` for the first; remove workers that ended."""
        with suppress(Empty):
            posted = self._posted.get(timeout=timeout_seconds)
            while True:
                self._take(*posted)
                posted = self._posted.get_nowait()

    def _take(self, worker: _Worker, report: Report | None) -> None:
        if worker not in self._workers:
            return  # it was removed before
        if report is None:
            self._remove(worker)
            return
        self._watchdog.hear(worker.process.pid)
        if isinstance(report, TaskDone | TaskLost):
            worker.task = None
        self._reports.append(report)

    def _remove(self, worker: _Worker, reason: str | None = None) -> None:
        """Remove a dead or useless worker and report its task as lost; the next `_assign` starts another."""
        reason = reason or worker.explain_death()
        worker.stop()
        self._workers.remove(worker)
        if worker.task is not None:
            self._reports.append(TaskLost(task_id=task_id(worker.task), died=True, reason=reason))
