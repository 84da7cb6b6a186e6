"""Trackio: the SQLite databases it keeps on this machine, one per project."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakeoff.foreign.reading import (
    DamagedError,
    Found,
    find_files,
    flatten,
    holds_file,
    list_columns,
    parse_score,
    query,
)
from bakeoff.foreign.runs import Run, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer


def _is_store(path: Path) -> bool:
    tables = list_columns(path) if path.suffix == ".db" else {}
    return {"run_name", "step", "metrics"} <= tables.get("metrics", set())


def _read_runs(found: Found) -> Iterator[Run]:
    tables = list_columns(found.path)
    key = "run_id" if "run_id" in tables["metrics"] else "run_name"  # before 0.10, names told runs apart
    curves: dict[str, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    names: dict[str, str] = {}
    for row in query(found.path, f"SELECT {key} AS run, run_name, step, metrics FROM metrics ORDER BY step, id"):
        names[row["run"]] = str(row["run_name"])
        for name, value in flatten(_parse_object(row["metrics"])).items():
            score = parse_score(value)
            if score is not None:
                curves[row["run"]][name][float(row["step"])] = score
    for run, name in names.items():
        yield Run(
            label=name,
            facts={"project": found.path.stem, "name": name, **_read_settings(found.path, tables, key, run)},
            curves=curves[run],
        )


def _read_settings(path: Path, tables: Mapping[str, set[str]], key: str, run: str) -> dict[str, Any]:
    if key not in tables.get("configs", ()):
        return {}
    rows = query(path, f"SELECT config FROM configs WHERE {key} = ? ORDER BY id DESC LIMIT 1", run)
    settings = flatten(_parse_object(rows[0]["config"])) if rows else {}
    return {name: value for name, value in settings.items() if not name.startswith("_")}


def _parse_object(text: str | bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)  # text or bytes, by version
    except (ValueError, RecursionError) as error:
        raise DamagedError("has a row that is not JSON") from error
    return content if isinstance(content, dict) else {}


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of Trackio; it does not record whether they finished."""
    runs = read_files(find_files(source, _is_store), _read_runs)
    return make_table("Trackio", source, runs, epoch)


IMPORTER = Importer("trackio", "its databases, PROJECT.db", lambda source: holds_file(source, _is_store), read)
