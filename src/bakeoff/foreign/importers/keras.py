"""Keras: files of `CSVLogger`, and `history.history` saved as JSON. A file is a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bakeoff.foreign.epochs import Curve
from bakeoff.foreign.reading import (
    DamagedError,
    Found,
    as_list,
    find_files,
    holds_file,
    parse_score,
    peek,
    read_csv,
    read_header,
    read_json,
)
from bakeoff.foreign.runs import Run, collect_curves, make_table, name_file, read_files
from bakeoff.foreign.scores import looks_like_score
from bakeoff.foreign.table import ForeignTable, Importer

_TABLES = (".csv", ".log", ".tsv", ".txt")
_HISTORY = re.compile(rb'\s*\{\s*"[^"]{1,200}"\s*:\s*(\[|\{\s*"0"\s*:)\s*([-\d]|NaN|Infinity)')
_LOSS = re.compile(rb'"loss"\s*:')


def _is_log(path: Path) -> bool:
    if path.suffix == ".json":
        return _is_history(path)
    if path.suffix not in _TABLES:
        return False
    header = read_header(path)
    if header[:1] != ["epoch"] or "step" in header or any(name.startswith("eval_") for name in header):
        return False
    # Tables of other columns beside an epoch are not Keras'.
    return any(map(looks_like_score, header[1:])) and all(map(_is_number, _read_first_row(path)))


def _is_history(path: Path) -> bool:
    # sklearn's results have scores by fold, not by epoch.
    start = peek(path)
    return bool(_HISTORY.match(start)) and b'"fit_time"' not in start and bool(_LOSS.search(peek(path, 2**20)))


def _read_first_row(path: Path) -> Sequence[str]:
    lines = peek(path).decode("utf-8", errors="replace").splitlines()[1:2]
    return re.split("[,;\t]", re.sub(r'"\[.*?\]"', "", lines[0])) if lines else []


def _is_number(cell: str) -> bool:
    return cell.strip() in ("", "NA") or parse_score(cell) is not None


def _read_run(found: Found) -> Iterator[Run]:
    if found.path.suffix == ".json":
        curves = _read_history(read_json(found.path))
    else:
        header, rows = read_csv(found.path)
        curves = collect_curves(rows, header[0])
    yield Run(label=name_file(found), curves=curves, parts=found.parts)


def _read_history(content: Any) -> dict[str, Curve]:
    if not isinstance(content, dict):
        raise DamagedError("is no history: metrics with a list of scores each")
    curves: dict[str, Curve] = {}
    for name, column in content.items():
        scores = [parse_score(cell) for cell in as_list(column) or ()]
        curves[name] = {float(epoch): score for epoch, score in enumerate(scores) if score is not None}
    return curves


def _mark_copies(runs: Sequence[Run]) -> Iterator[Run]:
    """Yield the runs; one that repeats the scores of another in its folder, in the other format, is not counted."""
    seen: set[tuple[object, ...]] = set()
    for run in runs:
        scores = tuple(sorted((name, tuple(map(str, curve.values()))) for name, curve in run.curves.items()))
        key = (run.parts[:-1], scores)
        is_copy = bool(run.curves) and key in seen
        seen.add(key)
        yield Run(label=run.label, unread="repeats the scores of another file of its folder") if is_copy else run


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of Keras."""
    runs = read_files(find_files(source, _is_log), _read_run)
    return make_table("Keras", source, list(_mark_copies(runs)), epoch)


IMPORTER = Importer(
    "keras", "files of CSVLogger, and history.history as JSON", lambda source: holds_file(source, _is_log), read
)
