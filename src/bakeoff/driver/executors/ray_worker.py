"""A worker on a Ray cluster: an actor that runs one task after another in its own folder."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from bakeoff.data.cache import Images
from bakeoff.data.source import DataSource
from bakeoff.driver.executors.base import Report
from bakeoff.driver.executors.file_transfer import Outbox, Parcel, unpack
from bakeoff.driver.machine import describe_hardware, describe_versions
from bakeoff.errors import ImagesChangedError
from bakeoff.messages import ENGINE_VERSION, Task

Batch = tuple[Parcel, tuple[Report, ...]]
"""Files, and the reports that are valid once these are written."""

_END = None


@dataclass
class PlacedOpener:
    """Opens the images that the driver has put into the cluster, one copy per node.

    Attributes:
        training_refs, test_refs: source -> reference to its split; no test split before the final test.
        feature_refs: path in the workspace -> reference to a file of features.
    """

    training_refs: Mapping[DataSource, Any] = field(default_factory=dict)
    test_refs: Mapping[DataSource, Any] = field(default_factory=dict)
    feature_refs: Mapping[str, Any] = field(default_factory=dict)

    def training(self, source: DataSource) -> Images:
        """Open the training split."""
        return _take(self.training_refs, source)

    def test(self, source: DataSource) -> Images:
        """Open the test split. For the final test only."""
        return _take(self.test_refs, source)


def _take(refs: Mapping[DataSource, Any], source: DataSource) -> Images:
    if source not in refs:
        raise ImagesChangedError(f"{source.label}: these images were not sent to the worker. Run the study again.")
    images: Images = ray.get(refs[source])  # the arrays stay in the node's read-only shared memory
    return images


class RayWorker:
    """Runs tasks and yields their reports with the files they wrote. The executor makes it a Ray actor."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="bakeoff-"))
        from bakeoff.driver.executors.worker import use_one_thread

        use_one_thread()

    def describe(self) -> dict[str, Any]:
        """Return this worker's machine and versions, to compare with the driver's."""
        machine = {**describe_hardware(), **describe_versions()}
        return {"node": socket.gethostname(), "process": os.getpid(), "machine": machine, "engine": ENGINE_VERSION}

    def run(self, task: Task, inputs: Parcel, opener: PlacedOpener, device: str) -> Iterator[Batch]:
        """Run one task in an empty folder.

        Args:
            task: the task.
            inputs: the workspace's files that it reads.
            opener: its images and features.
            device: torch's name of the device.
        """
        folder = Path(tempfile.mkdtemp(dir=self._root))
        try:
            unpack(inputs, folder)
            self._link_features(opener.feature_refs, folder)
            yield from self._stream(task, folder, opener, device)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _link_features(self, refs: Mapping[str, Any], folder: Path) -> None:
        """Place files of features in a task's folder; this worker keeps them for its next tasks."""
        kept = self._root / "kept"
        for name, ref in refs.items():
            if not (kept / name).exists():
                unpack({name: ray.get(ref)}, kept)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(kept / name, folder / name)

    def _stream(self, task: Task, folder: Path, opener: PlacedOpener, device: str) -> Iterator[Batch]:
        from bakeoff.driver.executors.worker import run_task

        outbox = Outbox(folder)
        sent: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                run_task(task, folder, opener, lambda report: sent.put((outbox.collect(), (report,))), device)
            finally:
                sent.put(_END)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while (batch := sent.get()) is not _END:
            files, reports = dict(batch[0]), [*batch[1]]
            is_over = False
            while not sent.empty():  # reports that arrived together are sent together
                following = sent.get()
                if following is _END:
                    is_over = True
                    break
                files |= following[0]
                reports += following[1]
            yield files, tuple(reports)
            if is_over:
                break
        thread.join()
