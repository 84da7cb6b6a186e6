"""benchopt: its tables of results, Parquet or CSV. A solver's curve on one dataset and repetition is a run."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.extras import how_to_install
from bakeoff.foreign.reading import (
    DamagedError,
    Found,
    as_value,
    find_files,
    holds_file,
    parse_score,
    parse_text,
    peek,
    read_csv,
    read_header,
)
from bakeoff.foreign.runs import Run, collect_curves, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer, Value

_REPEAT = "idx_rep"
_IDENTITY = ("objective_name", "dataset_name", "data_name", "solver_name", "sampling_strategy", _REPEAT)
_TAIL_BYTES = 2**18


def _is_table(path: Path) -> bool:
    if path.suffix == ".parquet":
        # The names of its columns stand at the end of the file.
        return peek(path, 4) == b"PAR1" and {b"solver_name", b"objective_name"} <= set(_find_names(path))
    return path.suffix == ".csv" and {"solver_name", "objective_name"} <= set(read_header(path))


def _find_names(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    yield from (name for name in (b"solver_name", b"objective_name") if name in tail)


def _read_table(found: Found) -> Iterator[Run]:
    rows = _read_parquet(found.path) if found.path.suffix == ".parquet" else _read_csv(found.path)
    curves = defaultdict(list)
    for row in rows:
        identity = tuple(row.get(name) for name in _IDENTITY)
        curves[identity].append(row)
    for logged in curves.values():
        yield _make_run(logged, found.parts)


def _read_csv(path: Path) -> list[dict[str, Value]]:
    return [{name: parse_text(cell) for name, cell in row.items()} for row in read_csv(path)[1]]


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DamagedError(f"needs pyarrow: {how_to_install('parquet')}") from error
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except Exception as error:  # pyarrow's own classes
        raise DamagedError(f"is not Parquet: {' '.join(str(error).split())[:200]}") from error
    return rows


def _make_run(logged: Sequence[Mapping[str, Any]], parts: tuple[str, ...]) -> Run:
    first = logged[0]
    # Runs that ended in an error or a time limit say so; they still have the scores until then.
    scores = [
        {name: value for name, value in row.items() if name == "time" or _is_score(name)}
        | {"stop_val": row["stop_val"]}
        for row in sorted(logged, key=lambda row: parse_score(row.get("stop_val")) or 0.0)
    ]
    facts: dict[str, Value] = {
        name: as_value(first[name])
        for name in first
        if name in _IDENTITY or name.startswith(("p_", "solver_", "dataset_", "data_"))
    }
    facts = {name: value for name, value in facts.items() if value not in (None, "")}
    label = f"{first.get('solver_name')} on {first.get('dataset_name', first.get('data_name'))}, {first.get(_REPEAT)}"
    curves = collect_curves(scores, "stop_val")
    minimized = tuple(name for name in curves if name in ("objective_value", "time"))
    return Run(label=label, facts=facts, curves=curves, parts=parts, minimized=minimized)


def _is_score(name: str) -> bool:
    return name.startswith("objective_") and name not in _IDENTITY


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of benchopt; an epoch is a stopping value: the number of iterations, or the tolerance."""
    return make_table("benchopt", source, read_files(find_files(source, _is_table), _read_table), epoch)


IMPORTER = Importer(
    "benchopt", "its tables of results, Parquet or CSV", lambda source: holds_file(source, _is_table), read
)
