"""Optuna: its SQLite databases and journal files, or the address of another database. A complete trial is a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bakeoff.errors import ResultsNotFoundError
from bakeoff.foreign.reading import (
    DamagedError,
    Found,
    as_value,
    find_files,
    hide_password,
    holds_file,
    list_columns,
    parse_score,
    peek,
)
from bakeoff.foreign.runs import Run, make_table, read_files
from bakeoff.foreign.scores import looks_like_score
from bakeoff.foreign.table import ForeignTable, Importer, Value

_SERVERS = ("postgresql", "mysql")
_METRIC_NAMES = "study:metric_names"


def _is_database(path: Path) -> bool:
    tables = list_columns(path) if path.suffix in (".db", ".sqlite", ".sqlite3") else {}
    return {"trials", "studies", "trial_values"} <= set(tables)


def _is_journal(path: Path) -> bool:
    return path.suffix in (".log", ".journal", ".jsonl", ".json", ".txt") and (
        (start := peek(path)).startswith(b'{"op_code"') and b'"worker_id"' in start
    )


def _is_storage(path: Path) -> bool:
    return _is_database(path) or _is_journal(path)


def _is_address(source: str) -> bool:
    return urlsplit(source).scheme.partition("+")[0] in _SERVERS


def _read_file(found: Found) -> Iterator[Run]:
    try:
        yield from _read_storage(_open_file(found.path), found)
    except DamagedError:
        raise
    except Exception as error:  # SQLAlchemy's and Optuna's own classes
        raise DamagedError(f"cannot be read by Optuna: {_format_error(error)}") from error


def _open_file(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if _is_journal(path):
        return JournalStorage(JournalFileBackend(str(path)))
    return _open_database(f"sqlite:///{path.absolute().as_uri()}?mode=ro&uri=true")


def _open_database(address: str) -> Any:
    from optuna.storages import RDBStorage

    # Neither tables nor their version are touched.
    return RDBStorage(address, skip_compatibility_check=True, skip_table_creation=True)


def _read_storage(storage: Any, found: Found | None) -> Iterator[Run]:
    parts = found.parts if found else ()
    for study in storage.get_all_studies():
        names = study.system_attrs.get(_METRIC_NAMES) or _name_values(len(study.directions))
        minimized = tuple(name for name, way in zip(names, study.directions, strict=True) if way.name == "MINIMIZE")
        for trial in storage.get_all_trials(storage.get_study_id_from_name(study.study_name), deepcopy=False):
            yield _make_run(study.study_name, names, minimized, trial, parts)


def _name_values(number: int) -> list[str]:
    return ["value"] if number == 1 else [f"value.{i}" for i in range(1, number + 1)]


def _make_run(study: str, names: list[str], minimized: tuple[str, ...], trial: Any, parts: tuple[str, ...]) -> Run:
    label = f"trial {trial.number} of {study}"
    if trial.state.name != "COMPLETE":
        return Run(label=label, unread=f"is {trial.state.name.lower()}, not complete")
    curves = {name: {0.0: float(value)} for name, value in zip(names, trial.values, strict=True)}
    facts: dict[str, Value] = {"study": study, "number": trial.number}
    for name, value in {**trial.user_attrs, **trial.params}.items():
        score = parse_score(value)
        if name in trial.user_attrs and score is not None and looks_like_score(name):
            curves[name] = {0.0: score}
        else:
            facts[name] = as_value(value)
    return Run(label=label, facts=facts, curves=curves, parts=parts, minimized=minimized)


def _format_error(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def read(source: str, epoch: str) -> ForeignTable:
    """Return the complete trials of all studies in Optuna's storages."""
    if not _is_address(source):
        return make_table("Optuna", source, read_files(find_files(source, _is_storage), _read_file), epoch)
    try:
        runs = list(_read_storage(_open_database(source), None))
    except Exception as error:  # SQLAlchemy's, the database driver's and Optuna's own classes
        raise ResultsNotFoundError(
            f"{hide_password(source)} cannot be read by Optuna: {_format_error(error)}"
        ) from error
    return make_table("Optuna", source, runs, epoch)


IMPORTER = Importer(
    "optuna",
    "its databases (SQLite, or an address) and journal files",
    lambda source: _is_address(source) or holds_file(source, _is_storage),
    read,
)
