"""Databases that pretend to be ledgers, and ledgers that hold what bakeoff never writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from bakeoff.errors import WorkspaceError
from bakeoff.ledger.check import TABLE_NAMES
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.ledger.store import Ledger
from bakeoff.ledger.values import DamagedLedger, check_row, read_facts, read_list, read_mapping, read_numbers
from bakeoff.workspace import Folders

STUDY = "s" * 64
TRIAL = "ab" * 12


@pytest.fixture
def made(folders: Folders) -> Folders:
    """A workspace whose ledger holds one study with one trial done."""
    Ledger(folders).close()
    with closing(sqlite3.connect(folders.ledger)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(
            "INSERT INTO studies (id, name, document, numeric, command, created_at) "
            "VALUES (?, 'tiny', '{}', 'float32', '', '2026')",
            (STUDY,),
        )
        connection.execute("INSERT INTO placements VALUES (?, 0, ?, 'b', 'a', 0, NULL, 'final')", (STUDY, TRIAL))
        connection.execute(
            "INSERT INTO trials (id, content, state, num_epochs, metrics, cohort_id, machine, finished_at) "
            """VALUES (?, '{}', 'done', 1, '{"validation": {"accuracy": 0.5}}', 'c', '{}', '2026')""",
            (TRIAL,),
        )
        connection.commit()
    return folders


def _run(folders: Folders, script: str) -> None:
    with closing(sqlite3.connect(folders.ledger)) as connection:
        connection.execute("PRAGMA legacy_alter_table=ON")
        connection.executescript(script)


def test_the_sound_one_is_read(made: Folders) -> None:
    with open_reading(made) as connection:
        record = read_study(connection, find_study(connection, "tiny"))
    assert record.results[0].metrics == {"validation": {"accuracy": 0.5}}
    assert "trials" in TABLE_NAMES
    assert len(TABLE_NAMES) == 14


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("ALTER TABLE trials RENAME TO x; CREATE VIEW trials AS SELECT * FROM x", "it has the table 'x'|view 'trials'"),
        ("CREATE VIEW v AS SELECT 1", "not a bakeoff ledger: it has the view 'v'"),
        (
            "CREATE TRIGGER t AFTER INSERT ON epochs BEGIN UPDATE trials SET metrics = '{}'; END",
            "not a bakeoff ledger: it has the trigger 't'",
        ),
        ("CREATE TABLE moz_places (id INTEGER)", "not a bakeoff ledger: it has the table 'moz_places'"),
        ("DROP TABLE placements", "is damaged: it lacks the table 'placements'"),
        ("UPDATE meta SET value = 'new'", "not a readable ledger .its version is 'new'"),
    ],
)
def test_what_pretends_is_refused_by_readers_and_writers(made: Folders, script: str, says: str) -> None:
    _run(made, script)
    with pytest.raises(WorkspaceError, match=says) as caught, open_reading(made):
        pass
    assert str(caught.value).startswith(str(made.ledger))
    with pytest.raises(WorkspaceError, match=says):
        Ledger(made)


def test_another_programs_database_is_left_alone(folders: Folders) -> None:
    folders.root.mkdir()
    _run(folders, "CREATE TABLE places (id INTEGER)")
    with pytest.raises(WorkspaceError, match="it has the table 'places'"):
        Ledger(folders)
    with closing(sqlite3.connect(folders.ledger)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("places",)]


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE studies SET document = '[1]'",
        f"UPDATE studies SET document = '{'[' * 100_000}'",
        "UPDATE studies SET name = x'00ff'",
        "UPDATE placements SET arm = x'00ff'",
        "UPDATE trials SET seconds = 'long'",
        "UPDATE trials SET metrics = '{}x'",
        """UPDATE trials SET metrics = '{"validation": {"accuracy": NaN}}'""",
        """UPDATE trials SET metrics = '{"validation": {"accuracy": "x"}}'""",
        """UPDATE studies SET facts = '{"b": 3}'""",
        "UPDATE trials SET machine = x'00'",
    ],
)
def test_cells_are_checked(made: Folders, script: str) -> None:
    _run(made, script)
    with (
        open_reading(made) as opened,
        pytest.raises(DamagedLedger, match=r"^the ledger is damaged: it contains") as caught,
    ):
        read_study(opened, STUDY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_values_of_cells() -> None:
    assert check_row(("a", None, 1, 2.0), "tTin") == ("a", None, 1, 2.0)
    assert dict(read_mapping('{"a": [1]}')) == {"a": [1]}
    assert read_numbers('{"a": 1.5}') == {"a": 1.5}
    assert read_list("[1, 2]", int) == (1, 2)
    assert read_facts('{"b": {"class_names": ["x"], "shape_HWC": [1, 2, 3]}}')["b"]["class_names"] == ["x"]
    for wrong in ('{"a": Infinity}', "[1]", "", "null", '{"a": {}}'):
        with pytest.raises(DamagedLedger):
            read_numbers(wrong)
    for facts in ('{"b": {}}', '{"b": {"class_names": [1]}}', '{"b": {"class_names": [], "shape_HWC": ["x"]}}'):
        with pytest.raises(DamagedLedger):
            read_facts(facts)
    with pytest.raises(DamagedLedger):
        check_row(None, "t")
    with pytest.raises(DamagedLedger):
        read_list('["x"]', int)
