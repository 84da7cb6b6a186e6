"""The same with the real packages, where they are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api import log_study

pytestmark = [pytest.mark.usefixtures("shared_cache", "in_process"), pytest.mark.filterwarnings("default")]


def test_tensorboard_reads_what_the_ledger_has(
    workspace: Path, tmp_path: Path, in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):
        log_study("tiny", f"tensorboard:{tmp_path / 'events'}", workspace)
    found, wanted = {}, in_ledger()
    for folder in {path.parent for path in (tmp_path / "events").glob("*/*/*/events*")}:
        (trial_id,) = {each for each, _ in wanted if folder.name.endswith(each[:12])}
        read = accumulators.EventAccumulator(str(folder), size_guidance={"scalars": 0})
        read.Reload()
        for name in read.Tags()["scalars"]:
            found[trial_id, name] = [(each.step, each.value) for each in read.Scalars(name)]
    as_float32 = {key: [(step, float(np.float32(value))) for step, value in each] for key, each in wanted.items()}
    check_points(found, as_float32)


@pytest.mark.slow
def test_mlflow_has_what_the_ledger_has(
    workspace: Path, tmp_path: Path, in_ledger: Callable[[], Any], check_points: Callable[..., None]
) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):
        log_study("tiny", f"mlflow:{uri}", workspace)
    client = mlflow.MlflowClient(uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "tiny"]
    runs = client.search_runs([experiment.experiment_id], "tags.`bakeoff.kind` = 'trial'")
    assert len(runs) == 4
    found = {
        (run.data.tags["bakeoff.trial_id"], name): [
            (each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)
        ]
        for run in runs
        for name in run.data.metrics
    }
    check_points(found, in_ledger(), ignore_step_of_finals=True)
