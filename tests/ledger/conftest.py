"""A ledger in a temporary workspace, and events to write into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import EpochDone, FinalTestDone, TrialDone

CONTENT = {"recipe": {"network": "lenet"}, "seed": 1}


@pytest.fixture
def epoch() -> Callable[..., EpochDone]:
    def make(trial_id: str = "t1", number: int = 1, **changes: Any) -> EpochDone:
        values: dict[str, Any] = {
            "trial_id": trial_id,
            "epoch": number,
            "train": {"loss": 1.0 / number, "accuracy": 0.5},
            "validation": {"accuracy": 0.1 * number},
            "seconds": 0.5,
            "images_per_second": 1000.0,
        }
        return EpochDone(**{**values, **changes})

    return make


@pytest.fixture
def done() -> Callable[..., TrialDone]:
    def make(trial_id: str = "t1", **changes: Any) -> TrialDone:
        values: dict[str, Any] = {
            "trial_id": trial_id,
            "num_epochs": 3,
            "best_epoch": 2,
            "stop": "epochs",
            "seconds": 1.5,
            "num_parameters": 42,
            "metrics": {"train": {"accuracy": 0.9}, "validation": {"accuracy": 0.8}},
        }
        return TrialDone(**{**values, **changes})

    return make


@pytest.fixture
def tested() -> Callable[..., FinalTestDone]:
    def make(trial_id: str = "t1", accuracy: float = 0.7) -> FinalTestDone:
        return FinalTestDone(trial_id=trial_id, metrics={"accuracy": accuracy}, fingerprint="f")

    return make


@pytest.fixture
def register(ledger: Ledger) -> Callable[..., None]:
    """Register a study whose trials are t1, t2, ... of the arms named."""

    def make(study_id: str = "s" * 64, *, name: str = "tiny", arms: tuple[str, ...] = ("a", "b"), **more: Any) -> None:
        trials = more.pop("trials", [f"t{n + 1}" for n in range(len(arms))])
        ledger.register_study(
            study_id,
            name=name,
            document={"question": "Which?"},
            placements=[Placement(trial, "digits", arm, 0) for trial, arm in zip(trials, arms, strict=True)],
            numeric=more.pop("numeric", "float32"),
            command="bakeoff run tiny",
        )

    return make
