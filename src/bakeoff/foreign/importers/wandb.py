"""Weights & Biases: the table of runs exported as CSV on its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bakeoff.data.source import show_text
from bakeoff.errors import ResultsNotFoundError, ResultsTableError
from bakeoff.foreign.reading import (
    DamagedError,
    find_files,
    holds_file,
    parse_score,
    parse_text,
    read_csv,
    read_header,
)
from bakeoff.foreign.runs import Run, make_table
from bakeoff.foreign.scores import looks_like_score
from bakeoff.foreign.table import ForeignTable, Importer

_KEPT = {"Name": "name", "State": "state", "Group": "group", "Tags": "tags", "Sweep": "sweep"}
_NOISE = {"Notes", "User", "Created", "Runtime", "End Time", "Hostname", "GPU Type", "GPU Count", "Updated", "ID"}


def _is_export(path: Path) -> bool:
    return path.suffix == ".csv" and {"Name", "State"} <= set(read_header(path))


def _is_own_log(path: Path) -> bool:
    return path.suffix == ".wandb"


def _recognises(source: str) -> bool:
    return holds_file(source, lambda path: _is_export(path) or _is_own_log(path))


def _find_scores(rows: list[dict[str, str]], columns: list[str]) -> list[str]:
    """Return the columns that are scores, which the export does not tell from settings: by name, else by decimals."""
    numbers = [name for name in columns if _is_numeric([row[name] for row in rows])]
    by_name = [name for name in numbers if looks_like_score(name)]
    return by_name or [name for name in numbers if any("." in row[name] for row in rows)]


def _is_numeric(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(parse_score(cell) is not None for cell in filled)


def _make_run(row: Mapping[str, str], scores: list[str]) -> Run:
    facts = {
        _KEPT.get(name, name): parse_text(cell)
        for name, cell in row.items()
        if cell and name not in scores and name not in _NOISE and not name.startswith("_")
    }
    curves = {name: {0.0: score} for name in scores if (score := parse_score(row[name])) is not None}
    label, state = str(row["Name"]), row["State"].lower()
    is_finished = state in ("finished", "")
    return Run(label=label, facts=facts, curves=curves, unread="" if is_finished else f"is {state}, not finished")


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs in exported tables."""
    runs: list[Run] = []
    for found in find_files(source, _is_export):
        try:
            header, rows = read_csv(found.path)
        except DamagedError as error:
            raise ResultsTableError(f"{show_text(found.path)} {error}. Export the table again.") from error
        known = {*_KEPT, *_NOISE}
        scores = _find_scores(rows, [name for name in header if name not in known and not name.startswith("_")])
        runs += [_make_run(row, scores) for row in rows]
    if not runs and holds_file(source, _is_own_log):
        raise ResultsNotFoundError(
            f"{show_text(source)} holds W&B's own logs, which only wandb reads. "
            "Export the table of runs on the project's page as CSV, and judge that file."
        )
    return make_table("W&B", source, runs, epoch)


IMPORTER = Importer("wandb", "the table of runs, exported as CSV", _recognises, read)
