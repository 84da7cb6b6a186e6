"""What single formats do that others do not."""

from __future__ import annotations

import base64
import json
import math
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bakeoff.errors import DataError
from bakeoff.foreign.importers import read_foreign
from bakeoff.foreign.importers.event_files import Events, read_events
from tests.foreign.samples import (
    write_keras_histories,
    write_mlflow_database,
    write_optuna_database,
    write_rows,
    write_tensorboard,
    write_text,
)

# Written by torch 2.13's SummaryWriter (tensorboard 2.21): add_scalar of 0.5, 0.75 and NaN, and add_text; with
# new_style=True the same as tensors; add_hparams of arm, lr, seed, nesterov and the metric `final` = 0.875.
SCALARS = """
SAAAAAAAAAD+kkidCdY3wxMpw9pBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2Zp
bGVfd3JpdGVysWzRcSAAAAAAAAAAKe2pUAmjRMMTKcPaQSoVChMKDHZhbF9hY2N1cmFjeRUAAAA/gOfu6yIAAAAAAAAAeBE9/Qlw
RcMTKcPaQRABKhUKEwoMdmFsX2FjY3VyYWN5FQAAQD/DKeABIgAAAAAAAAB4ET39CbVFwxMpw9pBEAIqFQoTCgx2YWxfYWNjdXJh
Y3kVAADAf9r8hTQ7AAAAAAAAABojrFwJWkfDEynD2kEqMAouChFub3RlL3RleHRfc3VtbWFyeUIPCAcSBBICCAFCBWhlbGxvSggK
BgoEdGV4dCiXnxc="""
TENSORS = """
SAAAAAAAAAD+kkidCblMxRMpw9pBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2Zp
bGVfd3JpdGVyMyNfPzIAAAAAAAAAJBlW7AnzyMUTKcPaQSonCiUKDHZhbF9hY2N1cmFjeUIICAEqBAAAAD9KCwoJCgdzY2FsYXJz
6s/xXTQAAAAAAAAAXjMXXAnuycUTKcPaQRABKicKJQoMdmFsX2FjY3VyYWN5QggIASoEAABAP0oLCgkKB3NjYWxhcnO+H4VqNAAA
AAAAAABeMxdcCVPKxRMpw9pBEAIqJwolCgx2YWxfYWNjdXJhY3lCCAgBKgQAAMB/SgsKCQoHc2NhbGFyc437mFw7AAAAAAAAABoj
rFwJKMvFEynD2kEqMAouChFub3RlL3RleHRfc3VtbWFyeUIPCAcSBBICCAFCBWhlbGxvSggKBgoEdGV4dLSjP7A="""
HYPERPARAMETERS = """
SAAAAAAAAAD+kkidCXJ1xBMpw9pBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2Zp
bGVfd3JpdGVyOgHqz2gAAAAAAAAA/px61Am9uMQTKcPaQSpdClsKFF9ocGFyYW1zXy9leHBlcmltZW50SkMKQQoHaHBhcmFtcxI2
EjQiBwoDYXJtIAEiBgoCbHIgAyIICgRzZWVkIAMiDAoIbmVzdGVyb3YgAyoJCgcSBWZpbmFserlux4YAAAAAAAAAcAEdXAmvucQT
KcPaQSp7CnkKHF9ocGFyYW1zXy9zZXNzaW9uX3N0YXJ0X2luZm9KWQpXCgdocGFyYW1zEkwaSgoPCgJschIJEQAAAAAAAOA/ChUK
CG5lc3Rlcm92EgkRAAAAAAAA8D8KDQoDYXJtEgYaBGFkYW0KEQoEc2VlZBIJEQAAAAAAAAhAiXfhuzwAAAAAAAAAyLejUgn9ucQT
KcPaQSoxCi8KGl9ocGFyYW1zXy9zZXNzaW9uX2VuZF9pbmZvShEKDwoHaHBhcmFtcxIEIgIIAWqsi2kZAAAAAAAAAIvxCCgJm7vE
EynD2kEqDgoMCgVmaW5hbBUAAGA/dDkjTw=="""


