"""Macro averages of an older version, over classes without images, are corrected when a ledger is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bakeoff.ledger.store import Ledger
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone
from bakeoff.stats.metrics import classification_metrics
from bakeoff.workspace import Folders, save_predictions

Register = Callable[..., None]
LABELS = {"test": np.array([0, 0, 1, 1, 3]), "validation": np.array([0, 1, 2, 3, 0])}
METRICS = ("macro_precision", "macro_recall", "macro_f1")


def _predict(seed: int, split: str) -> np.ndarray:
    return np.random.default_rng([seed, len(split)]).dirichlet(np.ones(4), 5).astype(np.float32)


def _score_as_before(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the metrics as they were: a class that does not occur counts as 0."""
    found = classification_metrics(probabilities, labels)
    num_present = 4 - found.pop("classes_absent", 0.0)
    return {name: value * num_present / 4 if name in METRICS else value for name, value in found.items()}


@pytest.fixture
def old(ledger: Ledger, folders: Folders, register: Register, done: Any, epoch: Any) -> dict[str, dict[str, Any]]:
    """Fill a ledger as an older version did; return what each trial should say of each split."""
    register()
    right: dict[str, dict[str, Any]] = {}
    for seed, trial_id in enumerate(("t1", "t2")):
        old, right[trial_id] = {}, {}
        for split, labels in LABELS.items():
            probabilities = _predict(seed, split)
            save_predictions(folders.predictions(trial_id, split), probabilities, labels, np.arange(5))
            old[split] = _score_as_before(probabilities, labels)
            right[trial_id][split] = classification_metrics(probabilities, labels)
        content = {"seed": seed, "data": {"fingerprint": "f", "validation": 0.2}}
        validation = {"train": old["validation"], "validation": old["validation"]}
        _record(ledger, content, epoch(trial_id, 1, validation=old["validation"]), done(trial_id, metrics=validation))
        ledger.record_final_test(
            ledger.open_final_test("s" * 64, 1),
            FinalTestDone(trial_id=trial_id, metrics=old["test"], fingerprint="test"),
        )
    ledger.connection.execute("DELETE FROM meta WHERE key = 'macro_averages'")
    return right


def _record(ledger: Ledger, content: dict[str, Any], epoch: EpochDone, done: TrialDone) -> None:
    ledger.record_epoch(epoch)
    ledger.record_done(done, content=content, cohort_id="c", machine="m")


def test_an_older_ledger_is_corrected_once(ledger: Ledger, folders: Folders, old: dict[str, dict[str, Any]]) -> None:
    for _ in range(2):
        Ledger(folders).close()
    for trial_id, right in old.items():
        (text,) = ledger.connection.execute(
            "SELECT metrics FROM exam_results WHERE trial_id = ?", (trial_id,)
        ).fetchone()
        assert json.loads(text) == pytest.approx(right["test"])
        assert json.loads(text)["classes_absent"] == 1
        predicted = _predict(int(trial_id[1]) - 1, "test").argmax(1)
        expected = f1_score(LABELS["test"], predicted, labels=[0, 1, 3], average="macro", zero_division=0)
        assert json.loads(text)["macro_f1"] == pytest.approx(expected)
        (text,) = ledger.connection.execute("SELECT metrics FROM trials WHERE id = ?", (trial_id,)).fetchone()
        assert json.loads(text)["validation"] == right["validation"], "every class occurs there: not a digit changes"
