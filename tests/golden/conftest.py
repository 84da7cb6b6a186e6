"""Compares what bakeoff prints with the golden texts, and a workspace with made-up results that takes no training."""

from __future__ import annotations

import difflib
import io
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bakeoff import cli
from bakeoff.data.opener import DiskOpener
from bakeoff.driver.executors.base import Report, Started
from bakeoff.messages import (
    CohortTask,
    DataView,
    EpochDone,
    FinalTestDone,
    FinalTestTask,
    Member,
    Task,
    TaskDone,
    TrialDone,
    TrialFailed,
    task_id,
)
from bakeoff.stats.metrics import classification_metrics
from bakeoff.workspace import Folders, save_predictions

TEXTS = Path(__file__).parent / "texts"

MASKS = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "YYYY-MM-DD hh:mm"),
    (r"\b(?=\w*\d)[0-9a-f]{64}\b", "<sha256>"),
    (r"-[0-9a-f]{8}/", "-<id>/"),
    (r"^[0-9a-f]{8}(?=  )", "<id>"),
    (r"\d+\.\d GiB free", "N GiB free"),
    (r"(no folder '\w+' in) .*\.( \[\w+\])$", r"\1 ...\2"),
)
"""Patterns of what differs between machines and days, and what stands for it in the golden texts."""


@dataclass(frozen=True)
class Golden:
    """Compares a text with the golden one of a name, or replaces that with --update-golden."""

    update: bool

    def __call__(self, name: str, text: str) -> None:
        path = TEXTS / f"{name}.txt"
        found = mask(text)
        if self.update:
            path.write_text(found, encoding="utf-8", newline="\n")
            return
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != expected:
            lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), path.name, "now", lineterm="")
            remedy = "If the new wording is meant: scripts/test tests/golden --update-golden"
            pytest.fail("\n".join([*lines, "", remedy]), pytrace=False)


def mask(text: str) -> str:
    """Replace what differs between machines and days; drop spaces at ends of lines."""
    for pattern, label in MASKS:
        text = re.sub(pattern, label, text, flags=re.MULTILINE)
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip("\n").split("\n"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=request.config.getoption("--update-golden"))


Command = Callable[..., str]


@pytest.fixture(scope="module")
def command() -> Command:
    """Return a function that runs a command, 80 columns wide; it returns both outputs, standard error first."""

    def run(*arguments: str, status: int = 0) -> str:
        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
            patch.setattr("sys.argv", ["bakeoff", *arguments])
            patch.setattr(sys.modules["__main__"], "__package__", None, raising=False)  # else help names pytest
            patch.setattr("bakeoff.cli.handle_interrupts", lambda: None)
            patch.setenv("COLUMNS", "80")
            patch.setenv("TERMINAL_WIDTH", "80")
            found = cli.main()
        assert found == status, errors.getvalue()
        return errors.getvalue() + output.getvalue()

    return run


class MadeUpResults:
    """Trains nothing: an arm gets the more answers right, the nearer its learning rate is to 0.01.

    Attributes:
        num_trials: the trials it finishes before an interrupt, as by Ctrl-C.
    """

    num_workers = 1
    num_trials = 1_000

    def __init__(self, num_workers: int, workspace: Path, data_dir: Path | None, devices: Sequence[str]) -> None:
        self._folders, self._opener = Folders(workspace), DiskOpener(data_dir)
        self._reports: list[Report] = []
        self._is_interrupted = False

    def prepare(self, num_tasks: int) -> None:
        pass

    def submit(self, task: Task) -> None:
        assert isinstance(task, CohortTask | FinalTestTask)
        self._reports += [Started(task_id=task_id(task)), *self._perform(task), TaskDone(task_id=task_id(task))]

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        if self._is_interrupted:
            raise KeyboardInterrupt
        reports, self._reports = self._reports, []
        ends = [n + 1 for n, report in enumerate(reports) if isinstance(report, TrialDone)]
        self._is_interrupted = len(ends) > self.num_trials
        return reports[: ends[self.num_trials - 1]] if self._is_interrupted else reports

    def close(self) -> None:
        self._reports.clear()

    def _perform(self, task: CohortTask | FinalTestTask) -> Iterator[Report]:
        for member in task.members:
            view = member.view or task.data
            if isinstance(task, FinalTestTask):
                scores = self._answer(member, view, "test")
                yield FinalTestDone(trial_id=member.trial_id, metrics=scores, fingerprint="the test images")
            elif member.recipe.optimizer.learning_rate > 1:
                yield TrialFailed(trial_id=member.trial_id, reason="loss became NaN in epoch 1", diverged=True)
            else:
                yield from self._train(member, view)

    def _train(self, member: Member, view: DataView) -> Iterator[Report]:
        scores = self._answer(member, view, "validation")
        for epoch in (1, 2):
            shown = {name: value * epoch / 2 for name, value in scores.items()}
            yield EpochDone(
                trial_id=member.trial_id,
                epoch=epoch,
                train=shown,
                validation=shown,
                seconds=0.5,
                images_per_second=2_000.0,
            )
        weights = self._folders.weights(member.trial_id)
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes((2).to_bytes(8, "little") + b"{}")  # safetensors without a tensor
        yield TrialDone(
            trial_id=member.trial_id,
            num_epochs=2,
            best_epoch=2,
            stop="epochs",
            seconds=1.0,
            num_parameters=610,
            metrics={"train": scores, "validation": scores},
        )

    def _answer(self, member: Member, view: DataView, split: str) -> dict[str, float]:
        """Store made-up predictions on the first 150 images; return their metrics."""
        images = self._opener.test(view.source) if split == "test" else self._opener.training(view.source)
        rate = member.recipe.optimizer.learning_rate
        generator = np.random.default_rng(
            [view.seed % 2**32, round(rate * 1e6), member.recipe.batch_size, split == "test"]
        )
        labels = np.asarray(images.labels[:150], np.int64)
        right = generator.random(150) < 0.95 - 0.1 * abs(np.log10(rate) + 2) + generator.normal(0, 0.01)
        answers = np.where(right, labels, (labels + generator.integers(1, 10, 150)) % 10)
        probabilities = np.full((150, 10), 0.02, np.float32)
        probabilities[np.arange(150), answers] = 0.82
        save_predictions(self._folders.predictions(member.trial_id, split), probabilities, labels, np.arange(150))
        return classification_metrics(probabilities, labels)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[MadeUpResults]]:
    """Stand in an empty folder, where every run gets made-up results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.api.LocalExecutor", MadeUpResults)
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.getbasetemp() / "bakeoff-cache"))
        patch.delenv("BAKEOFF_DATA", raising=False)
        patch.chdir(tmp_path_factory.mktemp("golden"))
        yield MadeUpResults


@pytest.fixture(scope="module")
def forget_machine() -> Callable[[Path], None]:
    """Return a function that replaces in a ledger what this machine left: hardware, versions, how long a run took."""
    return _forget_machine


def _forget_machine(ledger: Path) -> None:
    machine = (
        '{"bakeoff": "1.2.3", "cores": "2 cores", "memory": "8 GiB memory", "numpy": "2.0", "processor": "a CPU", '
        '"python": "3.11", "scipy": "1.11", "system": "Linux", "torch": "2.9"}'
    )
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE trials SET machine = ?", (machine,))
        connection.execute("UPDATE studies SET seconds = 12")
