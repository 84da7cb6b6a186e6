"""A ledger of an older format is read as it is, and brought up to date by the next run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.ledger.read import open_reading, read_study
from bakeoff.ledger.schema import MIGRATIONS, SCHEMA_VERSION, TABLES
from bakeoff.ledger.store import Ledger, read_version
from bakeoff.training.folders import Folders

FIRST = TABLES.replace(
    """seconds REAL NOT NULL DEFAULT 0,
    -- By block: shape, class names, number, fingerprint and notes of its images.
    facts TEXT NOT NULL DEFAULT '{}'
""",
    "seconds REAL NOT NULL DEFAULT 0\n",
)


@pytest.fixture
def old(folders: Folders) -> Folders:
    """A workspace with a ledger of the first format, and one study in it."""
    folders.root.mkdir(parents=True)
    with closing(sqlite3.connect(folders.ledger)) as connection, connection:
        connection.executescript(FIRST)
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
        row = ("s" * 64, "tiny", '{"question": "Which?"}', "float32", "bakeoff run tiny", "2026-01-01T00:00:00+00:00")
        connection.execute(
            "INSERT INTO studies (id, name, document, numeric, command, created_at) VALUES (?, ?, ?, ?, ?, ?)", row
        )
    return folders


def dump_tables(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in tables}


def test_every_older_version_has_its_way_up() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_the_first_format_had_no_facts() -> None:
    assert "facts" not in FIRST


def test_reading_an_old_ledger_changes_nothing(old: Folders) -> None:
    before = dump_tables(old.ledger)
    with open_reading(old) as connection:
        record = read_study(connection, "s" * 64)
    assert (record.name, record.facts) == ("tiny", {})
    assert dump_tables(old.ledger) == before


def test_writing_brings_it_up_to_date(old: Folders, tmp_path: Path) -> None:
    Ledger(old).close()
    fresh = Folders(tmp_path / "fresh")
    Ledger(fresh).close()
    assert dump_tables(old.ledger) == dump_tables(fresh.ledger)
    with closing(sqlite3.connect(old.ledger)) as connection:
        assert read_version(connection) == SCHEMA_VERSION
    with open_reading(old) as connection:
        assert read_study(connection, "s" * 64).facts == {}


def test_facts_are_kept_by_block(folders: Folders, ledger: Ledger) -> None:
    facts = {"photos": {"class_names": ["a", "b"], "num_images": 7, "notes": ["1 of 8 files left out."]}}
    for given in ({}, facts):
        ledger.register_study(
            "s" * 64, name="tiny", document={}, placements=[], numeric="float32", command="", facts=given
        )
        with open_reading(folders) as connection:
            assert read_study(connection, "s" * 64).facts == given
