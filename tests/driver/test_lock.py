"""The lock: whatever a study does before its final test, it cannot reach the test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bakeoff.data import decode, digits, store
from bakeoff.data.store import audit_dataset, open_training
from bakeoff.driver.context import RunContext
from bakeoff.driver.run import run_plan
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.study.plan import expand
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders


@pytest.fixture
def watcher(script: Any) -> Any:
    return script.Watcher()


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to the test images raises; the training images are opened before, and the audit has compared them."""
    torch.set_num_threads(1)
    open_training("digits")
    audit_dataset("digits")

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("the test split was opened")

    monkeypatch.setattr(store, "open_test", refuse)
    monkeypatch.setattr(decode, "decode_split", refuse)
    monkeypatch.setattr(store, "decode_split", refuse)
    monkeypatch.setattr(digits, "read_digits", refuse)


SEARCH = {
    "name": "optuna",
    "space": {"optimizer.learning_rate": {"low": 0.001, "high": 0.1}},
    "trials": 4,
    "group": 4,
    "baseline": "random",
    "halving": {"first": 1, "factor": 2},
}


FROZEN = {
    "network": {"name": "mlp", "units": [8]},
    "transfer": {"weights": {"file": "frozen.safetensors"}, "freeze": "always", "feature_draws": 2},
    "augmentation": ["horizontal_flip"],
    "epochs": 2,
}


def make_study(**fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "recipe": {"network": {"name": "mlp", "units": [8]}, "epochs": 2, "early_stopping": {"patience": 1}},
        "arms": [{"optimizer.learning_rate": [0.001, 0.01]}],
        "replicates": 3,
        **fields,
    }
    return Study(**values)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"numeric": "float32", "data": {"folds": 3}, "replicates": 1},
        {"numeric": "float32", "replicates": {"at_least": 3, "at_most": 4}},
        {"numeric": "float32", "arms": [], "search": SEARCH},
        {"numeric": "float32", "recipe": FROZEN},
    ],
    ids=["probe and grid", "folds", "racing", "search", "frozen"],
)
@pytest.mark.usefixtures("lock")
def test_nothing_before_the_exam_can_open_the_test_split(
    tmp_path: Path, watcher: Any, in_process: Any, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shapes = {"0.weight": (8, 64), "0.bias": (8,), "1.weight": (10, 8), "1.bias": (10,)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, "frozen.safetensors")
    plan = expand(make_study(**fields))
    counts = run_plan(
        plan,
        RunContext(workspace=tmp_path, executor=in_process(1, tmp_path, None, ()), observer=watcher, final_test=False),
    )
    with open_reading(Folders(tmp_path)) as connection:
        record = read_study(connection, counts.study_id)
    assert record.final_tests == ()
    assert len(record.results) == record.num_planned >= 6
    assert all(result.state == "done" and set(result.metrics) == {"train", "validation"} for result in record.results)


@pytest.mark.usefixtures("lock")
def test_the_exam_is_what_the_lock_stops(tmp_path: Path, watcher: Any, in_process: Any) -> None:
    counts = run_plan(
        expand(make_study(numeric="float32", replicates=1)),
        RunContext(workspace=tmp_path, executor=in_process(1, tmp_path, None, ()), observer=watcher),
    )
    assert not counts.final_test_complete
    assert any("the test split was opened" in message for message in watcher.messages)
