"""Small images that can be learned, cohorts to train on them, and a way to compare what was reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.catalog.recipe import Recipe
from bakeoff.data.source import DataSource
from bakeoff.data.store import Images
from bakeoff.engine.cohort import train_cohort
from bakeoff.engine.device_context import CPU, DeviceContext, PlainCapture, Step
from bakeoff.messages import CohortTask, DataView, EpochDone, Event, Member, TaskDone

NUM_CLASSES = 4
SEED = 20_240_229_001  # more than 32 bits, as a replicate's seed has

# What the clock says; all else must repeat.
CLOCK = ("seconds", "images_per_second", "replayed")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=["batch by batch", "prepared"])
def context(request: pytest.FixtureRequest) -> DeviceContext:
    """Both ways to train: a processor's, and a device's on a processor."""
    if request.param == "batch by batch":
        return CPU
    return replace(
        CPU,
        prepared=True,
        evaluation_batch=50,
        resident_bytes=10**9,
        piece_bytes=20_000,
        capture=PlainCapture(),
    )


class CountingCapture(PlainCapture):
    """Replays by calling, and counts what it recorded and replayed."""

    def __init__(self) -> None:
        self.num_recorded = self.num_replayed = 0

    def capture(self, step: Step, generators: Sequence[torch.Generator]) -> Step:
        self.num_recorded += 1

        def replay() -> None:
            self.num_replayed += 1
            step()

        return replay


@pytest.fixture
def capture() -> CountingCapture:
    return CountingCapture()


@pytest.fixture
def images() -> Images:
    """200 images of 9 x 8 pixels in two channels: one pattern a class, under noise."""
    generator = np.random.default_rng(5)
    patterns = generator.uniform(0, 255, (NUM_CLASSES, 9, 8, 2))
    labels = np.arange(200) % NUM_CLASSES
    noisy = patterns[labels] + generator.normal(0, 90, (200, 9, 8, 2))
    pixels = noisy.clip(0, 255).astype(np.uint8)
    pixels.flags.writeable = labels.flags.writeable = False
    return Images(pixels=pixels, labels=labels, class_names=tuple("abcd"), fingerprint="f" * 64)


@pytest.fixture
def make_task() -> Callable[..., CohortTask]:
    """Make a cohort of named recipes: `make_task(a=recipe, b=recipe)`; the trial ids are the names."""

    def make(
        recipes: Mapping[str, Recipe],
        *,
        cohort_id: str = "cohort",
        seed: int = SEED,
        numeric: str = "float32",
        finished: Iterable[str] = (),
        **rest: Any,
    ) -> CohortTask:
        return CohortTask(
            cohort_id=cohort_id,
            label="a block, replicate 1",
            members=tuple(Member(trial_id=name, recipe=recipe) for name, recipe in recipes.items()),
            data=DataView(source=DataSource(name="digits"), validation=0.2, fingerprint="f" * 64, seed=seed),
            numeric=numeric,  # type: ignore[arg-type]
            finished=frozenset(finished),
            **rest,
        )

    return make


@pytest.fixture
def train(
    images: Images, make_task: Callable[..., CohortTask], tmp_path: Path
) -> Callable[..., dict[Any, dict[str, Any]]]:
    """Train recipes as one cohort and return what was reported: `train({"a": recipe}, folder="alone")`."""

    def run(recipes: Mapping[str, Recipe], folder: str = "workspace", **rest: Any) -> dict[Any, dict[str, Any]]:
        events: list[Event] = []
        train_cohort(make_task(recipes, **rest), images, tmp_path / folder, events.append)
        assert events[-1] == TaskDone(task_id=rest.get("cohort_id", "cohort"))
        return _tabulate(events)

    return run


@pytest.fixture
def tabulate() -> Callable[[Sequence[Event]], dict[Any, dict[str, Any]]]:
    """Turn events into rows as a ledger would, without what the clock says: the last report of a thing counts."""
    return _tabulate


def _tabulate(events: Sequence[Event]) -> dict[Any, dict[str, Any]]:
    rows: dict[Any, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, TaskDone):
            continue
        key = (event.trial_id, event.epoch) if isinstance(event, EpochDone) else event.trial_id  # type: ignore[union-attr]
        rows[key] = {name: value for name, value in asdict(event).items() if name not in CLOCK}
    return rows


class Interrupted(Exception):
    """The connection broke."""


@pytest.fixture
def interrupt() -> Callable[[CohortTask, Images, Path, int], None]:
    """Train a cohort until it has reported a number of events, then stop it: `interrupt(task, images, folder, 2)`."""

    def train_until(task: CohortTask, images: Images, folder: Path, num_events: int) -> None:
        events: list[Event] = []

        def receive(event: Event) -> None:
            events.append(event)
            if len(events) == num_events:
                raise Interrupted

        with pytest.raises(Interrupted):
            train_cohort(task, images, folder, receive)

    return train_until
