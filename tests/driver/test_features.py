"""Features of frozen bodies are computed by all workers, in parts, before the heads that train on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bakeoff.api import run
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.transfer import Transfer
from bakeoff.data.opener import DiskOpener
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, open_training
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.features import MOST_LOSSES, FeatureExecutor
from bakeoff.engine.feature_files import PART_IMAGES, join_parts, list_feature_files, save_part
from bakeoff.messages import (
    CohortTask,
    DataView,
    FeaturesTask,
    FinalTestTask,
    Member,
    Task,
    TaskDone,
    task_id,
)
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

PATIENCE_SECONDS = 120.0
"""Until a test gives up. Nothing here measures time."""

FLIP = {"name": "horizontal_flip", "probability": 0.5}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights of a network with 16 hidden units on the digits, to be frozen."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"0.weight": (16, 64), "0.bias": (16,), "1.weight": (10, 16), "1.bias": (10,)}
    path = tmp_path / "weights.safetensors"
    save_file({name: torch.rand(shape, generator=generator) - 0.5 for name, shape in shapes.items()}, path)
    return path


def make_study(weights: Path, **fields: Any) -> Study:
    return Study.model_validate(
        {
            "question": "Which learning rate?",
            "recipe": {
                "network": {"name": "mlp", "units": [16]},
                "transfer": {"weights": {"file": str(weights)}, "freeze": "always", **fields.pop("transfer", {})},
                "augmentation": [FLIP] if fields.pop("flip", False) else [],
                "epochs": 3,
                "batch_size": 128,
            },
            "arms": [{"optimizer.learning_rate": [0.001, 0.01]}],
            "replicates": 2,
            "numeric": "float32",
            **fields,
        }
    )


def read_features(workspace: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (workspace / "features").rglob("features.npy")}


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": True, "transfer": {"feature_draws": 2}},
        {"data": {"folds": 3}, "replicates": 1},
    ],
    ids=["drawn", "folds"],
)
def test_two_workers_compute_what_one_process_does_to_the_last_bit(
    fields: dict[str, Any], weights: Path, tmp_path: Path, read_numbers: Callable[..., dict[str, Any]]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run(make_study(weights, **fields), workspace=one, workers=1)
    run(make_study(weights, **fields), workspace=two, workers=2)
    assert read_numbers(one) == read_numbers(two)
    assert read_features(one) == read_features(two)
    # With draws: of training and of test images as they are evaluated, and two draws for each of two replicates.
    assert len(read_features(one)) == (6 if "transfer" in fields else 2)
    assert not list((one / "features").rglob("part-*"))


def test_killed_while_they_are_computed_a_run_ends_with_the_same_numbers(
    weights: Path, tmp_path: Path, read_numbers: Callable[..., dict[str, Any]]
) -> None:
    study, killed, whole = tmp_path / "study.yaml", tmp_path / "killed", tmp_path / "whole"
    fields = {"flip": True, "transfer": {"feature_draws": 3}, "name": "study"}
    study.write_text(json.dumps(make_study(weights, **fields).model_dump(mode="json", exclude_unset=True)))
    command = [sys.executable, "-m", "bakeoff", "run", str(study), "--workspace", str(killed), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list((killed / "features").glob("*/*.np*")):
        assert process.poll() is None, "it ended before the moment came"
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for workspace in (killed, whole):
        run(study, workspace=workspace, workers=2)
    assert read_numbers(killed) == read_numbers(whole)
    assert read_features(killed) == read_features(whole)
    assert not list((killed / "features").rglob("*part*"))


@dataclass
class Queue:
    """An executor that computes parts of features when it is polled, one at a time; nothing else."""

    folders: Folders
    behave: Callable[[FeaturesTask], Sequence[Report] | None] = lambda task: None
    submitted: list[Task] = field(default_factory=list)
    waiting: list[FeaturesTask] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)

    def submit(self, task: Task) -> None:
        self.submitted.append(task)
        if isinstance(task, FeaturesTask):
            self.waiting.append(task)

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        if not self.waiting:
            return []
        task = self.waiting.pop(0)
        reports = self.behave(task)
        if reports is not None:
            return reports
        self.computed.append(task.start)
        rows = np.full((min(task.file.part_rows, task.file.num_rows - task.start), 3), task.start, np.float32)
        save_part(self.folders, task.file, task.start, rows, seconds=1.0)
        return [Started(task_id=task.features_id), TaskDone(task_id=task.features_id)]

    def close(self) -> None: ...


@dataclass
class Opener:
    """Opens the digits, and records which splits were opened."""

    opened: list[str] = field(default_factory=list)

    def training(self, source: DataSource) -> Images:
        self.opened.append("train")
        return open_training(source)

    def test(self, source: DataSource) -> Images:
        self.opened.append("test")
        return DiskOpener(None).test(source)


@dataclass
class Scene:
    folders: Folders
    queue: Queue
    opener: Opener
    executor: FeatureExecutor
    said: list[str]

    def poll(self) -> list[Report]:
        """Poll until all parts are computed."""
        reports: list[Report] = []
        while self.queue.waiting:
            reports += self.executor.poll(0)
        return [*reports, *self.executor.poll(0)]

    @property
    def cohorts(self) -> list[Task]:
        return [task for task in self.queue.submitted if not isinstance(task, FeaturesTask)]


@pytest.fixture
def scene(folders: Folders) -> Callable[..., Scene]:
    def make(behave: Callable[[FeaturesTask], Sequence[Report] | None] = lambda task: None) -> Scene:
        queue, opener, said = Queue(folders, behave), Opener(), list[str]()
        return Scene(folders, queue, opener, FeatureExecutor(queue, folders, opener, "cpu", said.append), said)

    return make


@pytest.fixture
def cohort(weights: Path) -> CohortTask:
    recipe = make_study(weights).recipe
    member = Member(trial_id="ab" * 8, recipe=Recipe.model_validate(recipe))
    images = open_training("digits")
    view = DataView(source=DataSource(name="digits"), validation=0.2, fingerprint=images.fingerprint, seed=1)
    return CohortTask(cohort_id="cohort", label="digits", members=(member,), data=view, numeric="float32")


def list_starts() -> list[int]:
    return list(range(0, len(open_training("digits").labels), PART_IMAGES))


def test_a_cohort_starts_when_all_parts_are_there(scene: Callable[..., Scene], cohort: CohortTask) -> None:
    seen = scene()
    seen.executor.submit(cohort)
    assert seen.cohorts == []
    assert seen.poll() == []
    assert seen.queue.computed == list_starts()
    (started,) = seen.cohorts
    assert isinstance(started, CohortTask)
    assert started.features == tuple(path.name for path in seen.folders.features.iterdir())
    assert len(started.features) == 1
    seen.executor.submit(cohort)  # as after a lost worker
    assert len(seen.cohorts) == 2
    assert "test" not in seen.opener.opened


def test_what_a_killed_run_has_finished_is_kept(scene: Callable[..., Scene], cohort: CohortTask) -> None:
    killed, again = scene(), scene()
    killed.executor.submit(cohort)
    killed.executor.poll(0)
    killed.executor.poll(0)
    again.executor.submit(cohort)
    again.poll()
    assert (killed.queue.computed, again.queue.computed) == (list_starts()[:2], list_starts()[2:])
    assert len(again.cohorts) == 1


def test_killed_between_the_last_part_and_joining_nothing_is_computed(
    scene: Callable[..., Scene], cohort: CohortTask
) -> None:
    killed, again = scene(), scene()
    killed.executor.submit(cohort)
    while killed.queue.waiting:
        killed.queue.poll(0)
    again.executor.submit(cohort)
    assert again.queue.computed == []
    assert len(again.cohorts) == 1


def test_two_cohorts_share_their_features(scene: Callable[..., Scene], cohort: CohortTask) -> None:
    seen = scene()
    seen.executor.submit(cohort)
    seen.executor.submit(cohort)
    seen.poll()
    assert seen.queue.computed == list_starts()
    assert len(seen.cohorts) == 2


def test_a_lost_part_is_computed_again_and_then_left_to_its_cohort(
    scene: Callable[..., Scene], cohort: CohortTask
) -> None:
    lost: list[int] = []

    def lose(task: FeaturesTask) -> Sequence[Report] | None:
        if task.start != 0 or len(lost) == most:
            return None
        lost.append(0)
        return [TaskLost(task_id=task.features_id, died=True, reason="gone")]

    most = MOST_LOSSES - 1
    seen = scene(lose)
    seen.executor.submit(cohort)
    assert seen.poll() == []
    assert sorted(seen.queue.computed) == list_starts()
    lost.clear()
    for path in seen.folders.features.rglob("*.*"):
        path.unlink()
    most = MOST_LOSSES
    seen = scene(lose)
    seen.executor.submit(cohort)
    assert seen.poll() == []
    assert len(seen.cohorts) == 1
    assert not list(seen.folders.features.rglob("features.npy"))


def test_a_full_disk_is_the_end_of_all_that_wait(scene: Callable[..., Scene], cohort: CohortTask) -> None:
    def fail(task: FeaturesTask) -> Sequence[Report]:
        return [TaskLost(task_id=task.features_id, died=False, reason="full", is_final=True)]

    seen = scene(fail)
    seen.executor.submit(cohort)
    reports = seen.poll()
    assert reports == [TaskLost(task_id=task_id(cohort), died=False, reason="full", is_final=True)]
    assert seen.cohorts == []


def test_test_images_are_counted_for_a_final_test_alone(scene: Callable[..., Scene], cohort: CohortTask) -> None:
    seen = scene()
    seen.executor.submit(cohort)
    seen.poll()
    assert set(seen.opener.opened) == {"train"}
    final = FinalTestTask(
        final_test_id="final", label="", members=cohort.members, data=cohort.data, numeric=cohort.numeric
    )
    seen.executor.submit(final)
    seen.poll()
    parts = [task for task in seen.queue.submitted if isinstance(task, FeaturesTask)]
    assert {part.file.split for part in parts} == {"train", "test"}
    assert isinstance(seen.cohorts[-1], FinalTestTask)


def test_features_computed_before_are_used(scene: Callable[..., Scene], cohort: CohortTask, folders: Folders) -> None:
    (file,) = list_feature_files(cohort, open_training("digits"), "cpu")
    for start in file.starts:
        save_part(folders, file, start, np.zeros((min(PART_IMAGES, file.num_rows - start), 3), np.float32), seconds=1)
    assert join_parts(folders, file)
    seen = scene()
    seen.executor.submit(cohort)
    assert seen.queue.submitted == [seen.cohorts[0]]


def test_trials_without_the_setting_keep_their_identity() -> None:
    plain = {"weights": "imagenet", "freeze": "always"}
    assert "feature_draws" not in Transfer.model_validate(plain).model_dump(mode="json")
    assert Transfer.model_validate({**plain, "feature_draws": 4}).model_dump(mode="json")["feature_draws"] == 4
