"""A workspace whose ledger was written by hand: three trials, one diverged, one still training, in two folds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.ledger.schema import SCHEMA_VERSION, TABLES
from bakeoff.workspace import Folders

STUDY_ID = "0123456789abcdef"
FORMULA = '=HYPERLINK("http://x")'
STRANGE = 'a,b\n"c"; \u4e2d'


def _insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def _place(connection: sqlite3.Connection, position: int, arm: str, fold: int | None, stage: str = "final") -> None:
    place = {"block": "digits", "arm": arm, "replicate": 0, "fold": fold, "stage": stage}
    _insert(connection, "placements", study_id=STUDY_ID, position=position, trial_id=f"t{position}", **place)


def _end(connection: sqlite3.Connection, position: int, state: str, reason: str = "") -> None:
    scores = {"accuracy": 0.9 + position / 100, "loss": 0.3}
    _insert(
        connection,
        "trials",
        id=f"t{position}",
        content=json.dumps({"seed": 2**47 + position}),
        state=state,
        reason=reason,
        num_epochs=2,
        best_epoch=2 if state == "done" else None,
        stop="epochs" if state == "done" else None,
        seconds=1.5 if state == "done" else None,
        num_parameters=1234 if state == "done" else None,
        metrics=json.dumps({"train": scores, "validation": scores}),
        cohort_id="c",
        machine="{}",
        finished_at="2025-01-31T12:00:59+00:00",
    )


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path / "runs")
    folders.root.mkdir()
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.executescript(TABLES)
        _insert(connection, "meta", key="schema_version", value=str(SCHEMA_VERSION))
        fields = {"document": "{}", "numeric": "float32", "command": "", "created_at": "2025"}
        _insert(connection, "studies", id=STUDY_ID, name="s", **fields)
        for position, (arm, fold) in enumerate(((FORMULA, 0), (STRANGE, 0), (FORMULA, 1))):
            _place(connection, position, arm, fold)
        _place(connection, 3, "a candidate", None, stage="search")
        _end(connection, 0, "done")
        _end(connection, 1, "diverged", "-loss became NaN")
        _end(connection, 3, "done")
        _insert(connection, "exams", id=1, study_id=STUDY_ID, opened_at="2025", num_trials=1)
        test = json.dumps({"accuracy": 0.875, "loss": 0.5})
        _insert(connection, "exam_results", trial_id="t0", exam_id=1, metrics=test, fingerprint="f")
        for trial_id in ("t0", "t1", "t2", "t3"):
            for epoch in (1, 2):
                train, validation = json.dumps({"accuracy": epoch / 4}), json.dumps({"accuracy": 0.5, "macro_f1": 0.4})
                rates = {"train": train, "validation": validation, "seconds": 0.5, "images_per_second": 100.0}
                _insert(connection, "epochs", trial_id=trial_id, epoch=epoch, **rates)
    return folders
