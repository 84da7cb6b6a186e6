"""Trials are scored by metrics that no study named when they were trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import WorkspaceError
from bakeoff.ledger.rescore import rescore
from bakeoff.ledger.store import Ledger
from bakeoff.messages import FinalTestDone
from bakeoff.stats.metrics import classification_metrics, score_by
from bakeoff.workspace import Folders, save_predictions


def test_missing_metrics_are_computed_from_stored_predictions(
    ledger: Ledger, folders: Folders, register: Callable[..., None], done: Any
) -> None:
    register()
    rng, labels = np.random.default_rng(0), np.arange(9) % 3
    predictions = {split: rng.dirichlet(np.ones(3), 9).astype(np.float32) for split in ("validation", "test")}
    for split, probabilities in predictions.items():
        save_predictions(folders.predictions("t1", split), probabilities, labels, np.arange(9))
    scores = {split: classification_metrics(each, labels) for split, each in predictions.items()}
    trained = {"train": {"accuracy": 1.0}, "validation": scores["validation"]}
    ledger.record_done(done("t1", metrics=trained), content={"seed": 1}, cohort_id="c", machine="m")
    opened = ledger.open_final_test("s" * 64, 1)
    ledger.record_final_test(opened, FinalTestDone(trial_id="t1", metrics=scores["test"], fingerprint="f"))

    def read() -> tuple[Any, Any]:
        (metrics,) = ledger.connection.execute("SELECT metrics FROM trials WHERE id = 't1'").fetchone()
        (test,) = ledger.connection.execute("SELECT metrics FROM exam_results WHERE trial_id = 't1'").fetchone()
        return json.loads(metrics), json.loads(test)

    rescore(ledger.connection, folders, ["t1", "t2"], [])
    assert read() == (trained, scores["test"])
    for _ in range(2):
        rescore(ledger.connection, folders, ["t1", "t2"], ["brier"])
        metrics, test = read()
        assert metrics["validation"] == {
            **scores["validation"],
            "brier": score_by("brier", predictions["validation"], labels),
        }
        assert metrics["train"] == trained["train"], "predictions on training images are not stored"
        assert test == {**scores["test"], "brier": score_by("brier", predictions["test"], labels)}
    folders.predictions("t1", "test").unlink()
    with pytest.raises(WorkspaceError, match="cannot be scored by mcc"):
        rescore(ledger.connection, folders, ["t1"], ["mcc"])
