"""A worker times a few real steps within its limit, whatever weights a recipe would begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.engine.timing import time_task
from bakeoff.messages import DataView, Member, TaskDone, TimingDone, TimingTask


@pytest.mark.parametrize("numeric", ["float32", "auto"])
@pytest.mark.parametrize("budget_seconds", [0.0, 1.0])
def test_steps_are_timed(tmp_path: Path, numeric: Any, budget_seconds: float) -> None:
    transfer = {"weights": {"file": "not/read.pt"}, "freeze": "always"}
    recipes = [
        Recipe.model_validate({"network": {"name": "mlp", "units": units}, "batch_size": 32, "transfer": transfer})
        for units in ([8], [8], [8])
    ]
    task = TimingTask(
        timing_id="t",
        label="",
        members=tuple(Member(trial_id=str(number), recipe=recipe) for number, recipe in enumerate(recipes)),
        data=DataView(source=DataSource(name="digits"), validation=0.1, fingerprint="", seed=0),
        shape_HWC=(8, 8, 1),
        class_names=("a", "b", "c"),
        numeric=numeric,
        budget_seconds=budget_seconds,
    )
    events: list[Any] = []
    time_task(task, tmp_path, events.append)
    done, ended = events
    assert isinstance(done, TimingDone)
    assert ended == TaskDone(task_id="t")
    assert 0 < done.seconds_alone < 60
    assert 0 < done.seconds_per_step < 60
    assert done.num_members == 3
