"""What execution tests share: a cache of their own, small plans, an executor that follows a script, an observer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bakeoff.catalog.numeric_modes import Modes
from bakeoff.data.store import open_training
from bakeoff.driver import probe_cache
from bakeoff.driver.context import OpenRun, RunContext
from bakeoff.driver.devices import CPU_DEVICE
from bakeoff.driver.executors.base import Report, Started, TaskLost
from bakeoff.driver.facts import ImageFacts
from bakeoff.driver.loop import Driver
from bakeoff.ledger.store import Ledger
from bakeoff.messages import (
    CheckDone,
    CheckTask,
    CohortTask,
    EpochDone,
    FinalTestDone,
    FinalTestTask,
    Member,
    ProbeDone,
    ProbeTask,
    Task,
    TaskDone,
    TrialDone,
    task_id,
)
from bakeoff.search.grid import Grid
from bakeoff.search.strategy import TrialOutcome
from bakeoff.study.plan import Plan, PlannedTrial, expand
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

NUMBERS = {
    "trials": "id, state, reason, num_epochs, best_epoch, stop, num_parameters, metrics, content, cohort_id",
    "epochs": "trial_id, epoch, train, validation, times_trained",
    "exam_results": "trial_id, metrics, fingerprint",
    "placements": "study_id, position, trial_id, block, arm, replicate, stage",
    "candidates": "*",
    "pauses": "*",
}
"""Everything in a ledger but when, where and how long, by table."""

Behave = Callable[[Any, int], Sequence[Report]]
"""What a task reports, given how often it was submitted before."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "bakeoff-cache"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    """Share decoded images, but not probes, whose results tests invent."""
    monkeypatch.setenv("BAKEOFF_CACHE", str(cache))
    monkeypatch.setattr(probe_cache, "cache_folder", lambda: tmp_path / "machine")


@pytest.fixture
def facts(_own_cache: None) -> ImageFacts:
    """The facts of the digits, really opened: a worker checks the fingerprint."""
    return ImageFacts.of_images(open_training("digits"))


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    def make(arms: int | list[Any] = 3, replicates: int = 1, **fields: Any) -> Plan:
        rates = [round(0.001 * (number + 1), 3) for number in range(arms)] if isinstance(arms, int) else []
        recipe = {"network": {"name": "mlp", "units": [8]}, "epochs": 2, **fields.pop("recipe", {})}
        listed = [{"optimizer.learning_rate": rates}] if isinstance(arms, int) else arms
        values = {"arms": listed, "numeric": "float32", **fields}
        return expand(Study(question="Which?", recipe=recipe, replicates=replicates, **values))

    return make


def epoch_done(member: Member, epoch: int = 1, *, replayed: bool = False) -> EpochDone:
    return EpochDone(
        trial_id=member.trial_id,
        epoch=epoch,
        train={"loss": 1.0},
        validation={"accuracy": 0.5},
        seconds=0.1,
        images_per_second=1.0,
        replayed=replayed,
    )


def trial_done(member: Member) -> TrialDone:
    return TrialDone(
        trial_id=member.trial_id,
        num_epochs=2,
        best_epoch=2,
        stop="epochs",
        seconds=0.2,
        num_parameters=1,
        metrics={"train": {"accuracy": 0.6}, "validation": {"accuracy": 0.5}},
    )


def succeed(task: Task, attempt: int = 0) -> list[Report]:
    """Report what a worker reports when all goes well."""
    reports: list[Report] = []
    if isinstance(task, CohortTask):
        reports += [epoch_done(member, epoch) for epoch in (1, 2) for member in task.members]
        reports += [trial_done(member) for member in task.members]
    elif isinstance(task, FinalTestTask):
        reports += [
            FinalTestDone(trial_id=m.trial_id, metrics={"accuracy": 0.4}, fingerprint="f") for m in task.members
        ]
    elif isinstance(task, CheckTask):
        reports.append(CheckDone(check_id=task.check_id, problem=""))
    else:
        reports.append(probe_done(task))
    return [*reports, TaskDone(task_id=task_id(task))]


def probe_done(
    task: ProbeTask, *, fast: float = 0.5, agrees: bool = True, alone: float = 0.9, turns: float = 0.0
) -> ProbeDone:
    return ProbeDone(
        probe_id=task.probe_id,
        seconds_per_step={"float32": 1.0, "bfloat16": fast},
        relative_difference=0.01,
        agrees=agrees,
        num_members=len(task.members),
        seconds_alone={"float32": alone, "bfloat16": alone * fast} if len(task.members) > 1 else {},
        seconds_in_turn={"bfloat16": turns * fast} if turns else {},
    )


@pytest.fixture(scope="session")
def read_numbers() -> Callable[..., dict[str, Any]]:
    """Return a function that reads what a workspace's runs computed: by table, without some columns; and the files."""

    def read(workspace: Path, *, without: Sequence[str] = ()) -> dict[str, Any]:
        chosen = {
            table: ", ".join(column for column in columns.split(", ") if column not in without)
            for table, columns in NUMBERS.items()
        }
        with closing(sqlite3.connect(Folders(workspace).ledger)) as connection:
            found = {name: set(connection.execute(f"SELECT {chosen[name]} FROM {name}")) for name in NUMBERS}
        files = {path.relative_to(workspace): path.read_bytes() for path in (workspace / "trials").rglob("*.*")}
        return {**found, "files": files}

    return read


