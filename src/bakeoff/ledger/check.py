"""Checks that a file is a ledger that this version can read, and not another database that imitates one."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from bakeoff.errors import LedgerError, NewerVersionError
from bakeoff.ledger.schema import SCHEMA_VERSION, TABLES

TABLE_NAMES = frozenset(re.findall(r"CREATE TABLE (\w+)", TABLES))
FIRST_TABLE_NAMES = TABLE_NAMES - {"pauses", "candidates", "features", "looks", "look_trials"}
"""Tables that ledgers of every version have."""


def read_version(connection: sqlite3.Connection) -> int | None:
    """Return the schema version of an open database, or None if it has no tables."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    try:
        return int(row[0]) if row else 0
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"its version is {str(row[0])[:40]!r}") from error


def harden(connection: sqlite3.Connection) -> None:
    """Make SQLite validate what it reads, and never run code stored in the database."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")


def check_regular(path: Path) -> None:
    """Raise WorkspaceError if the ledger is not a regular file: opening a pipe may block forever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise LedgerError(f"{path}: this is not a regular file. Choose another workspace with --workspace DIR.")


def check_tables(path: Path, connection: sqlite3.Connection, found: int | None) -> None:
    """Raise WorkspaceError if a database is not a ledger: foreign tables, views, triggers.

    A view could imitate a table of results, and a trigger could change what is written.
    """
    made = {(kind, name) for kind, name in connection.execute("SELECT type, name FROM sqlite_master")}
    tables = {name for kind, name in made if kind == "table" and not name.startswith("sqlite_")}
    foreign = sorted(f"{kind} {name!r}" for kind, name in made if kind in ("view", "trigger"))
    foreign += sorted(f"table {name!r}" for name in tables - TABLE_NAMES)
    if foreign:
        raise LedgerError(
            f"{path}: this is not a bakeoff ledger: it has the {foreign[0][:80]}. Move it away, or choose another "
            "workspace with --workspace DIR."
        )
    missing = sorted(FIRST_TABLE_NAMES - tables) if found is not None else []
    if missing:
        raise LedgerError(
            f"{path}: this ledger is damaged: it lacks the table {missing[0]!r}. Restore it from a copy, or choose "
            "another workspace with --workspace DIR."
        )


def check_version(path: Path, found: int | None) -> None:
    """Raise WorkspaceError if a ledger was written by a version too new for this one to read."""
    if found is not None and found > SCHEMA_VERSION:
        raise NewerVersionError(
            f"{path}: this ledger was written by a newer bakeoff (its format is {found}, this one reads up to "
            f"{SCHEMA_VERSION}). Upgrade bakeoff, or choose another workspace with --workspace DIR."
        )
