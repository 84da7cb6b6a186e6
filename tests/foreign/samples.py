"""Code that writes each tool's format as the real tool does: two arms, two seeds, one score per epoch.

Checked against what these versions wrote: MLflow 3.17, Trackio 0.43, TensorBoard 2.21, Keras 3.15, Lightning 2.6, timm
1.0.31, scikit-learn 1.9, Optuna 5.0, Ludwig. Programs that run the real tools are in `benchmarks/foreign`.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from bakeoff.foreign.importers.event_files import mask_crc

ARMS = ("adam", "sgd")
SEEDS = (1, 2)
CURVES = {(arm, seed): [0.5, 0.6 + (arm == "adam") / 8 + seed / 16] for arm, seed in product(ARMS, SEEDS)}
"""Accuracy by epoch; exact in single precision."""


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_mlflow_files(folder: Path) -> None:
    write_text(folder / "mlruns/7/meta.yaml", "experiment_id: '7'\nlifecycle_stage: active\nname: digits\n")
    for (arm, seed), curve in CURVES.items():
        run = folder / "mlruns/7" / f"{arm}{seed}"
        meta = f"lifecycle_stage: active\nrun_id: {arm}{seed}\nrun_name: {arm}-{seed}\nstatus: 3\n"
        write_text(run / "meta.yaml", meta)
        for key, value in {"params/arm": arm, "params/seed": seed, "tags/mlflow.user": "me"}.items():
            write_text(run / key, str(value))
        lines = [f"17000{epoch} {score} {epoch} data d1f\n" for epoch, score in enumerate(curve)]
        write_text(run / "metrics/val/accuracy", "".join(lines))


def write_mlflow_database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.executescript("""
            CREATE TABLE experiments (experiment_id INTEGER, name TEXT, lifecycle_stage TEXT);
            CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time INTEGER, lifecycle_stage TEXT,
                experiment_id INTEGER);
            CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
            CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
            CREATE TABLE metrics (key TEXT, value FLOAT, timestamp INTEGER, run_uuid TEXT, step INTEGER,
                is_nan BOOLEAN);
            INSERT INTO experiments VALUES (1, 'digits', 'active'), (2, 'old', 'deleted');
            INSERT INTO runs VALUES ('gone', 'gone', 'FINISHED', 0, 'deleted', 1);
            INSERT INTO runs VALUES ('old', 'old', 'FINISHED', 0, 'active', 2);
            INSERT INTO runs VALUES ('busy', 'busy', 'RUNNING', 0, 'active', 1);
        """)
        for (arm, seed), curve in CURVES.items():
            run = f"{arm}{seed}"
            connection.execute("INSERT INTO runs VALUES (?, ?, 'FINISHED', 1, 'active', 1)", (run, f"{arm}-{seed}"))
            params = [("arm", arm, run), ("seed", str(seed), run)]
            connection.executemany("INSERT INTO params VALUES (?, ?, ?)", params)
            points = [("val_accuracy", score, 5 + epoch, run, epoch, 0) for epoch, score in enumerate(curve)]
            points += [("loss", 0.0, 9, run, 0, 1), ("norm", 1.7976931348623157e308, 9, run, 0, 0)]
            connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", points)


def write_wandb(folder: Path) -> None:
    rows = [(f"{arm}-s{seed}", "finished", "me", arm, seed, 0.5, curve[-1]) for (arm, seed), curve in CURVES.items()]
    rows.append(("sad-sun-5", "crashed", "me", "adam", 3, 0.5, ""))
    write_rows(folder / "export.csv", ["Name", "State", "User", "arm", "seed", "lr", "val/accuracy"], rows)


def write_trackio(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "digits.db")) as connection, connection:
        connection.executescript("""
            CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER,
                metrics TEXT);
            CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);
        """)
        for (arm, seed), curve in CURVES.items():
            run, config = f"{arm}{seed}", json.dumps({"arm": arm, "seed": seed, "_Username": None})
            connection.execute("INSERT INTO configs VALUES (NULL, ?, ?, ?, '')", (run, run, config.encode()))
            for epoch, score in enumerate(curve):
                metrics = json.dumps({"val_accuracy": score, "loss": "NaN"}).encode()
                connection.execute("INSERT INTO metrics VALUES (NULL, ?, '', ?, ?, ?)", (run, run, epoch, metrics))


def _encode(number: int, content: bytes | float) -> bytes:
    """Return a field of a protocol buffer: a message or text below 128 bytes, or a float."""
    if isinstance(content, bytes):
        return bytes([number << 3 | 2, len(content)]) + content
    return bytes([number << 3 | 5]) + struct.pack("<f", content)


def _frame(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", mask_crc(length)) + event + struct.pack("<I", mask_crc(event))


def write_tensorboard(folder: Path) -> None:
    for (arm, seed), curve in CURVES.items():
        run = folder / f"{arm}_seed{seed}"
        run.mkdir()
        records = _frame(_encode(3, b"brain.Event:2"))
        for epoch, score in enumerate(curve):
            value = _encode(1, b"val/accuracy") + _encode(2, score)
            records += _frame(bytes([2 << 3, epoch]) + _encode(5, _encode(1, value)))
        (run / "events.out.tfevents.17.host").write_bytes(records)


def write_keras_logs(folder: Path) -> None:
    for (arm, seed), curve in CURVES.items():
        rows = [(epoch, score / 2, 1.5, score, "NA") for epoch, score in enumerate(curve)]
        write_rows(folder / arm / f"seed={seed}.csv", ["epoch", "accuracy", "loss", "val_accuracy", "lr"], rows)


def write_keras_histories(folder: Path) -> None:
    for (arm, seed), curve in CURVES.items():
        write_text(folder / f"{arm}_seed{seed}.json", json.dumps({"loss": [float("nan"), 1.0], "val_accuracy": curve}))


def write_lightning(folder: Path) -> None:
    for version, ((arm, seed), curve) in enumerate(CURVES.items()):
        run = folder / f"lightning_logs/version_{version}"
        rows: list[tuple[object, ...]] = []
        for epoch, score in enumerate(curve):
            rows += [(epoch, 9 * epoch, 0.5, "", ""), (epoch, 9 * epoch + 8, "", score / 2, "")]
        rows.append((2, 9, "", "", curve[-1]))
        write_rows(run / "metrics.csv", ["epoch", "step", "train_loss", "val_acc", "test_acc"], rows)
        write_text(run / "hparams.yaml", f"arm: {arm}\nseed: {seed}\nbetas: !!python/tuple\n- 0.9\n- 0.99\n")


def write_timm(folder: Path) -> None:
    header = ["epoch", "train_loss", "eval_loss", "eval_top1", "lr"]
    for (arm, seed), curve in CURVES.items():
        run = folder / f"train/{arm}-{seed}"
        # A resumed run writes the header again.
        rows = [(0, 2.0, 1.0, curve[0], 0.1), header, (1, 2.0, 1.0, curve[1], 0.1)]
        write_rows(run / "summary.csv", header, rows)
        write_text(run / "args.yaml", f"arm: {arm}\nseed: {seed}\nimg_size: null\n")


def write_sklearn_folds(folder: Path) -> None:
    for arm in ARMS:
        scores = [CURVES[arm, seed][-1] for seed in SEEDS]
        write_text(
            folder / f"{arm}.json",
            json.dumps({"fit_time": [1.0, 1.0], "score_time": [0.1, 0.1], "test_accuracy": scores}),
        )


def write_sklearn_search(folder: Path) -> None:
    header = ["", "mean_fit_time", "param_arm", "params", "split1_test_score", "split2_test_score"]
    header += ["mean_test_score", "rank_test_score"]
    rows = [(i, 1.0, arm, "{...}", *(CURVES[arm, s][-1] for s in SEEDS), 0.5, i + 1) for i, arm in enumerate(ARMS)]
    write_rows(folder / "search.csv", header, rows)


def write_optuna_database(folder: Path) -> None:
    (folder / "study.db").write_bytes(_make_optuna_database())


@cache  # its tables take a second
def _make_optuna_database() -> bytes:
    with TemporaryDirectory() as folder:
        _write_optuna(f"sqlite:///{folder}/study.db")
        return Path(folder, "study.db").read_bytes()


def write_optuna_journal(folder: Path) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _write_optuna(JournalStorage(JournalFileBackend(str(folder / "journal.log"))))


def _write_optuna(storage: object) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, study_name="digits", direction="maximize")  # type: ignore[arg-type]
    choices = optuna.distributions.CategoricalDistribution(ARMS)
    numbers = optuna.distributions.IntDistribution(0, 9)
    for (arm, seed), curve in CURVES.items():
        study.add_trial(
            optuna.trial.create_trial(
                params={"arm": arm, "seed": seed},
                distributions={"arm": choices, "seed": numbers},
                value=curve[-1],
                user_attrs={"val_loss": 0.25, "machine": "a"},
            )
        )
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))


def write_benchopt(folder: Path) -> None:
    header = ["objective_name", "dataset_name", "solver_name", "idx_rep", "stop_val", "time", "objective_value"]
    header += ["objective_test_accuracy", "p_solver_lr", "version-numpy"]
    rows = [
        ("Digits", "digits", arm, seed, epoch, 0.5, 1.0, score, 0.1, "2.4")
        for (arm, seed), curve in CURVES.items()
        for epoch, score in enumerate(curve)
    ]
    write_rows(folder / "benchopt_run.csv", header, rows)


def write_ludwig(folder: Path) -> None:
    for (arm, seed), curve in CURVES.items():
        run = folder / f"results/experiment_{arm}_{seed}"
        split = {"digit": {"accuracy": curve, "loss": [1.0, 0.5]}, "combined": {"loss": [1.0, 0.5]}}
        training = {"training": split, "validation": split, "test": split, "evaluation_frequency": {"frequency": 1}}
        test = {"digit": {"accuracy": curve[-1], "per_class_stats": {"a": {"f1": 1}}}, "combined": {"loss": 0.5}}
        config = {"trainer": {"optimizer": {"type": arm}}}
        write_text(run / "training_statistics.json", json.dumps(training))
        write_text(run / "test_statistics.json", json.dumps(test))
        write_text(run / "description.json", json.dumps({"random_seed": seed, "config": config}))


@dataclass(frozen=True)
class Sample:
    """A format: who writes it, which importer reads it, and which columns are the score, the arm and the seed."""

    write: Callable[[Path], None]
    importer: str
    metric: str
    arm: str = "arm"
    seed: str = "seed"


SAMPLES = (
    Sample(write_mlflow_files, "mlflow", "val/accuracy"),
    Sample(write_mlflow_database, "mlflow", "val_accuracy"),
    Sample(write_wandb, "wandb", "val/accuracy"),
    Sample(write_trackio, "trackio", "val_accuracy"),
    Sample(write_tensorboard, "tensorboard", "val/accuracy", "path.1"),
    Sample(write_keras_logs, "keras", "val_accuracy", "path.1"),
    Sample(write_keras_histories, "keras", "val_accuracy", "path.1"),
    Sample(write_lightning, "lightning", "test_acc"),
    Sample(write_timm, "timm", "eval_top1"),
    Sample(write_sklearn_folds, "sklearn", "test_accuracy", "path.1", "fold"),
    Sample(write_sklearn_search, "sklearn", "test_score", "arm", "fold"),
    Sample(write_optuna_database, "optuna", "value"),
    Sample(write_optuna_journal, "optuna", "value"),
    Sample(write_benchopt, "benchopt", "objective_test_accuracy", "solver_name", "idx_rep"),
    Sample(write_ludwig, "ludwig", "test_accuracy", "trainer.optimizer.type"),
)


def list_written(folder: Path) -> Iterator[Path]:
    """Yield the files that a writer made."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())
