"""A ledger of an older format is read as it is, and brought up to date by the next run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.ledger.check import read_version
from bakeoff.ledger.live import read_progress
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.ledger.schema import MIGRATIONS, SCHEMA_VERSION
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.ledger.tables import read_trials
from bakeoff.messages import FinalTestDone, TrialDone
from bakeoff.workspace import Folders

SECOND = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE studies (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, document TEXT NOT NULL, numeric TEXT NOT NULL,
    command TEXT NOT NULL, created_at TEXT NOT NULL, seconds REAL NOT NULL DEFAULT 0,
    facts TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE placements (
    study_id TEXT NOT NULL REFERENCES studies(id), position INTEGER NOT NULL, trial_id TEXT NOT NULL,
    block TEXT NOT NULL, arm TEXT NOT NULL, replicate INTEGER NOT NULL, fold INTEGER, PRIMARY KEY (study_id, position)
);
CREATE TABLE trials (
    id TEXT PRIMARY KEY, content TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('done', 'diverged', 'failed')),
    reason TEXT NOT NULL DEFAULT '', num_epochs INTEGER NOT NULL, best_epoch INTEGER, stop TEXT, seconds REAL,
    num_parameters INTEGER, metrics TEXT NOT NULL, cohort_id TEXT NOT NULL, machine TEXT NOT NULL,
    finished_at TEXT NOT NULL
);
CREATE TABLE epochs (
    trial_id TEXT NOT NULL, epoch INTEGER NOT NULL, train TEXT NOT NULL, validation TEXT NOT NULL,
    seconds REAL NOT NULL, images_per_second REAL NOT NULL, times_trained INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (trial_id, epoch)
) WITHOUT ROWID;
CREATE TABLE exams (
    id INTEGER PRIMARY KEY, study_id TEXT NOT NULL REFERENCES studies(id), opened_at TEXT NOT NULL,
    num_trials INTEGER NOT NULL
);
CREATE TABLE exam_results (
    trial_id TEXT PRIMARY KEY, exam_id INTEGER NOT NULL REFERENCES exams(id), metrics TEXT NOT NULL,
    fingerprint TEXT NOT NULL
);
CREATE TABLE probes (key TEXT PRIMARY KEY, result TEXT NOT NULL, measured_at TEXT NOT NULL);
CREATE TABLE incidents (at TEXT NOT NULL, cohort_id TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
"""
"""The tables of the second format, as they were."""

FIRST = SECOND.replace(",\n    facts TEXT NOT NULL DEFAULT '{}'", "")

ROW = ("s" * 64, "tiny", '{"question": "Which?"}', "float32", "bakeoff run tiny", "2026-01-01T00:00:00+00:00")


@pytest.fixture(params=[(1, FIRST), (2, SECOND)], ids=["first", "second"])
def old(folders: Folders, request: pytest.FixtureRequest) -> Folders:
    """A workspace with a ledger of an older format, and in it a study with one trial done."""
    version, tables = request.param
    folders.root.mkdir(parents=True)
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.executescript(tables)
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(version),))
        columns = "(id, name, document, numeric, command, created_at)"
        connection.execute(f"INSERT INTO studies {columns} VALUES (?, ?, ?, ?, ?, ?)", ROW)
        connection.execute("INSERT INTO placements VALUES (?, 0, 't1', 'digits', 'a', 0, NULL)", ("s" * 64,))
        connection.execute(
            "INSERT INTO trials VALUES ('t1', '{}', 'done', '', 3, 2, 'epochs', 1.5, 7, "
            "'{\"validation\": {\"accuracy\": 0.5}}', 'c1', '{}', '2026-01-01T00:00:00+00:00')"
        )
    return folders


def dump_tables(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}


def test_every_older_version_has_its_way_up() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_the_older_formats_lack_what_came_later() -> None:
    assert "facts" not in FIRST
    assert "facts" in SECOND
    assert not any(name in SECOND for name in ("stage", "pruned", "pauses", "candidates", "asking"))


