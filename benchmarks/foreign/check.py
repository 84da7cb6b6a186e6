"""Reads what the programs here made, and compares scores and verdict with what they saw: one line per tool.

python check.py OUT [--server http://127.0.0.1:5000]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

import bakeoff
from bakeoff.foreign.importers import read_foreign
from bakeoff.foreign.table import ForeignTable

# Columns of arm and replicate where the tool calls them otherwise.
COLUMNS = {
    "benchopt": ("solver_name", "idx_rep"),
    "keras-csvlogger": ("path.1", "path.2"),
    "keras-history": ("path.1", "path.2"),
    "ludwig": ("trainer.optimizer.type", "seed"),
    "sklearn-csv": ("path.1", "fold"),
    "sklearn-json": ("path.1", "fold"),
    "sklearn-npz": ("path.1", "fold"),
    "sklearn-search": ("solver", "fold"),
    "tensorboard": ("path.1", "seed"),
    "tensorboard-tensors": ("path.1", "seed"),
    "tensorboardx": ("path.1", "path.2"),
    "timm": ("opt", "seed"),
    "trackio": ("optimizer", "seed"),
}
NOT_GUESSED = ("ludwig",)
SINGLE_PRECISION = ("tensorboard", "lightning", "ludwig")


def read_scores(path: Path) -> tuple[str, dict[tuple[str, int], float]]:
    """Return the metric and the scores by arm and seed that a program saw itself."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header[2], {(arm, int(seed)): float(score) for arm, seed, score in rows}


def compare(tool: str, table: ForeignTable, own: Path) -> str:
    """Return "equal", or what differs."""
    metric, scores = read_scores(own)
    arm, seed = COLUMNS.get(tool, ("arm", "seed"))
    read: dict[Any, Any] = {(row[arm], row[seed]): row.get(metric) for row in table.rows}
    if read.keys() != scores.keys():
        return f"DIFFERENT RUNS: {sorted(map(str, read.keys() ^ scores.keys()))}"
    places = 6 if tool.startswith(SINGLE_PRECISION) else 17
    differences = [key for key, score in scores.items() if f"{read[key]:.{places}g}" != f"{score:.{places}g}"]
    precision = " in single precision" if places == 6 else ""
    return f"DIFFERENT: {differences}" if differences else f"equal{precision}"


def compare_verdicts(tool: str, own: Path) -> str:
    """Return the verdict on a tool's own files, and whether it is that on the table of the same scores."""
    metric = read_scores(own)[0]
    arm, seed = COLUMNS.get(tool, ("arm", "seed"))
    folder = own.with_suffix("")
    by_fold = seed == "fold"
    columns = {"arm": arm, "replicate": seed} if tool in NOT_GUESSED else None
    # A folder of npz files is otherwise one of predictions.
    tool_name = "sklearn" if tool == "sklearn-npz" else None
    theirs = bakeoff.judge(folder, metric=metric, columns=columns, tool=tool_name).verdicts[0]
    table = bakeoff.judge(own, metric=metric, columns={"fold" if by_fold else "replicate": "seed"}).verdicts[0]
    figures = [(verdict.difference, *(verdict.interval or ()), verdict.p_adjusted) for verdict in (theirs, table)]
    is_same = (theirs.a, theirs.b, theirs.verdict) == (table.a, table.b, table.verdict)
    is_same = is_same and bool(np.allclose(*np.array(figures, dtype=float), rtol=1e-5, equal_nan=True))
    sentence = f"{theirs.a} {theirs.verdict} {theirs.b}"
    return f"{sentence}, {'as' if is_same else 'NOT AS'} the CSV of the same scores"


def compare_with_tensorboard(folder: Path) -> str:
    """Return whether TensorBoard's own reader finds the same scalars in every event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    from bakeoff.foreign.importers.event_files import Events, read_events

    num_scalars = 0
    for file in folder.rglob("*.tfevents.*"):
        theirs, ours = EventAccumulator(str(file)).Reload(), Events()
        read_events(file, ours)
        scalars = {tag: {event.step: event.value for event in theirs.Scalars(tag)} for tag in theirs.Tags()["scalars"]}
        for tag in theirs.Tags()["tensors"]:
            arrays = {event.step: make_ndarray(event.tensor_proto) for event in theirs.Tensors(tag)}
            if all(array.ndim == 0 and array.dtype.kind == "f" for array in arrays.values()):
                scalars[tag] = {step: float(array) for step, array in arrays.items()}
        num_scalars += sum(map(len, scalars.values()))
        if scalars.keys() != ours.curves.keys():
            return f"DIFFERENT TAGS in {file}: {scalars.keys() ^ ours.curves.keys()}"
        for tag, curve in scalars.items():
            np.testing.assert_array_equal(list(curve.items()), list(ours.curves[tag].items()))
    return f"{num_scalars:,} scalars equal those of TensorBoard's own reader"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--server", help="a tracking server of MLflow that mlflow_runs.py was given")
    arguments = parser.parse_args()
    for own in sorted(arguments.out.glob("*.csv")):
        table = read_foreign(str(own.with_suffix("")))
        text = f"{len(table.rows)} runs, {table.num_skipped} skipped: {compare(own.stem, table, own)}"
        print(f"{own.stem}: {table.tool}, {text}; {compare_verdicts(own.stem, own)}", flush=True)
    if arguments.server:
        own = arguments.out / "mlflow-files.csv"
        for epoch in ("last", "max:val_accuracy"):
            table = read_foreign(arguments.server, epoch=epoch)
            local = read_foreign(str(own.with_suffix("")), epoch=epoch)
            same = [dict(row) for row in table.rows] == [dict(row) for row in local.rows]
            print(f"mlflow server, epoch {epoch}: {len(table.rows)} runs, {'equal' if same else 'DIFFERENT'}")
    try:
        print("event files:", compare_with_tensorboard(arguments.out))
    except ImportError:
        print("event files: not compared, tensorboard is not installed")


if __name__ == "__main__":
    main()
