"""Killed or interrupted at any moment, a study ends with the numbers of an uninterrupted one, to the last digit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.training.folders import Folders

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


def finish(study: Path, workspace: Path) -> None:
    with start(study, workspace) as process:
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors


def signal_at(process: subprocess.Popen[str], workspace: Path, moment: Moment, number: signal.Signals) -> str:
    """Send a signal to the whole process group at a moment of the run; return what it wrote on standard error."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not moment(workspace):
        assert process.poll() is None, "it ended before the moment came"
        assert time.monotonic() < ends, "the moment never came"
        time.sleep(0.002)
    os.killpg(process.pid, number)
    return process.communicate(timeout=PATIENCE_SECONDS)[1]


@pytest.fixture(scope="module", params=[GRID, SEARCH], ids=["grid", "search"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "rates.yaml"
    path.write_text(request.param)
    return path


@pytest.fixture(scope="module")
def uninterrupted(study: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[set[tuple[object, ...]]]:
    workspace = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(cache))
        finish(study, workspace)
    return read_numbers(workspace)


def started(workspace: Path) -> bool:
    return (workspace / "driver.lock").exists()


def in_training(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM epochs") >= 40


def some_have_ended(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM trials") >= 1


def in_exam(workspace: Path) -> bool:
    return count(workspace, "SELECT COUNT(*) FROM exams") >= 1


def test_killed_four_times_nothing_is_lost_and_no_digit_changes(
    study: Path, uninterrupted: list[set[tuple[object, ...]]], tmp_path: Path
) -> None:
    kept: set[tuple[object, ...]] = set()
    for moment in (started, in_training, some_have_ended, in_exam):
        with start(study, tmp_path) as process:
            signal_at(process, tmp_path, moment, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        now = read_numbers(tmp_path)[1] if Folders(tmp_path).ledger.exists() and moment is not started else set()
        assert kept <= now, "an epoch on record before the kill is gone"
        kept = now
    finish(study, tmp_path)
    trials, epochs, exams, placements, candidates, _ = read_numbers(tmp_path)
    assert {row[-1] for row in epochs} == {1}, "an epoch was trained twice"
    assert read_numbers(tmp_path) == uninterrupted
    assert len(trials) == len(placements) == (8 if not candidates else 16 + 6)
    assert len(exams) == (8 if not candidates else 6)
    assert list((tmp_path / "cohorts").iterdir()) == []
    assert list(tmp_path.rglob("*.part")) == []


def test_interrupted_it_says_so_and_goes_on_from_there(
    study: Path, uninterrupted: list[set[tuple[object, ...]]], tmp_path: Path
) -> None:
    for number, moment in ((signal.SIGINT, in_training), (signal.SIGTERM, in_exam)):
        with start(study, tmp_path) as process:
            errors = signal_at(process, tmp_path, moment, number)
        assert process.returncode == 130
        *_, last = errors.splitlines()
        assert last == "interrupted: all finished epochs are kept; run the same command again to resume"
        assert "Traceback" not in errors
    before = read_numbers(tmp_path)[1]
    finish(study, tmp_path)
    assert before <= read_numbers(tmp_path)[1]
    assert read_numbers(tmp_path) == uninterrupted


def test_interrupted_while_it_starts(study: Path, tmp_path: Path) -> None:
    with start(study, tmp_path) as process:
        errors = signal_at(process, tmp_path, started, signal.SIGINT)
    assert process.returncode == 130
    assert "Traceback" not in errors