def test_reading_an_old_ledger_changes_nothing(old: Folders) -> None:
    before = dump_tables(old.ledger)
    with open_reading(old) as connection:
        record = read_study(connection, "s" * 64)
    assert (record.name, record.facts, record.candidates, record.asking) == ("tiny", {}, (), False)
    assert (record.num_planned, [result.trial_id for result in record.results]) == (1, ["t1"])
    assert dump_tables(old.ledger) == before


def test_writing_brings_it_up_to_date(old: Folders, tmp_path: Path) -> None:
    Ledger(old).close()
    fresh = Folders(tmp_path / "fresh")
    Ledger(fresh).close()
    assert dump_tables(old.ledger) == dump_tables(fresh.ledger)
    with closing(sqlite3.connect(old.ledger)) as connection:
        assert read_version(connection) == SCHEMA_VERSION
    with open_reading(old) as connection:
        record = read_study(connection, "s" * 64)
    assert (record.facts, record.candidates, record.num_planned) == ({}, (), 1)
    assert record.results[0].metrics == {"validation": {"accuracy": 0.5}}


def test_folds_that_selection_saw_are_left_out_and_counted(ledger: Ledger, folders: Folders) -> None:
    """Before folds were nested, the held-out fold was the validation split: ids and contents lacked `validation`."""
    contents = {"old": {"folds": 2}, "new": {"folds": 2, "validation": 0.1}}
    places = [Placement(name, "b", "a", 0, fold) for fold, name in enumerate(contents)]
    ledger.register_study("s" * 64, name="tiny", document={}, placements=places, numeric="float32", command="")
    scores = {"validation": {"accuracy": 0.5}}
    for name, data in contents.items():
        done = TrialDone(
            trial_id=name,
            num_epochs=1,
            best_epoch=1,
            stop="epochs",
            seconds=1.0,
            num_parameters=1,
            metrics=scores,
        )
        ledger.record_done(done, {"data": data}, "c", "{}")
    final_test = FinalTestDone(trial_id="new", metrics={"accuracy": 0.7}, fingerprint="f", held_out={"accuracy": 0.6})
    ledger.record_final_test(ledger.open_final_test("s" * 64, 1), final_test)
    with open_reading(folders) as connection:
        record = read_study(connection, "s" * 64)
        rows = list(read_trials(connection, "s" * 64))
        progress = read_progress(connection, "s" * 64)
    assert (record.num_planned, record.num_outdated) == (2, 1)
    assert [result.trial_id for result in record.results] == ["new"]
    assert record.results[0].metrics == {**scores, "test": {"accuracy": 0.7}, "held-out": {"accuracy": 0.6}}
    assert [row.metrics for row in rows] == [record.results[0].metrics]
    assert progress is not None
    assert (progress.num_planned, progress.num_done) == (2, 1)


def test_what_another_study_s_search_gave_up_has_not_failed(ledger: Ledger, folders: Folders) -> None:
    places = [Placement("t", "b", "a", 0)]
    ledger.register_study("s" * 64, name="tiny", document={}, placements=places, numeric="float32", command="")
    ledger.record_pruned("t", num_epochs=1, reason="behind", content={}, cohort_id="c", machine="{}")
    with open_reading(folders) as connection:
        assert read_study(connection, "s" * 64).results == ()


def test_a_trial_can_be_pruned_in_a_ledger_brought_up_to_date(old: Folders) -> None:
    ledger = Ledger(old)
    ledger.record_pruned("t2", num_epochs=1, reason="behind", content={}, cohort_id="c2", machine="{}")
    assert ledger.trial_states(["t1", "t2"]) == {"t1": "done", "t2": "pruned"}
    ledger.close()


def test_facts_are_kept_by_block(folders: Folders, ledger: Ledger) -> None:
    facts = {"photos": {"class_names": ["a", "b"], "num_images": 7, "notes": ["1 of 8 files left out."]}}
    for given in ({}, facts):
        ledger.register_study(
            "s" * 64, name="tiny", document={}, placements=[], numeric="float32", command="", facts=given
        )
        with open_reading(folders) as connection:
            assert read_study(connection, "s" * 64).facts == given
