"""MLflow: an `mlruns` folder, its SQLite database, or a tracking server (through the installed mlflow)."""

from __future__ import annotations

import importlib
import math
import re
import socket
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

from bakeoff.data.source import show_text
from bakeoff.errors import MissingDataPackageError, ResultsNotFoundError
from bakeoff.foreign.epochs import Curve
from bakeoff.foreign.reading import (
    DamagedError,
    Found,
    find_files,
    hide_password,
    holds_file,
    list_columns,
    natural_key,
    parse_score,
    parse_text,
    peek,
    query,
    read_text,
    read_yaml,
)
from bakeoff.foreign.runs import Run, make_table, read_files
from bakeoff.foreign.table import ForeignTable, Importer, Value

_TOOL = "MLflow"
_FINISHED = "FINISHED"
_STATES = {1: "RUNNING", 2: "SCHEDULED", 3: _FINISHED, 4: "FAILED", 5: "KILLED"}
_SERVERS = ("http", "https", "databricks", "postgresql", "mysql", "mssql")
_PAGE = 1_000
_TIMEOUT = 10.0


@dataclass
class _Record:
    """A run as any of the stores holds it.

    Attributes:
        metrics: key, step, time stamp and value of each score logged.
    """

    run_id: str
    experiment: str
    name: str
    state: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, float, float]] = field(default_factory=list)

    def make_run(self) -> Run:
        name = self.name or self.tags.get("mlflow.runName", "") or self.run_id
        tags = {key: value for key, value in self.tags.items() if not key.startswith("mlflow.")}
        settings: dict[str, Value] = {key: parse_text(value) for key, value in {**tags, **self.params}.items()}
        # A setting called `name` or `experiment` is what the user calls so; MLflow's own name is often drawn at random.
        facts = {"experiment": self.experiment, "name": name, **settings}
        unread = "" if self.state == _FINISHED else f"is {self.state.lower()}, not finished"
        return Run(label=name, facts=facts, curves=_make_curves(self.metrics), unread=unread)


def _make_curves(metrics: Iterable[tuple[str, float, float, float]]) -> dict[str, Curve]:
    logged: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for key, step, time, value in metrics:
        if not key.startswith("system/"):
            logged[key].append((step, time, value))
    curves = {}
    for key, points in logged.items():
        points.sort(key=lambda point: point[:2])
        # Without steps, all are logged at step 0: then the order counts.
        has_steps = len({step for step, _, _ in points}) > 1
        curves[key] = {step if has_steps else float(i): value for i, (step, _, value) in enumerate(points)}
    return curves


# The file store: EXPERIMENT/meta.yaml, EXPERIMENT/RUN/meta.yaml, and a file for each parameter, tag and metric.


def _is_run_file(path: Path) -> bool:
    return path.name == "meta.yaml" and b"lifecycle_stage" in (start := peek(path)) and b"run_id" in start


def _read_folder(found: Found) -> Iterator[Run]:
    meta = read_yaml(found.path)
    folder = found.path.parent
    experiment_file = folder.parent / "meta.yaml"
    experiment = read_yaml(experiment_file) if experiment_file.is_file() else {}
    if "deleted" in (meta.get("lifecycle_stage"), experiment.get("lifecycle_stage")):
        return
    record = _Record(
        run_id=str(meta.get("run_id", folder.name)),
        experiment=str(experiment.get("name", folder.parent.name)),
        name=str(meta.get("run_name") or ""),
        state=_STATES.get(meta.get("status", 0), "of unknown state"),
        params=_read_values(folder / "params"),
        tags=_read_values(folder / "tags"),
    )
    for key, path in _list_keys(folder / "metrics"):
        record.metrics += [(key, *point) for point in map(_parse_point, read_text(path).splitlines())]
    yield record.make_run()


