"""Local workers, real ones: order, losses, replacement, and that none is ever left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.driver.executors import watchdog
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.driver.facts import ImageFacts
from bakeoff.messages import CohortTask, DataView, EpochDone, Member, TaskDone, TrialDone

PATIENCE_SECONDS = 120.0
"""Until a test gives up on a process. Nothing here measures time."""

LONG = 1_000_000
"""Epochs of a task that only ends when it is killed."""


@pytest.fixture
def make_task(facts: ImageFacts) -> Callable[..., CohortTask]:
    def make(name: str = "c", *, epochs: int = 2, members: int = 1, fingerprint: str = "") -> CohortTask:
        recipe = Recipe.model_validate({"network": {"name": "mlp", "units": [4]}, "epochs": epochs, "batch_size": 256})
        return CohortTask(
            cohort_id=name,
            label=name,
            members=tuple(Member(trial_id=f"{name}{number}", recipe=recipe) for number in range(members)),
            data=DataView(
                source=DataSource(name="digits"),
                validation=0.2,
                fingerprint=fingerprint or facts.fingerprint,
                seed=1,
            ),
            numeric="float32",
        )

    return make


@pytest.fixture
def make_executor(tmp_path: Path) -> Iterator[Callable[..., LocalExecutor]]:
    made: list[LocalExecutor] = []

    def make(num_workers: int = 1) -> LocalExecutor:
        made.append(LocalExecutor(num_workers, tmp_path / "runs", None))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def poll_until(executor: LocalExecutor, enough: Callable[[Sequence[Report]], bool]) -> list[Report]:
    """Return the reports up to the poll after which there are enough of them."""
    reports: list[Report] = []
    ends = time.monotonic() + PATIENCE_SECONDS
    while not enough(reports):
        assert time.monotonic() < ends, f"nothing more came after {reports}"
        reports += executor.poll(0.5)
    return reports


def ended(number: int) -> Callable[[Sequence[Report]], bool]:
    return lambda reports: sum(isinstance(report, TaskDone | TaskLost) for report in reports) >= number


def trained(reports: Sequence[Report]) -> bool:
    return any(isinstance(report, EpochDone) for report in reports)


def pids(executor: LocalExecutor) -> list[int]:
    return [worker.process.pid for worker in executor._workers]


def is_alive(pid: int) -> bool:
    """Return whether a process still runs; one that nobody has waited for does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self/stat").exists():
            return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def wait_for_end(pid: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
    ends = time.monotonic() + patience_seconds
    while is_alive(pid):
        assert time.monotonic() < ends, f"process {pid} still runs"
        time.sleep(0.02)


def test_events_come_in_order_and_an_idle_worker_that_dies_is_replaced_without_a_loss(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor()
    assert executor.poll(0.0) == ()
    assert pids(executor) == []  # nothing was submitted: no process is started
    executor.submit(make_task(members=2))
    reports = poll_until(executor, ended(1))
    assert reports[0] == Started(task_id="c")
    assert [(r.trial_id, r.epoch) for r in reports if isinstance(r, EpochDone)] == [
        ("c0", 1),
        ("c1", 1),
        ("c0", 2),
        ("c1", 2),
    ]
    assert [r.trial_id for r in reports if isinstance(r, TrialDone)] == ["c0", "c1"]
    assert reports[-1] == TaskDone(task_id="c")
    (pid,) = pids(executor)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert executor.poll(1.0) == ()
    executor.submit(make_task("b"))
    assert poll_until(executor, ended(1))[-1] == TaskDone(task_id="b")


def test_workers_for_announced_tasks_start_at_once_and_take_them(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor(2)
    executor.prepare(1)
    assert len(pids(executor)) == 1
    executor.prepare(9)
    announced = pids(executor)
    assert len(announced) == 2
    executor.submit(make_task())
    executor.poll(0.0)
    assert pids(executor) == announced


def test_tasks_start_in_order_and_an_exception_is_a_loss_that_the_worker_survives(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask], tmp_path: Path
) -> None:
    executor = make_executor()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cohorts").write_text("a file where the checkpoints go")
    executor.submit(make_task("b", fingerprint="of other images"))
    executor.submit(make_task("a"))
    executor.submit(make_task("c", fingerprint="of other images"))
    reports = poll_until(executor, ended(3))
    assert [report.task_id for report in reports if isinstance(report, Started)] == ["b", "a", "c"]
    first, second, third = (report for report in reports if isinstance(report, TaskLost))
    assert [(lost.task_id, lost.died) for lost in (first, second, third)] == [
        ("b", False),
        ("a", False),
        ("c", False),
    ]
    assert first.reason.startswith("digits: ")
    assert "images changed" in first.reason
    assert first.detail == ""  # an expected mistake needs no traceback
    assert "a.safetensors: " in second.reason
    assert "Not a directory" in second.reason
    assert "\n" not in second.reason
    assert second.detail == ""
    assert len(pids(executor)) == 1


def test_a_killed_worker_is_a_loss_and_its_replacement_reads_the_epochs_back(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor()
    executor.submit(make_task(epochs=LONG))
    executor.submit(make_task("next"))
    reports = poll_until(executor, trained)
    (pid,) = pids(executor)
    os.kill(pid, signal.SIGKILL)
    reports += poll_until(executor, ended(2))
    lost = next(report for report in reports if isinstance(report, TaskLost))
    assert (lost.task_id, lost.died) == ("c", True)
    assert "SIGKILL" in lost.reason
    assert "memory" in lost.reason
    assert reports[-1] == TaskDone(task_id="next")
    assert pids(executor) != [pid]
    assert not is_alive(pid)
    before = [report for report in reports if isinstance(report, EpochDone) and report.trial_id == "c0"]
    executor.submit(make_task(epochs=len(before) + 2))
    after = [report for report in poll_until(executor, ended(1)) if isinstance(report, EpochDone)]
    replayed = [report for report in after if report.replayed]
    # One epoch may have been finished and not reported when the process was killed.
    assert replayed[: len(before)] == [replace(report, replayed=True) for report in before]
    assert len(replayed) - len(before) in (0, 1)
    assert [report.epoch for report in after] == list(range(1, len(before) + 3))


def test_a_task_with_several_threads_waits_for_as_many_workers_and_is_not_overtaken(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor(2)
    for name, num_threads in (("a", 1), ("wide", 2), ("b", 1), ("very wide", 9)):
        executor.submit(replace(make_task(name), num_threads=num_threads))
    reports = poll_until(executor, ended(4))
    found = [(type(report), report.task_id) for report in reports if isinstance(report, Started | TaskDone | TaskLost)]
    names = ("a", "wide", "b", "very wide")
    assert found == [(kind, name) for name in names for kind in (Started, TaskDone)]


def test_the_same_threads_give_the_same_digits_after_a_kill(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor(2)
    tasks = [replace(make_task(name, epochs=3), num_threads=2) for name in "ab"]
    tasks = [replace(task, members=(replace(task.members[0], trial_id=task.cohort_id),)) for task in tasks]
    executor.submit(tasks[0])
    whole = poll_until(executor, ended(1))
    executor.submit(replace(tasks[1], until=1))
    poll_until(executor, ended(1))
    for pid in pids(executor):
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
    executor.poll(1.0)
    executor.submit(tasks[1])
    resumed = poll_until(executor, ended(1))

    def losses(reports: Sequence[Report]) -> list[tuple[int, Any]]:
        return [(report.epoch, report.train) for report in reports if isinstance(report, EpochDone)]

    assert losses(resumed) == losses(whole)


def test_closing_leaves_no_process(
    make_executor: Callable[..., LocalExecutor], make_task: Callable[..., CohortTask]
) -> None:
    executor = make_executor(2)
    for name in ("a", "b", "waiting"):
        executor.submit(make_task(name, epochs=LONG))
    poll_until(executor, trained)
    workers = pids(executor)
    assert len(workers) == 2
    executor.close()
    assert not any(is_alive(pid) for pid in workers)
    executor.close()  # again is harmless


DRIVER = """
import sys
import time
from pathlib import Path
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_training
from bakeoff.driver.executors.base import TaskLost
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.catalog.recipe import Recipe
from bakeoff.messages import CohortTask, DataView, Member

executor = LocalExecutor(2, Path(sys.argv[1]), None)
network = {"name": "mlp", "units": [2048, 2048]}
recipe = Recipe.model_validate({"network": network, "optimizer": "sgd", "epochs": 1, "batch_size": 1})
digits = DataSource(name="digits")
view = DataView(source=digits, validation=0.2, fingerprint=open_training(digits).fingerprint, seed=1)
wrong = DataView(source=digits, validation=0.2, fingerprint="", seed=1)
members = tuple(Member(trial_id=str(number), recipe=recipe) for number in range(8))
executor.submit(CohortTask(cohort_id="busy", label="", members=members, data=view, numeric="float32"))
executor.submit(CohortTask(cohort_id="idle", label="", members=members, data=wrong, numeric="float32"))
while not any(isinstance(report, TaskLost) for report in executor.poll(0.5)):
    pass
time.sleep(2)
print(*[worker.process.pid for worker in executor._workers], flush=True)
sys.stdin.read()
"""


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    """Also in the middle of an epoch, here one of some minutes: two drivers must never train one cohort."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "runs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        workers = [int(word) for word in driver.stdout.readline().split()]
        assert len(workers) == 2
        assert all(is_alive(pid) for pid in workers)
        driver.kill()
    for pid in workers:
        wait_for_end(pid, patience_seconds=20)


def test_a_suspended_worker_is_ended_and_its_task_lost(
    make_task: Callable[..., CohortTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_SECONDS", 0.2)
    executor = LocalExecutor(1, tmp_path / "runs", None, watchdog=watchdog.Watchdog(1.0))
    try:
        executor.submit(make_task(epochs=LONG))
        wait_for(executor, EpochDone)
        (worker,) = executor._workers
        worker.process.send_signal(signal.SIGSTOP)
        lost = wait_for(executor, TaskLost)
        assert lost.died
        assert " 1 s " in lost.reason
        assert worker.process.poll() == -signal.SIGKILL
    finally:
        executor.close()


def wait_for(executor: LocalExecutor, kind: type) -> Any:
    """Poll until a report of this kind comes; return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for report in executor.poll(0.1):
            if isinstance(report, kind):
                return report
    raise AssertionError(f"no {kind.__name__} in {PATIENCE_SECONDS} s")
