"""What a worker says of a task that its device has too little memory for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.driver.executors import worker
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.messages import ProbeTask


@pytest.mark.parametrize(
    ("error", "full"), [(torch.OutOfMemoryError("tried to allocate"), True), (RuntimeError("boom"), False)]
)
def test_too_little_memory_is_told_apart(
    error: Exception, full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(worker, "_dispatch", fail)
    sent: list[Report] = []
    worker.run_task(ProbeTask(probe_id="p", label="", members=(), data=None), tmp_path, None, sent.append)  # type: ignore[arg-type]
    (lost,) = sent
    assert isinstance(lost, TaskLost)
    assert lost.out_of_memory is full
    assert not lost.died