def _write_events(path: Path, encoded: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(encoded))
    return path


@pytest.mark.parametrize("encoded", [SCALARS, TENSORS], ids=["scalars", "tensors"])
def test_event_files_of_the_real_writer(encoded: str, tmp_path: Path) -> None:
    events = Events()
    read_events(_write_events(tmp_path / "events.out.tfevents.1", encoded), events)
    assert list(events.curves) == ["val_accuracy"]
    assert list(events.curves["val_accuracy"]) == [0, 1, 2]
    np.testing.assert_array_equal(list(events.curves["val_accuracy"].values()), [0.5, 0.75, math.nan])


def test_hyperparameters_of_the_real_writer_belong_to_the_run_above(tmp_path: Path) -> None:
    for seed in (1, 2):
        _write_events(tmp_path / f"run{seed}" / "events.out.tfevents.1", SCALARS)
        _write_events(tmp_path / f"run{seed}" / "17.5" / "events.out.tfevents.1", HYPERPARAMETERS)
    rows = read_foreign(str(tmp_path), epoch="max:val_accuracy").rows
    known = {"arm": "adam", "lr": 0.5, "nesterov": 1, "final": 0.875, "val_accuracy": 0.75}
    # The path says `run`, the hyperparameters say `seed`.
    assert [dict(row) for row in rows] == [{**known, "seed": 3, "path.1": run, "run": run} for run in (1, 2)]


def test_splits_of_keras_and_lines_of_charts_are_one_run(tmp_path: Path) -> None:
    for run in ("adam", "sgd"):
        for place in ("train", "validation", "", "val_accuracy_smooth"):
            _write_events(tmp_path / run / place / "events.out.tfevents.1", SCALARS)
    table = read_foreign(str(tmp_path), epoch="max:val_accuracy")
    assert [row["path.1"] for row in table.rows] == ["adam", "sgd"]
    assert set(table.metrics) == {"val_accuracy", "val_val_accuracy", "train_val_accuracy", "val_accuracy/smooth"}


def _read_keras(folder: Path, *rows: Sequence[object]) -> dict[str, object]:
    write_rows(folder / "training.log", ["epoch", "accuracy", "loss"], rows)
    return dict(read_foreign(str(folder / "training.log")).rows[0])


def test_keras_logs_that_were_appended_to_end_with_the_last_training(tmp_path: Path) -> None:
    rows = [(0, 0.1, 3), (1, 0.2, 2), (0, 0.3, 2), (1, 0.4, "nan")]
    scores = _read_keras(tmp_path, *rows)
    assert scores["accuracy"] == 0.4
    assert math.isnan(float(str(scores["loss"])))


def test_one_file_that_is_damaged_is_a_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"training\.log has 2 instead of 3 cells in row 3"):
        _read_keras(tmp_path, (0, 0.1, 3), (1, 0.2), (2, 0.2, 1))


def test_keras_log_and_history_of_one_run_count_once(tmp_path: Path) -> None:
    write_keras_histories(tmp_path)
    for path in list(tmp_path.glob("*.json")):
        history = json.loads(path.read_text())
        rows = list(zip(range(2), history["loss"], history["val_accuracy"], strict=True))
        write_rows(path.with_suffix(".csv"), ["epoch", "loss", "val_accuracy"], rows)
    table = read_foreign(str(tmp_path))
    assert (len(table.rows), table.num_skipped) == (4, 4)


def test_mlflow_scores_that_are_not_finite_are_restored_and_running_runs_skipped(tmp_path: Path) -> None:
    write_mlflow_database(tmp_path)
    table = read_foreign(f"sqlite:///{tmp_path}/mlflow.db")
    assert math.isnan(float(str(table.rows[0]["loss"])))
    assert table.rows[0]["norm"] == math.inf
    assert any("busy is running" in note for note in table.notes)
    assert not any("gone" in note or "old" in note for note in table.notes)


