"""Killed or interrupted at any moment, a study ends with the numbers of an uninterrupted one, to the last digit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api import run
from bakeoff.workspace import Folders

INTERRUPTED_MESSAGE = "interrupted: all finished epochs are kept; run the same command again to resume"
PATIENCE_SECONDS = 120.0

GRID = """\
question: Which learning rate?
data: {validation: 0.2}
recipe: {network: {name: mlp, units: [16], dropout: 0.2}, epochs: 25, batch_size: 128}
arms:
  - optimizer: [{name: adam, learning_rate: 0.001}, {name: sgd, learning_rate: 0.1, momentum: 0.9}]
  - all: {epochs: 25}
    patient: {early_stopping: {patience: 2}}
replicates: 2
numeric: float32
"""

SEARCH = """\
question: Which learning rate, and how many units?
data: {validation: 0.2}
recipe: {network: {name: mlp, units: [16], dropout: 0.2}, epochs: 12, batch_size: 128}
search:
  name: optuna
  trials: 8
  group: 4
  space: {optimizer.learning_rate: {low: 0.001, high: 0.1, log: true}, network.units.0: [8, 16]}
  halving: {first: 2, factor: 2}
  baseline: random
replicates: 2
numeric: float32
"""

Moment = Callable[[Path], bool]


def count(workspace: Path, query: str) -> int:
    """Return what a running study's ledger answers, 0 where there is nothing yet."""
    path = Folders(workspace).ledger
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def start(study: Path, workspace: Path) -> subprocess.Popen[str]:
    """Start a run as the leader of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "run", str(study), "--workspace", str(workspace), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def signal_at(process: subprocess.Popen[str], workspace: Path, moment: Moment, number: signal.Signals) -> str:
    """Send a signal to the whole process group at a moment of the run; return what it wrote on standard error."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not moment(workspace):
        assert process.poll() is None, "it ended before the moment came"
        assert time.monotonic() < ends, "the moment never came"
        time.sleep(0.002)
    os.killpg(process.pid, number)
    return process.communicate(timeout=PATIENCE_SECONDS)[1]


def started(workspace: Path) -> bool:
    return (workspace / "driver.lock").exists()


def in_training(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM epochs") >= 40


def some_have_ended(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM trials") >= 1


def in_final_test(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM exams") >= 1


KILLED, ASKED, TOLD = signal.SIGKILL, signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize(
    ("document", "signals"),
    [
        (GRID, ((KILLED, started), (ASKED, in_training), (KILLED, some_have_ended), (TOLD, in_final_test))),
        (SEARCH, ((ASKED, started), (TOLD, in_training), (KILLED, in_final_test))),
    ],
    ids=["grid", "search"],
)
@pytest.mark.usefixtures("in_process")
def test_ended_again_and_again_nothing_is_lost_and_no_digit_changes(
    document: str,
    signals: Sequence[tuple[signal.Signals, Moment]],
    read_numbers: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    study, workspace = tmp_path / "rates.yaml", tmp_path / "runs"
    study.write_text(document)
    kept: set[tuple[object, ...]] = set()
    for number, moment in signals:
        with start(study, workspace) as process:
            errors = signal_at(process, workspace, moment, number)
        assert "Traceback" not in errors
        assert process.returncode == (-number if number == KILLED else 130)
        if moment is not started:
            assert number == KILLED or errors.splitlines()[-1] == INTERRUPTED_MESSAGE
            now = read_numbers(workspace)["epochs"]
            assert kept <= now, "an epoch on record before the end is gone"
            kept = now
    assert run(study, workspace=workspace).state == "done"
    assert run(study, workspace=tmp_path / "uninterrupted").state == "done"
    found = read_numbers(workspace)
    assert kept <= found["epochs"]
    assert {row[-1] for row in found["epochs"]} == {1}, "an epoch was trained twice"
    assert found == read_numbers(tmp_path / "uninterrupted")
    assert len(found["trials"]) == len(found["placements"]) == (16 + 6 if found["candidates"] else 8)
    assert len(found["exam_results"]) == (6 if found["candidates"] else 8)
    assert list((workspace / "cohorts").iterdir()) == []
    assert list(workspace.rglob("*.part")) == []
