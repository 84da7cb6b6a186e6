"""Workers on a Ray cluster: long-lived actors that take cohorts. Needs the extra `ray`.

The driver, the ledger and the workspace stay on the machine where the command runs. Files that a cohort reads are sent
with it, and files that it writes come back with its reports, so no node needs the workspace or the images.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.data.cache import Images
from bakeoff.data.opener import DiskOpener
from bakeoff.data.source import DataSource
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.executors.file_transfer import pack_inputs, unpack
from bakeoff.driver.executors.local import WORKER_ENVIRONMENT
from bakeoff.driver.machine import describe_versions, format_machine
from bakeoff.errors import ClusterError, MissingPackageError
from bakeoff.extras import how_to_install
from bakeoff.messages import ENGINE_VERSION, CohortTask, FeaturesTask, FinalTestTask, Task, TaskDone, task_id
from bakeoff.workspace import Folders, read_whole

_CONNECT_SECONDS = 10.0

_COUNT_EVERY_SECONDS = 2.0
"""How often the cluster's CPUs are counted: nodes come and go."""


@dataclass(eq=False)
class _Worker:
    """One actor and its pending work.

    Attributes:
        ready: resolves to its description once it runs, then None.
        stream: stream of its task's batches; None while it is idle.
    """

    actor: Any
    ready: Any
    machine: str = ""
    task: Task | None = None
    stream: Any = None


@dataclass
class _Placed:
    """The images in the cluster's object store; the files of features by key and path in the workspace."""

    training: dict[DataSource, Any] = field(default_factory=dict)
    test: dict[DataSource, Any] = field(default_factory=dict)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)


