"""What a worker says of a task that its device has too little memory for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.data.source import DataSource
from bakeoff.driver.executors import worker
from bakeoff.driver.executors.base import Report, TaskLost
from bakeoff.errors import DataError
from bakeoff.messages import CohortTask, DataView, ProbeTask


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


def test_what_an_exception_says_can_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("\udcff" * 10_000_000)

    monkeypatch.setattr(worker, "_dispatch", fail)
    sent: list[Any] = []
    worker.run_task(ProbeTask(probe_id="p", label="", members=(), data=None), tmp_path, None, sent.append)  # type: ignore[arg-type]
    for text in (sent[0].reason, sent[0].detail):
        assert "\\udcff" in text
        assert len(text.encode()) < 100_000


def test_every_task_has_the_threads_it_asks_for(tmp_path: Path) -> None:
    seen: list[int] = []

    class Opener:
        def training(self, source: DataSource) -> Any:
            seen.append(torch.get_num_threads())
            raise DataError("nothing to open")

    view = DataView(source=DataSource(name="digits"), validation=0.2, fingerprint="", seed=1)
    task = CohortTask(cohort_id="c", label="", members=(), data=view, numeric="float32")
    probe = ProbeTask(probe_id="p", label="", members=(), data=view)
    for each in (replace(task, num_threads=3), probe, replace(task, num_threads=2), task):
        worker.run_task(each, tmp_path, Opener(), lambda report: None)  # type: ignore[arg-type]
    assert seen == [3, 1, 2, 1]
