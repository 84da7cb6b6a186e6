"""Completion of names in a shell: studies, arms and blocks of the workspace, and what a study can name.

Called for every press of Tab: it imports nothing heavy, and what cannot be read completes to nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

_MOST = 200


def complete_study(context: typer.Context, incomplete: str) -> list[str]:
    """Return shipped studies, and files and folders here: what `run` and `plan` take."""
    names = (path.name for path in files("bakeoff.studies").iterdir())
    shipped = [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]
    return _match([*sorted(shipped), *_list_files(incomplete)], incomplete)


def complete_shipped(context: typer.Context, incomplete: str) -> list[str]:
    """Return shipped studies."""
    return [name for name in complete_study(context, incomplete) if not Path(name).exists()]


def complete_trained(context: typer.Context, incomplete: str) -> list[str]:
    """Return studies of the workspace, newest first, and study files."""
    names = _read(context, "SELECT name FROM studies ORDER BY created_at DESC")
    return _match([*names, *_list_files(incomplete)], incomplete)


def complete_arm(context: typer.Context, incomplete: str) -> list[str]:
    """Return arms of the study that the command names, or of all."""
    return _match(_read_of_study(context, "arm"), incomplete)


def complete_block(context: typer.Context, incomplete: str) -> list[str]:
    """Return blocks of the study that the command names, or of all."""
    return _match(_read_of_study(context, "block"), incomplete)


def complete_kind(context: typer.Context, incomplete: str) -> list[str]:
    """Return the kinds that `list` lists."""
    from bakeoff.cli.listing import Listing

    return _match(list(Listing), incomplete)


def complete_code(context: typer.Context, incomplete: str) -> list[str]:
    """Return the codes of errors."""
    from bakeoff.explanations import EXPLANATIONS

    return _match(list(EXPLANATIONS), incomplete.upper())


def complete_entry(context: typer.Context, incomplete: str) -> list[str]:
    """Return the entries of the kind that `list` was given."""
    from bakeoff.cli.listing import Listing, list_entries

    kind = context.params.get("kind")
    return _match(list_entries(Listing(kind)), incomplete) if kind in set(Listing) else []


def _match(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(map(str, names)) if name.startswith(incomplete)][:_MOST]


def _list_files(incomplete: str) -> list[str]:
    """Return study files, and folders on the way to one."""
    folder = incomplete.rpartition("/")[0]
    found = []
    with suppress(OSError):
        for path in sorted(Path(f"{folder}/" if folder or incomplete.startswith("/") else ".").iterdir()):
            shown = f"{folder}/{path.name}" if "/" in incomplete else path.name
            if path.suffix in (".yaml", ".yml"):
                found.append(shown)
            elif path.is_dir() and not path.name.startswith("."):
                found.append(f"{shown}/")
    return found


def _read_of_study(context: typer.Context, column: str) -> list[str]:
    # While an option lacks its value, arguments are still unassigned.
    given = context.params.get("study") or next(iter(context.args), "")
    study = Path(str(given)).name.removesuffix(".yaml")
    select = f"SELECT DISTINCT p.{column} FROM placements p JOIN studies s ON s.id = p.study_id"
    of_study = _read(context, f"{select} WHERE s.name = ? OR s.id LIKE ? || '%'", study, study) if study else []
    return of_study or _read(context, select)


def _read(context: typer.Context, query: str, *values: Any) -> list[str]:
    """Return the first column of a query on the workspace's ledger; nothing if it cannot be read."""
    ledger = Path(context.params.get("workspace") or "runs") / "ledger.sqlite"
    with suppress(OSError, ValueError, sqlite3.Error):
        if ledger.is_file():
            with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
                return [str(row[0]) for row in connection.execute(query, values)]
    return []