class RayExecutor:
    """Runs tasks on actors of a Ray cluster, one per CPU or fraction of a GPU.

    Args:
        workspace: the driver's workspace, where returned files are written.
        data_dir: searched first for images, on the driver's machine.
        address: address of the cluster, `HOST:6379` or `auto`; None starts one on this machine.
        num_workers: maximum number of actors; by default as many as the cluster has room for.
        gpus_per_worker: fraction of a GPU requested by each actor.

    Raises:
        BakeoffError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        workspace: Path,
        data_dir: Path | None,
        *,
        address: str | None = None,
        num_workers: int | None = None,
        gpus_per_worker: float = 0.0,
    ) -> None:
        self._ray = _import_ray()
        self._folders = Folders(workspace)
        self._disk = DiskOpener(data_dir)
        self._num_workers, self._gpus = num_workers, gpus_per_worker
        self._started_cluster = _connect(self._ray, address)
        self._actor_class = self._make_class()
        self._workers: list[_Worker] = []
        self._queue: deque[Task] = deque()
        self._reports: deque[Report] = deque()
        self._placed = _Placed()
        self._room, self._counted_at = 0, -_COUNT_EVERY_SECONDS

    @property
    def num_workers(self) -> int:
        """Number of actors the cluster currently has room for."""
        now = time.monotonic()
        if now - self._counted_at >= _COUNT_EVERY_SECONDS:
            resources = self._ray.cluster_resources()
            room = int(resources.get("CPU", 0))
            if self._gpus:
                room = min(room, int(resources.get("GPU", 0) / self._gpus + 1e-9))
            self._room, self._counted_at = room, now
        return self._room if self._num_workers is None else min(self._room, self._num_workers)

    def prepare(self, num_tasks: int) -> None:
        """Do nothing: actors are requested for tasks alone, since the cluster may have other users."""

    def submit(self, task: Task) -> None:
        """Queue a task; tasks start in the order of submission."""
        self._queue.append(task)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        """Return what was reported since the last call, waiting up to `timeout_seconds` for something."""
        self._request_actors()
        self._assign()
        deadline = 0.0 if self._reports else timeout_seconds
        while True:
            ready = self._wait(deadline)
            if not ready:
                break
            for worker in ready:
                self._receive(worker)
            self._assign()
            deadline = 0.0
        reports = tuple(self._reports)
        self._reports.clear()
        return reports

    def close(self) -> None:
        """Stop the actors, and the cluster if this executor started it."""
        for worker in self._workers:
            self._kill(worker)
        self._workers.clear()
        self._queue.clear()
        self._placed = _Placed()
        if self._started_cluster:
            self._ray.shutdown()

    def _make_class(self) -> Any:
        from bakeoff.driver.executors.ray_worker import RayWorker

        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        if self._gpus:
            options["num_gpus"] = self._gpus
        return self._ray.remote(RayWorker).options(runtime_env={"env_vars": WORKER_ENVIRONMENT}, **options)

    def _request_actors(self) -> None:
        """Request as many actors as there is work and room for."""
        num_busy = sum(worker.task is not None for worker in self._workers)
        wanted = min(self.num_workers, num_busy + len(self._queue))
        while len(self._workers) < wanted:
            actor = self._actor_class.remote()
            self._workers.append(_Worker(actor=actor, ready=actor.describe.remote()))

    def _assign(self) -> None:
        for worker in self._workers:
            if self._queue and worker.ready is None and worker.task is None:
                task = self._queue.popleft()
                worker.task = task
                inputs = pack_inputs(task, self._folders)
                run = worker.actor.run.options(num_returns="streaming")
                worker.stream = run.remote(task, inputs, self._place(task), "cuda" if self._gpus else "cpu")
                self._reports.append(Started(task_id=task_id(task), machine=worker.machine))

    def _place(self, task: Task) -> Any:
        """Put a task's images and features into the cluster once; the test split only for a final test."""
        from bakeoff.driver.executors.ray_worker import PlacedOpener

        source = task.data.source
        if source not in self._placed.training:
            self._placed.training[source] = self._put(self._disk.training(source))
        for_test = isinstance(task, FinalTestTask) or (isinstance(task, FeaturesTask) and task.file.split == "test")
        if for_test and source not in self._placed.test:
            self._placed.test[source] = self._put(self._disk.test(source))
        test = self._placed.test if for_test else {}
        keys = task.features if isinstance(task, CohortTask | FinalTestTask) else ()
        return PlacedOpener(
            training_refs={source: self._placed.training[source]},
            test_refs={source: test[source]} if source in test else {},
            feature_refs={path: ref for key in keys for path, ref in self._place_features(key).items()},
        )

    def _place_features(self, key: str) -> Mapping[str, Any]:
        """Put the files of features with a key into the cluster once; none if they are missing."""
        if key not in self._placed.features:
            paths = (self._folders.feature_rows(key), self._folders.feature_facts(key))
            if not all(path.is_file() for path in paths):
                return {}
            self._placed.features[key] = {
                path.relative_to(self._folders.root).as_posix(): self._ray.put(read_whole(path)) for path in paths
            }
        return self._placed.features[key]

    def _put(self, images: Images) -> Any:
        from dataclasses import replace

        import numpy as np

        # A memory map would be sent as a path on this machine; send the array itself.
        return self._ray.put(replace(images, pixels=np.array(images.pixels), labels=np.array(images.labels)))

    def _wait(self, timeout_seconds: float) -> list[_Worker]:
        """Return the actors with pending reports."""
        owed = {worker.ready if worker.ready is not None else worker.stream: worker for worker in self._workers}
        owed.pop(None, None)
        if not owed:
            time.sleep(min(timeout_seconds, 0.05))
            return []
        ready, _ = self._ray.wait(list(owed), num_returns=1, timeout=timeout_seconds, fetch_local=False)
        return [owed[each] for each in ready]

    def _receive(self, worker: _Worker) -> None:
        try:
            if worker.ready is not None:
                self._accept(worker, self._ray.get(worker.ready))
                return
            files, reports = self._ray.get(next(worker.stream))
        except StopIteration:
            self._free(worker)
            return
        except self._ray.exceptions.RayError as error:
            self._report_lost(worker, error)
            return
        unpack(files, self._folders.root)
        self._reports.extend(reports)
        if any(isinstance(report, TaskDone | TaskLost) for report in reports):
            self._free(worker)

    def _accept(self, worker: _Worker, facts: Mapping[str, Any]) -> None:
        """Accept a new actor if its versions match the driver's.

        Raises:
            BakeoffError: it runs other versions.
        """
        own = describe_versions()
        wrong = [name for name in ("bakeoff", "torch") if facts["machine"][name] != own[name]]
        if wrong or facts["engine"] != ENGINE_VERSION:
            name = (wrong or ["bakeoff"])[0]
            raise ClusterError(
                f"node {facts['node']} has {name} {facts['machine'][name]}, this machine {own[name]}: results would "
                "depend on the node. Install the same versions on every node."
            )
        worker.ready, worker.machine = None, format_machine(facts["machine"])

    def _free(self, worker: _Worker) -> None:
        worker.task = worker.stream = None

    def _report_lost(self, worker: _Worker, error: Exception) -> None:
        """Report a lost actor's task as lost; others are requested when there is work."""
        self._workers.remove(worker)
        if worker.task is None:
            return
        died = isinstance(error, self._ray.exceptions.RayActorError | self._ray.exceptions.ObjectLostError)
        reason = "the worker's node or process is gone" if died else (str(error).strip().splitlines() or [""])[0]
        self._reports.append(TaskLost(task_id=task_id(worker.task), died=died, reason=reason, detail=str(error)))
        self._kill(worker)

    def _kill(self, worker: _Worker) -> None:
        self._ray.kill(worker.actor, no_restart=True)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError(f"--executor ray needs Ray: {how_to_install('ray')}") from error
    return ray


def _connect(ray: Any, address: str | None) -> bool:
    """Connect to a cluster or start one here; return whether this call did either."""
    if ray.is_initialized():
        return False
    _check_address(address)
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ClusterError(f"no Ray cluster at {address or 'this machine'}: {reason}") from error
    return True


def _check_address(address: str | None) -> None:
    """Raise BakeoffError if nothing listens at an address: Ray itself takes minutes and prints many lines."""
    if address is not None and address.startswith("ray://"):
        raise ClusterError(
            f"--address {address}: Ray Client cannot stream workers' reports. Start bakeoff on a machine "
            "of the cluster, with --address auto."
        )
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address}: {getattr(error, 'strerror', None) or error}.") from error
