"""Finds the study that a command names: by its name, its id or its file."""

from __future__ import annotations

import sqlite3

from bakeoff.ledger.read import find_study, list_studies


def find_given_study(connection: sqlite3.Connection, given: str) -> str:
    """Return the id of a study in the ledger.

    Args:
        connection: the workspace's ledger.
        given: its name, the beginning of its id, or its file.

    Raises:
        StudyError: the file cannot be read.
        WorkspaceError: as in `find_study`.
    """
    return find_study(connection, read_name(connection, given))


def read_name(connection: sqlite3.Connection, given: str) -> str:
    """Return a study's name or id, given that or its file; a name that the ledger has comes before a file."""
    if any(listed.name == given for listed in list_studies(connection)):
        return given
    from bakeoff.study.load import is_study_file, read_shipped  # slow: all that a study can name

    return read_shipped(given).name if is_study_file(given) else given
