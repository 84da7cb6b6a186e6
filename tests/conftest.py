"""What holds for every test: one thread, no network, nothing of the user's own folders. And a workspace to use."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from bakeoff.driver.executors.base import Report
    from bakeoff.ledger.store import Ledger
    from bakeoff.messages import Task
    from bakeoff.workspace import Folders

# Before torch or a BLAS starts: the machine's cores belong to worker processes, and results to one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

settings.register_profile("bakeoff", derandomize=True, deadline=None, max_examples=30, database=None)
settings.load_profile("bakeoff")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write the texts of tests/golden anew.")


_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse any connection that leaves the machine: a test that needs one is wrong."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise RuntimeError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _leave_the_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests from reading the user's data sets and from writing into the user's caches."""
    home: Path = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.delenv("BAKEOFF_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))


@pytest.fixture(scope="session", autouse=True)
def _do_not_wait_for_the_disk() -> Iterator[None]:
    """Leave files to the operating system: a killed process loses none that it wrote, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the runs of a whole module one cache of decoded images, and no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.getbasetemp() / "bakeoff-cache"))
        yield


class InProcess:
    """Runs every task in this process, as a worker does; here its disk and its images can be made to fail."""

    num_workers = 1

    def __init__(self, num_workers: int, workspace: Path, data_dir: Path | None, devices: Sequence[str]) -> None:
        self._workspace, self._data_dir = workspace, data_dir
        self._reports: list[Report] = []

    def prepare(self, num_tasks: int) -> None:
        pass

    def submit(self, task: Task) -> None:
        from bakeoff.data.opener import DiskOpener
        from bakeoff.driver.executors.base import Started
        from bakeoff.driver.executors.worker import run_task, use_one_thread
        from bakeoff.messages import task_id

        self._reports.append(Started(task_id=task_id(task)))
        with warnings.catch_warnings():
            use_one_thread()
            run_task(task, self._workspace, DiskOpener(self._data_dir), self._reports.append)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        reports, self._reports = self._reports, []
        return reports

    def close(self) -> None:
        self._reports.clear()


@pytest.fixture(scope="module")
def in_process() -> Iterator[type[InProcess]]:
    """Have all runs of a module train in the test's own process; return the executor that does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.api.LocalExecutor", InProcess)
        yield InProcess


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Stand in a user's folder and write modules into it: `write_module("nets", source)`. They are forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written: list[str] = []

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    from bakeoff.workspace import Folders

    return Folders(tmp_path / "runs")


@pytest.fixture
def ledger(folders: Folders) -> Iterator[Ledger]:
    from bakeoff.ledger.store import Ledger

    ledger = Ledger(folders)
    yield ledger
    ledger.close()