class ScriptedExecutor:
    """Runs nothing: each poll reports what the script says of the next task, one report at a time with `trickle`."""

    def __init__(self, behave: Behave = succeed, *, trickle: bool = False) -> None:
        self.submitted: list[Any] = []
        self.num_prepared = 0
        self.polls = 0
        self._behave, self._trickle = behave, trickle
        self._attempts: dict[str, int] = {}
        self._waiting: list[Report] = []

    def prepare(self, num_tasks: int) -> None:
        self.num_prepared = num_tasks

    def submit(self, task: Task) -> None:
        attempt = self._attempts.get(task_id(task), 0)
        self._attempts[task_id(task)] = attempt + 1
        self.submitted.append(task)
        self._waiting += [Started(task_id=task_id(task)), *self._behave(task, attempt)]

    def poll(self, timeout_seconds: float) -> Sequence[Report]:
        self.polls += 1
        assert self.polls < 10_000, "polled without end"
        number = 1 if self._trickle else len(self._waiting)
        reports, self._waiting = self._waiting[:number], self._waiting[number:]
        return reports

    def close(self) -> None:
        self._waiting.clear()


@dataclass
class Watcher:
    """An observer that remembers."""

    messages: list[str] = field(default_factory=list)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    spared: int = 0
    running: list[str] = field(default_factory=list)
    started: dict[str, int] = field(default_factory=dict)

    seen: list[tuple[str, str, int, dict[str, float]]] = field(default_factory=list)
    replayed: int = 0
    searches: list[Any] = field(default_factory=list)
    recorded: list[tuple[str, str, int]] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        self.started = {"trials": num_trials, "images": num_model_images, "reused": num_reused}

    def cohort_started(self, label: str, num_members: int) -> None:
        self.running.append(label)

    def epoch_done(self, label: str, *, epoch: int, replayed: bool = False, **rest: int) -> None:
        self.epochs.append((label, epoch))
        self.replayed += replayed

    def trial_seen(self, trial: PlannedTrial, *, state: str, epoch: int, validation: Mapping[str, float]) -> None:
        self.seen.append((trial.arm, state, epoch, dict(validation)))

    def trial_recorded(self, trial: PlannedTrial, *, trial_id: str, state: str, epoch: int, **metrics: Any) -> None:
        self.recorded.append((trial_id, state, epoch))

    def trial_tested(self, trial_id: str, **scores: Any) -> None:
        self.tested.append(trial_id)

    def study_opened(self, **facts: Any) -> None: ...

    def search_seen(self, searches: Sequence[Any]) -> None:
        self.searches.append(searches)

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        self.ended.append(not failed)
        self.spared += num_images_spared

    def cohort_done(self, label: str) -> None:
        if label in self.running:
            self.running.remove(label)

    def message(self, text: str) -> None:
        self.messages.append(text)


class ListeningGrid(Grid):
    """A grid that remembers what it was told."""

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        super().__init__(trials)
        self.told: list[TrialOutcome] = []

    def tell(self, told: TrialOutcome) -> None:
        self.told.append(told)


@dataclass
class Drive:
    """Drives trials with a scripted executor; again on the same ledger when called again."""

    ledger: Ledger
    folders: Folders
    facts: ImageFacts
    watcher: Watcher = field(default_factory=Watcher)

    def __call__(self, trials: Sequence[PlannedTrial], behave: Behave = succeed, **options: Any) -> Any:
        executor = ScriptedExecutor(behave, trickle=options.pop("trickle", False))
        strategy = options.pop("strategy", None) or ListeningGrid(trials)
        context = RunContext(
            workspace=self.folders.root,
            executor=executor,
            observer=self.watcher,
            device=options.pop("device", CPU_DEVICE),
        )
        datasets = {trial.data.source: self.facts for trial in trials}
        run = OpenRun(context=context, study_id="drive", ledger=self.ledger, datasets=datasets)
        Driver(strategy, run, options.pop("modes", Modes(common="float32"))).run()
        return executor.submitted, strategy.told

    def states(self) -> dict[str, str]:
        return dict(self.ledger.connection.execute("SELECT id, state FROM trials").fetchall())

    def incidents(self) -> list[str]:
        return [row[0] for row in self.ledger.connection.execute("SELECT kind FROM incidents ORDER BY rowid")]


@pytest.fixture
def drive(ledger: Ledger, folders: Folders, facts: ImageFacts) -> Drive:
    return Drive(ledger, folders, facts)


@pytest.fixture
def lose() -> Callable[..., list[Report]]:
    """Report a task as lost, after what its members had finished."""

    def make(
        task: Task, *, died: bool, reason: str = "gone", finished: Sequence[Member] = (), out_of_memory: bool = False
    ) -> list[Report]:
        reports: list[Report] = [trial_done(member) for member in finished]
        lost = TaskLost(task_id=task_id(task), died=died, reason=reason, out_of_memory=out_of_memory)
        return [*reports, lost]

    return make


@pytest.fixture
def script() -> Any:
    """The building blocks of a script."""

    class Script:
        epoch_done = staticmethod(epoch_done)
        trial_done = staticmethod(trial_done)
        probe_done = staticmethod(probe_done)
        succeed = staticmethod(succeed)
        Executor = ScriptedExecutor
        Watcher = Watcher
        Grid = ListeningGrid

    return Script