def test_databases_with_a_log_of_unwritten_changes_are_read_whole(tmp_path: Path) -> None:
    write_mlflow_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("UPDATE metrics SET value = 0.25 WHERE key = 'val_accuracy'")
        writer.commit()
        assert {row["val_accuracy"] for row in read_foreign(str(tmp_path)).rows} == {0.25}


def test_a_server_needs_its_client_and_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(DataError, match="pip install mlflow") as caught:
        read_foreign("http://me:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match="--from mlflow or --from optuna") as caught:
        read_foreign("postgresql://me:secret@127.0.0.1:9/db")
    assert "secret" not in str(caught.value)


def test_optunas_own_scores_that_were_minimized_are_told(tmp_path: Path) -> None:
    write_optuna_database(tmp_path)
    assert read_foreign(str(tmp_path)).lower_is_better == ()
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("UPDATE study_directions SET direction = 'MINIMIZE'")
    table = read_foreign(str(tmp_path))
    assert table.lower_is_better == ("value",)
    assert "val_loss" in table.metrics
    assert "machine" in table.rows[0]


def test_wandb_logs_are_refused_and_scores_found_by_decimals(tmp_path: Path) -> None:
    write_text(tmp_path / "wandb/run-1/run-1.wandb", ":W&B")
    with pytest.raises(DataError, match="Export the table of runs"):
        read_foreign(str(tmp_path))
    header = ["Name", "State", "width", "dice", "_step"]
    write_rows(tmp_path / "export.csv", header, [("a", "finished", 8, 0.5, 9), ("b", "finished", 8, 1, 9)])
    assert read_foreign(str(tmp_path / "export.csv")).metrics == ("dice",)


def test_sklearn_results_in_npz_and_of_several_models_in_one_file(tmp_path: Path) -> None:
    results = {"fit_time": [1.0, 1.0], "test_score": [0.5, math.nan]}
    np.savez(tmp_path / "svm.npz", **{name: np.array(column) for name, column in results.items()})
    table = read_foreign(str(tmp_path / "svm.npz"))
    assert [row["fold"] for row in table.rows] == [0, 1]
    assert math.isnan(float(str(table.rows[1]["test_score"])))
    write_text(tmp_path / "both.json", json.dumps({"svm": results, "tree": results}))
    assert [row["name"] for row in read_foreign(str(tmp_path / "both.json")).rows] == ["svm", "svm", "tree", "tree"]
    np.savez(tmp_path / "svm.npz", mean_fit_time=[1.0], split0_test_score=[0.5], param_c=np.array([None]))
    with pytest.raises(DataError, match=r"svm\.npz has pickled columns.*to_csv"):
        read_foreign(str(tmp_path / "svm.npz"))


def test_benchopt_tables_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    columns = {
        "objective_name": ["Digits"] * 4,
        "solver_name": ["adam", "adam", "sgd", "sgd"],
        "dataset_name": ["digits"] * 4,
        "idx_rep": [0] * 4,
        "stop_val": [0, 1, 0, 1],
        "time": [0.1, 0.2, 0.1, 0.2],
        "objective_value": [3.0, 1.0, 3.0, 2.0],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "benchopt_run.parquet")
    table = read_foreign(str(tmp_path))
    assert [(row["solver_name"], row["objective_value"]) for row in table.rows] == [("adam", 1.0), ("sgd", 2.0)]
    assert set(table.lower_is_better) == {"objective_value", "time"}


def test_event_files_that_end_between_records_are_whole(tmp_path: Path) -> None:
    write_tensorboard(tmp_path)
    shutil.rmtree(tmp_path / "sgd_seed1")
    path = tmp_path / "adam_seed1" / "events.out.tfevents.17.host"
    last_record = 12 + 2 + 2 + 2 + 14 + 5 + 4
    path.write_bytes(path.read_bytes()[:-last_record])
    table = read_foreign(str(tmp_path))
    assert (len(table.rows), table.num_skipped) == (3, 0)
    assert table.rows[0]["val/accuracy"] == 0.5
    assert any("from 1 to 2" in note for note in table.notes)
