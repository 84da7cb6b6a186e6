"""scikit-learn: results of `cross_validate` and `cv_results_` of its searches, as JSON, CSV or npz. A fold is a run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.foreign.reading import (
    MAX_BYTES,
    DamagedError,
    Found,
    as_list,
    as_value,
    find_files,
    holds_file,
    parse_score,
    parse_text,
    peek,
    read_csv,
    read_header,
    read_json,
)
from bakeoff.foreign.runs import Run, make_table, name_file, read_files
from bakeoff.foreign.table import ForeignTable, Importer, Value

_SPLIT = re.compile(r"split(\d+)_((?:test|train)_.+)")
_TIMES = ("fit_time", "score_time")
_MARKS = ("fit_time", "mean_fit_time")


def _is_result(path: Path) -> bool:
    if path.suffix == ".csv":
        return _is_columns(read_header(path))
    if path.suffix == ".json":
        start = peek(path, 2**16).decode("utf-8", errors="replace")
        return _is_columns(re.findall(r'"([a-z]\w*)"\s*:', start))
    if path.suffix == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                return _is_columns([name.removesuffix(".npy") for name in archive.namelist()])
        except (OSError, zipfile.BadZipFile, NotImplementedError):
            return False
    return False


def _is_columns(names: list[str]) -> bool:
    return any(mark in names for mark in _MARKS) and any(
        name.startswith("test_") or _SPLIT.fullmatch(name) for name in names
    )


def _read_results(found: Found) -> Iterator[Run]:
    content = _read_columns(found.path)
    # Results of several models in one file: {"svm": cross_validate(...), "tree": ...}.
    nested = {key: value for key, value in content.items() if isinstance(value, Mapping) and _is_columns(list(value))}
    for name, results in nested.items() if nested else [("", content)]:
        columns = {key: column for key, value in results.items() if (column := as_list(value)) is not None}
        if len({len(column) for column in columns.values()}) > 1:
            raise DamagedError("has columns of different lengths")
        runs = _read_search(columns) if any(map(_SPLIT.fullmatch, columns)) else _read_folds(columns)
        for facts, scores in runs:
            curves = {metric: {0.0: score} for metric, score in scores.items()}
            facts = {"name": name, **facts} if name else facts
            yield Run(label=name_file(found), facts=facts, curves=curves, parts=found.parts)


def _read_columns(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".csv":
        header, rows = read_csv(path)
        return {name: [parse_text(row[name]) for row in rows] for name in header}
    content = read_json(path) if path.suffix == ".json" else _read_npz(path)
    if not isinstance(content, dict):
        raise DamagedError("is no result of cross_validate or of a search")
    return content


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(info.file_size for info in packed.infolist()) > MAX_BYTES:
                raise DamagedError(f"unpacks to more than {MAX_BYTES // 2**20} MiB, the maximum")
        with np.load(path, allow_pickle=False) as archive:
            columns: dict[str, Any] = {}
            for name in archive.files:
                if name == "params" or name in ("estimator", "indices"):
                    continue  # always Python objects; the scores and param_ columns say the same
                columns[name] = np.atleast_1d(archive[name]).tolist()
            return columns
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise DamagedError(
                "has pickled columns, which are never read. Save it as CSV: pandas.DataFrame(cv_results_).to_csv(...)"
            ) from error
        raise DamagedError("is cut off or no npz file") from error


def _read_folds(columns: Mapping[str, list[Any]]) -> Iterator[tuple[dict[str, Value], dict[str, float]]]:
    """Yield facts and scores of each fold of `cross_validate`."""
    metrics = [name for name in columns if name.startswith(("test_", "train_")) or name in _TIMES]
    for fold in range(len(columns[metrics[0]])):
        scores = {name: score for name in metrics if (score := parse_score(columns[name][fold])) is not None}
        yield {"fold": fold}, scores


def _read_search(columns: Mapping[str, list[Any]]) -> Iterator[tuple[dict[str, Value], dict[str, float]]]:
    """Yield facts and scores of each fold of each candidate. Means and ranks are left out: they are made of these."""
    splits = {name: match for name in columns if (match := _SPLIT.fullmatch(name))}
    params = {name: name.removeprefix("param_") for name in columns if name.startswith("param_")}
    for candidate in range(len(next(iter(columns.values())))):
        settings = {short: as_value(columns[name][candidate]) for name, short in params.items()}
        settings = {name: value for name, value in settings.items() if value is not None}
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        for fold in sorted({int(match[1]) for match in splits.values()}):
            scores = {
                match[2]: score
                for name, match in splits.items()
                if int(match[1]) == fold and (score := parse_score(columns[name][candidate])) is not None
            }
            yield {"params": text, **settings, "fold": fold}, scores


def read(source: str, epoch: str) -> ForeignTable:
    """Return the folds in results of scikit-learn."""
    return make_table("scikit-learn", source, read_files(find_files(source, _is_result), _read_results), epoch)


IMPORTER = Importer(
    "sklearn",
    "results of cross_validate, and cv_results_ of searches, as CSV, JSON or npz",
    lambda source: holds_file(source, _is_result),
    read,
)
