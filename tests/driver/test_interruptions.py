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

NUMBERS = (
    "SELECT id, state, reason, num_epochs, best_epoch, stop, num_parameters, metrics, content, cohort_id FROM trials",
    "SELECT trial_id, epoch, train, validation, times_trained FROM epochs",
    "SELECT trial_id, metrics, fingerprint FROM exam_results",
    "SELECT study_id, position, trial_id, block, arm, replicate, stage FROM placements",
    "SELECT * FROM candidates",
    "SELECT * FROM pauses",
)
"""Everything in a ledger but when, where and how long."""

Moment = Callable[[Path], bool]


def count(workspace: Path, query: str) -> int:
    """Return what a running study's ledger answers, 0 where there is nothing yet."""
    path = Folders(workspace).ledger
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def read_numbers(workspace: Path) -> list[set[tuple[object, ...]]]:
    with closing(sqlite3.connect(Folders(workspace).ledger)) as connection:
        return [set(connection.execute(query)) for query in NUMBERS]


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
    document: str, signals: Sequence[tuple[signal.Signals, Moment]], tmp_path: Path
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
            now = read_numbers(workspace)[1]
            assert kept <= now, "an epoch on record before the end is gone"
            kept = now
    assert run(study, workspace=workspace).state == "done"
    assert run(study, workspace=tmp_path / "uninterrupted").state == "done"
    trials, epochs, final_tests, placements, candidates, _ = read_numbers(workspace)
    assert kept <= epochs
    assert {row[-1] for row in epochs} == {1}, "an epoch was trained twice"
    assert read_numbers(workspace) == read_numbers(tmp_path / "uninterrupted")
    assert len(trials) == len(placements) == (8 if not candidates else 16 + 6)
    assert len(final_tests) == (8 if not candidates else 6)
    assert list((workspace / "cohorts").iterdir()) == []
    assert list(workspace.rglob("*.part")) == []