def _list_keys(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the keys in a folder; a key with slashes lies in folders of its own."""
    for found in find_files(str(folder), lambda _: True) if folder.is_dir() else ():
        yield "/".join((*found.parts[:-1], found.path.name)), found.path


def _read_values(folder: Path) -> dict[str, str]:
    return {key: read_text(path) for key, path in _list_keys(folder) if not key.startswith("mlflow.log-model")}


def _parse_point(line: str) -> tuple[float, float, float]:
    """Return step, time stamp and value; a line holds time stamp, value, step and, since version 3, a dataset."""
    cells = line.split(" ")
    numbers = [parse_score(cell) for cell in cells[:3]]
    if len(cells) not in (2, 3, 5) or None in numbers:
        raise DamagedError("has a metric that is cut off")
    time, value, step = (*numbers, 0.0)[:3]
    return step or 0.0, time or 0.0, value if value is not None else math.nan


# The database.


def _is_database(path: Path) -> bool:
    tables = list_columns(path) if path.suffix in (".db", ".sqlite", ".sqlite3") else {}
    return "run_uuid" in tables.get("runs", ()) and "experiments" in tables


_RUNS = """SELECT r.run_uuid AS run_id, r.name, r.status AS state, e.name AS experiment
    FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
    WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_uuid"""


def _read_database(found: Found) -> Iterator[Run]:
    records = {row["run_id"]: _make_record(row) for row in query(found.path, _RUNS)}
    for table in ("params", "tags"):
        for row in query(found.path, f"SELECT run_uuid, key, value FROM {table}"):
            if record := records.get(row["run_uuid"]):
                getattr(record, table)[str(row["key"])] = str(row["value"])
    for row in query(found.path, "SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics"):
        if record := records.get(row["run_uuid"]):
            value, step, time = (parse_score(row[name]) for name in ("value", "step", "timestamp"))
            if (value is None and not row["is_nan"]) or step is None or time is None:
                raise DamagedError("has a metric that is no number")
            value = math.nan if row["is_nan"] or value is None else _restore_infinity(value)
            record.metrics.append((str(row["key"]), step, time, value))
    for record in records.values():
        yield record.make_run()


def _make_record(row: Mapping[str, Any]) -> _Record:
    return _Record(str(row["run_id"]), str(row["experiment"]), str(row["name"] or ""), str(row["state"]))


def _restore_infinity(value: float) -> float:
    """Return infinity for the largest float, which stands for it in MLflow's databases."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


# The server.


def _is_address(source: str) -> bool:
    return urlsplit(source).scheme.partition("+")[0] in _SERVERS


def _read_server(address: str, epoch: str) -> list[Run]:
    """Return the runs of a tracking server, of one experiment if the address names one (`#/experiments/3`)."""
    try:
        client_class = importlib.import_module("mlflow").MlflowClient
    except ImportError as error:
        raise MissingDataPackageError(
            f"{hide_password(address)} is read through mlflow, which is not installed: pip install mlflow"
        ) from error
    base, place = urldefrag(address)
    _check_reachable(base)
    try:
        client = client_class(tracking_uri=base)
        names = {item.experiment_id: item.name for item in _collect_pages(client.search_experiments)}
        chosen = re.search(r"experiments/(\d+)", place)
        ids = [chosen[1]] if chosen else list(names)
        infos = _collect_pages(lambda **page: client.search_runs(ids, **page)) if ids else []
        runs = [_make_remote(client, info, names.get(info.info.experiment_id, ""), epoch) for info in infos]
    except Exception as error:  # mlflow's and its HTTP library's own classes
        said = " ".join(str(error).split())[:300]
        raise ResultsNotFoundError(
            f"{hide_password(address)} cannot be read as a tracking server of MLflow: {said}"
        ) from error
    return [record.make_run() for record in sorted(runs, key=lambda record: natural_key(record.name))]


def _check_reachable(address: str) -> None:
    """Check that something answers at an address: mlflow itself retries for minutes.

    Raises:
        DataError: nothing does.
    """
    parts = urlsplit(address)
    try:
        if parts.scheme in ("http", "https"):
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT).close()
    except (OSError, ValueError) as error:
        raise ResultsNotFoundError(
            f"nothing answers at {hide_password(address)}: {error}. Is the server running?"
        ) from error


def _collect_pages(search: Any) -> list[Any]:
    items: list[Any] = []
    token = None
    while True:
        page = search(max_results=_PAGE, page_token=token)
        items += page
        token = page.token
        if not token:
            return items


def _make_remote(client: Any, run: Any, experiment: str, epoch: str) -> _Record:
    info, data = run.info, run.data
    record = _Record(info.run_id, experiment, info.run_name or "", info.status, dict(data.params), dict(data.tags))
    for key, value in data.metrics.items():
        if epoch == "last":
            record.metrics.append((key, 0.0, 0.0, value))  # the server's own choice: the last step's
        else:
            history = client.get_metric_history(info.run_id, key)
            record.metrics += [(key, float(point.step), float(point.timestamp), point.value) for point in history]
    return record


def _recognises(source: str) -> bool:
    return _is_address(source) or holds_file(source, lambda path: _is_run_file(path) or _is_database(path))


def read(source: str, epoch: str) -> ForeignTable:
    """Return the runs of MLflow. Deleted ones do not count at all."""
    if _is_address(source):
        return make_table(_TOOL, source, _read_server(source, epoch), epoch)
    # Databases keep artifacts in a folder `mlruns` of their own, which holds no runs.
    databases = read_files(find_files(source, _is_database), _read_database)
    folders = read_files(find_files(source, _is_run_file), _read_folder)
    if databases and folders:
        raise ResultsNotFoundError(
            f"{show_text(source)} holds a database and a folder of runs of MLflow. Name one of the two."
        )
    return make_table(_TOOL, source, sorted(databases or folders, key=lambda run: natural_key(run.label)), epoch)


IMPORTER = Importer("mlflow", "a folder mlruns, mlflow.db, or the address of a tracking server", _recognises, read)
