"""What happens to a run from outside: signals, suspended workers, a second driver, clocks, moves."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from bakeoff.api import Study, list_status, load, run
from bakeoff.driver.context import RunContext
from bakeoff.driver.doctor import examine
from bakeoff.driver.executors import watchdog
from bakeoff.driver.executors.local import LocalExecutor
from bakeoff.driver.run import run_plan
from bakeoff.ledger import store
from bakeoff.study.plan import expand
from bakeoff.workspace import Folders

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180.0
INTERRUPTED_MESSAGE = "interrupted: all finished epochs are kept; run the same command again to resume"

ReadNumbers = Callable[..., dict[str, Any]]

STUDY = {
    "question": "?",
    "name": "small",
    "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 30, "batch_size": 64},
    "arms": [{"optimizer.learning_rate": [0.01, 0.1]}],
    "replicates": 2,
    "numeric": "float32",
}


@pytest.fixture(scope="module")
def undisturbed(cache: Path, read_numbers: ReadNumbers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    workspace = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(cache))
        run(Study.model_validate(STUDY), workspace=workspace, workers=1)
    return read_numbers(workspace)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(STUDY))
    return path


def count_epochs(workspace: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{Folders(workspace).ledger.as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM epochs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def start(study: Path, workspace: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--workspace", str(workspace), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def await_that(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "the moment never came"
        time.sleep(0.005)


def find_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "bakeoff.driver.executors.worker" in child.cmdline()]


# --- the campaign, small ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_campaign_finds_nothing_lost(tmp_path: Path) -> None:
    output = tmp_path / "faults.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "faults.py"), "--output", str(output), "--studies", "grid"]
    command += ["--epochs", "12", "--only", "driver=3", "--only", "worker=2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    result = json.loads(output.read_text())
    assert {row["kind"]: row["faults"] for row in result["summary"]} == {"driver": 3, "worker": 2}
    assert all(row["is_sound"] for row in result["summary"])
    assert all(run["compared"]["epochs"]["number"] > 100 for run in result["runs"])


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_asked_twice_to_end_it_ends_at_once_and_in_one_line(
    undisturbed: dict[str, Any], read_numbers: ReadNumbers, study: Path, tmp_path: Path, first: signal.Signals
) -> None:
    workspace = tmp_path / "runs"
    with start(study, workspace, "--workers", "1") as process:
        await_that(lambda: count_epochs(workspace) >= 4)
        workers = find_workers(process)
        os.killpg(process.pid, first)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == INTERRUPTED_MESSAGE
    assert "Traceback" not in errors
    assert psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)[1] == []
    run(study, workspace=workspace, workers=1)
    assert read_numbers(workspace) == undisturbed


def test_the_second_interrupt_does_not_wait_for_the_first(tmp_path: Path) -> None:
    """A run that is stuck on its way out."""
    program = (
        "import time\n"
        "from bakeoff.driver.interrupts import handle_interrupts\n"
        "handle_interrupts()\n"
        "try:\n    print('ready', flush=True); time.sleep(600)\n"
        "finally:\n    print('leaving', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        for word in ("ready", "leaving"):
            assert process.stdout.readline() == f"{word}\n"
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (130, f"{INTERRUPTED_MESSAGE}\n")


def run_interrupted(then: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with a command that is interrupted and then goes on as told."""
    program = f"""
import os, signal, sys
from bakeoff import __main__, cli

def command(**settings):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt as error:
        {then}

cli.app = command
status = __main__.run()
os.kill(os.getpid(), signal.SIGINT)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "then", ["raise", "raise RuntimeError('KeyboardInterrupt: ') from error", "raise cli.BakeoffError('x')"]
)
def test_an_interrupt_that_a_library_turned_into_another_exception_is_one_still(then: str) -> None:
    """As pydantic does when the signal comes while it builds a model."""
    ended = run_interrupted(then)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert set(ended.stderr.splitlines()) == {INTERRUPTED_MESSAGE}


def test_a_signal_after_the_command_ends_the_process_without_a_traceback() -> None:
    ended = run_interrupted("return 0")
    assert (ended.returncode, ended.stderr) == (130, f"{INTERRUPTED_MESSAGE}\n")


# --- workers ---------------------------------------------------------------------------------------------------------


def test_a_worker_suspended_for_good_is_found_and_its_cohort_goes_on(
    undisturbed: dict[str, Any], read_numbers: ReadNumbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Any
) -> None:
    class Suspending(script.Watcher):
        def epoch_done(self, label: str, **numbers: Any) -> None:
            super().epoch_done(label, **numbers)
            if len(self.epochs) == 5:
                for child in psutil.Process().children():
                    child.suspend()

    monkeypatch.setattr(watchdog, "LOOK_EVERY_SECONDS", 1.0)
    executor, watcher = LocalExecutor(1, tmp_path, None, watchdog=watchdog.Watchdog(6.0)), Suspending()
    try:
        run_plan(
            expand(Study.model_validate(STUDY)),
            RunContext(workspace=tmp_path, executor=executor, observer=watcher),
        )
    finally:
        executor.close()
    said = "the worker did nothing for 6 s (suspended or stuck) and was killed; retrying"
    assert [text for text in watcher.messages if text.endswith(said)]
    assert read_numbers(tmp_path) == undisturbed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a suspended worker ends when it is woken")
def test_a_suspended_worker_dies_with_its_driver(study: Path, tmp_path: Path) -> None:
    with start(study, tmp_path / "runs", "--workers", "1") as process:
        await_that(lambda: count_epochs(tmp_path / "runs") >= 4)
        (worker,) = find_workers(process)
        worker.suspend()
        process.kill()
    await_that(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


# --- drivers, clocks, places -----------------------------------------------------------------------------------------


def test_a_second_driver_waits_and_finds_everything_done(
    undisturbed: dict[str, Any], read_numbers: ReadNumbers, study: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "runs"
    with start(study, workspace, "--workers", "1") as first:
        await_that(lambda: count_epochs(workspace) >= 4)
        first.send_signal(signal.SIGSTOP)  # so that it does not end before the others come
        with start(study, workspace, "--no-wait") as third:
            _, refused = third.communicate(timeout=PATIENCE_SECONDS)
        with start(study, workspace, "--workers", "1", "--json") as second:
            assert second.stderr is not None
            waited = second.stderr.readline()
            first.send_signal(signal.SIGCONT)
            said, _ = second.communicate(timeout=PATIENCE_SECONDS)
        first.communicate(timeout=PATIENCE_SECONDS)
    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 2)
    assert refused.startswith(f"error: {workspace}: another ")
    assert "--workspace" in refused
    assert waited.startswith(f"{workspace}: another ")
    assert "waiting" in waited
    assert json.loads(said)["trials"] == {"planned": 4, "done": 4, "failed": 0, "reused": 4}
    assert read_numbers(workspace) == undisturbed


class Enough(KeyboardInterrupt):
    """Ends a run."""


def stop_after(script: Any, num_epochs: int) -> Any:
    class Stopping(script.Watcher):
        def epoch_done(self, label: str, **numbers: Any) -> None:
            super().epoch_done(label, **numbers)
            if len(self.epochs) >= num_epochs:
                raise Enough

    return Stopping()


def test_a_clock_that_was_set_back_changes_nothing(
    undisturbed: dict[str, Any], read_numbers: ReadNumbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Any
) -> None:
    for year, num_epochs in ((2031, 20), (1999, 60)):
        monkeypatch.setattr(store, "now", lambda year=year: f"{year}-01-01T00:00:00+00:00")
        with pytest.raises(Enough):
            run(Study.model_validate(STUDY), workspace=tmp_path, workers=1, observer=stop_after(script, num_epochs))
        for path in tmp_path.rglob("*"):
            os.utime(path, (0, 0))
    assert run(Study.model_validate(STUDY), workspace=tmp_path, workers=1).state == "done"
    assert read_numbers(tmp_path) == undisturbed
    assert [each.created_at for each in list_status(tmp_path)] == ["2031-01-01T00:00:00+00:00"]


def test_a_workspace_that_was_moved_goes_on(
    undisturbed: dict[str, Any], read_numbers: ReadNumbers, tmp_path: Path, script: Any
) -> None:
    with pytest.raises(Enough):
        run(Study.model_validate(STUDY), workspace=tmp_path / "one", workers=1, observer=stop_after(script, 20))
    (tmp_path / "one").rename(tmp_path / "other")
    assert run(Study.model_validate(STUDY), workspace=tmp_path / "other", workers=1).state == "done"
    assert read_numbers(tmp_path / "other") == undisturbed
    (tmp_path / "deep").mkdir()
    (tmp_path / "other").rename(tmp_path / "deep" / "third")
    assert load("small", tmp_path / "deep" / "third").state == "done"
    assert [finding.text for finding in examine(tmp_path / "deep" / "third") if finding.level == "problem"] == []
