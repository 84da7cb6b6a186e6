"""MLflow: the file store, the SQLite store, and a second copy of the runs on a tracking server if one is named.

python mlflow_runs.py OUT [http://127.0.0.1:5000]
"""

from __future__ import annotations

import os
import sys

os.environ.update(MLFLOW_ALLOW_FILE_STORE="true", GIT_PYTHON_REFRESH="quiet")

import mlflow
from digits_task import ARMS, SEEDS, Scores, get_folder, train


def log_runs(address: str, scores: Scores | None) -> None:
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("digits")
    for arm in ARMS:
        for seed in SEEDS:
            with mlflow.start_run(run_name=f"{arm}-{seed}"):
                mlflow.log_params({"arm": arm, "seed": seed})
                for epoch, metrics in enumerate(train(arm, seed)):
                    mlflow.log_metrics(metrics, step=epoch)
            if scores:
                scores.add(arm, seed, metrics["val_accuracy"])
    client = mlflow.MlflowClient()
    for state in ("FAILED", "KILLED"):  # these must not count
        run = client.create_run(client.get_experiment_by_name("digits").experiment_id)
        client.log_metric(run.info.run_id, "val_accuracy", 0.5)
        client.set_terminated(run.info.run_id, state)


for tool, place in (("mlflow-files", "file://{}/mlruns"), ("mlflow-sqlite", "sqlite:///{}/mlflow.db")):
    scores = Scores(tool, "val_accuracy")
    log_runs(place.format(get_folder(tool)), scores)
    scores.write()
if len(sys.argv) > 2:
    log_runs(sys.argv[2], None)
print("mlflow", mlflow.__version__)
