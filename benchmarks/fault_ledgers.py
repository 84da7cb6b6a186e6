"""Reads a workspace's ledger while a run writes it, and compares two workspaces bit by bit."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bakeoff.api import load
from bakeoff.engine.checkpoint_file import DamagedCheckpoint, read_file
from bakeoff.workspace import Folders

Rows = set[tuple[Any, ...]]

HELD = {
    "epochs": "SELECT trial_id, epoch, train, validation FROM epochs",
    "trials": "SELECT id, state, metrics FROM trials WHERE state != 'failed'",
    "final-test results": "SELECT trial_id, metrics FROM exam_results",
}
"""Queries for rows that must never be lost."""

NUMBERS = {
    "trials": "SELECT id, state, reason, num_epochs, best_epoch, stop, num_parameters, metrics, content, cohort_id "
    "FROM trials",
    "epochs": "SELECT trial_id, epoch, train, validation FROM epochs",
    "final-test results": "SELECT trial_id, metrics, fingerprint FROM exam_results",
    "placements": "SELECT study_id, position, trial_id, block, arm, replicate, fold, stage FROM placements",
    "candidates": "SELECT * FROM candidates",
    "pauses": "SELECT * FROM pauses",
}
"""Queries for everything in a ledger except times, machines and durations. Numbers are JSON with all digits."""


def read(workspace: Path, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return rows of a ledger; none if there is no ledger yet."""
    path = Folders(workspace).ledger
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []


def count(workspace: Path, table: str) -> int:
    """Return the number of rows of a table; 0 if there is no ledger yet."""
    return int((read(workspace, f"SELECT COUNT(*) FROM {table}") or [(0,)])[0][0])


def hold(workspace: Path) -> dict[str, Rows]:
    """Return the rows in a ledger that must never be lost."""
    return {name: set(read(workspace, query)) for name, query in HELD.items()}


class Settling:
    """Tracks whether the cohorts that lost a worker have made progress since.

    bakeoff splits a cohort that loses two workers without finishing an epoch in between, to find the trial that kills
    them. Trials that train alone agree with the others only up to rounding, so for bitwise comparison the campaign
    kills a cohort's next worker only after the cohort has made progress.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace, self._folders = workspace, Folders(workspace)
        self._num_seen = count(workspace, "incidents")
        self._waiting: dict[str, tuple[bool, int]] = {}

    def look(self) -> bool:
        """Read new losses; return whether there were any."""
        query = "SELECT cohort_id FROM incidents WHERE kind = 'lost' ORDER BY rowid LIMIT -1 OFFSET ?"
        fresh = [row[0] for row in read(self._workspace, query, (self._num_seen,))]
        self._num_seen += len(fresh)
        for cohort_id in fresh:
            members = self._members(cohort_id)
            self._waiting[cohort_id] = (members is not None, self._count(members or ()))
        return bool(fresh)

    def is_settled(self) -> bool:
        """Return whether all have made progress."""
        self._waiting = {each: state for each, state in self._waiting.items() if not self._has_progressed(each, *state)}
        return not self._waiting

    def _has_progressed(self, cohort_id: str, had_checkpoint: bool, num_epochs: int) -> bool:
        members = self._members(cohort_id)
        if members is not None:
            return self._count(members) > num_epochs
        tables = ("trials", "pauses")
        ended = [read(self._workspace, f"SELECT 1 FROM {each} WHERE cohort_id = ?", (cohort_id,)) for each in tables]
        return had_checkpoint or any(ended)

    def _members(self, cohort_id: str) -> tuple[str, ...] | None:
        path = self._folders.checkpoint(cohort_id)
        try:
            return tuple(read_file(path)[0]["members"]) if path.exists() else None
        except DamagedCheckpoint:  # it was deleted just now
            return None

    def _count(self, members: tuple[str, ...]) -> int:
        query = "SELECT COUNT(*) FROM epochs WHERE trial_id IN (SELECT value FROM json_each(?))"
        return int(read(self._workspace, query, (json.dumps(members),))[0][0])


def compare(whole: Path, faulty: Path) -> dict[str, Any]:
    """Compare two workspaces; return counts of compared and of differing items."""
    compared: dict[str, dict[str, int]] = {}
    for name, query in NUMBERS.items():
        one, other = set(read(whole, query)), set(read(faulty, query))
        compared[name] = {"number": len(one), "different": len(one ^ other)}
    one_files, other_files = hash_files(whole), hash_files(faulty)
    for name, suffix in (("weights", ".safetensors"), ("predictions", ".npz")):
        paths = [path for path in one_files | other_files if path.endswith(suffix)]
        different = sum(one_files.get(path) != other_files.get(path) for path in paths)
        compared[name] = {"number": len(paths), "different": different}
    one_said, other_said = say_results(whole), say_results(faulty)
    compared["answers and ensembles"] = {"number": len(one_said), "different": len(one_said ^ other_said)}
    again = int(read(faulty, "SELECT COUNT(*) FROM epochs WHERE times_trained > 1")[0][0])
    left = [
        str(path.relative_to(faulty))
        for path in faulty.rglob("*")
        if path.suffix == ".part" or path.name.startswith(".tmp")
    ]
    left += [str(path.relative_to(faulty)) for path in (faulty / "cohorts").glob("*")]
    whole_ledger = read(faulty, "PRAGMA integrity_check") == [("ok",)]
    equal = not left and not again and whole_ledger and not any(each["different"] for each in compared.values())
    return {"compared": compared, "trained_twice": again, "left_behind": left, "equal": equal}


def hash_files(workspace: Path) -> dict[str, str]:
    """Return the SHA-256 of all files of trials."""
    trials = Folders(workspace).trials
    files = [path for path in trials.rglob("*") if path.is_file()]
    return {path.relative_to(trials).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def say_results(workspace: Path) -> set[str]:
    """Return the conclusions from a ledger as JSON, by part."""
    (name,) = read(workspace, "SELECT name FROM studies")[0]
    document = load(name, workspace).document
    return {
        json.dumps([key, document.get(key)], sort_keys=True, default=str)
        for key in ("answers", "ensembles", "verdicts")
    }
