"""Shows a study in an experiment tracker while it runs, in a thread of its own, or afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from bakeoff.driver.observer import BaseObserver, Conclusion
from bakeoff.errors import BakeoffError, MissingPackageError, TrackerError
from bakeoff.extras import how_to_install
from bakeoff.ledger.read import open_reading
from bakeoff.registry import bind
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.trackers.mirror import Mirror, describe_study
from bakeoff.trackers.records import Tracker
from bakeoff.workspace import Folders

_MOST_CHARACTERS = 200


class LogError(TrackerError):
    """A study could not be logged to a tracker."""


class StudyLogger(BaseObserver):
    """An observer that shows a study in a tracker.

    Events only mark trials as changed; a thread reads these from the ledger and shows them. So a slow tracker holds up
    nothing, what waits is bounded by the number of trials, and a resumed study continues where the tracker stands.

    Args:
        name: the tracker's name, for messages.
        tracker: where to show the study.

    Attributes:
        is_quiet: it shows no messages.
        interval_seconds: time between two updates of the tracker.
        patience_seconds: how long the end of a run waits for a tracker that takes nothing.
        most_seconds: how long it waits in total.
        interrupted_seconds: how long it waits in total after an interrupt.
    """

    is_quiet = True
    interval_seconds = 1.0
    patience_seconds = 60.0
    most_seconds = 600.0
    interrupted_seconds = 5.0

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name, self._tracker = name, tracker
        self._lock = threading.Lock()
        self._changed: dict[str, _Change] = {}
        self._ending = threading.Event()
        self._conclusion: Conclusion | None = None
        self._failure: BaseException | None = None
        self._mirror: Mirror | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StudyLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all is shown.

        Raises:
            LogError: not all is, because the tracker failed or takes too long.
        """
        self._ending.set()
        if self._thread is not None:
            self._wait(self._thread, self.most_seconds if kind is None else self.interrupted_seconds)
        self._check()

    def study_opened(self, *, study_id: str, workspace: Path, plan: Plan) -> None:
        """Start the thread."""
        self._check()
        arguments = (study_id, Folders(workspace), plan)
        self._thread = threading.Thread(target=self._follow, args=arguments, name=f"log to {self.name}", daemon=True)
        self._thread.start()

    def trial_recorded(
        self, trial: PlannedTrial, *, trial_id: str, epoch: int, state: str = "training", **facts: Any
    ) -> None:
        """Mark a trial as changed."""
        self._check()
        change = _Change(trial, epoch, state not in ("training", "paused"))
        with self._lock:
            self._changed[trial_id] = change

    def trial_tested(self, trial_id: str, **scores: Any) -> None:
        """Do nothing: all scores of the final test are read together at the end."""
        self._check()

    def run_done(self, conclusion: Conclusion) -> None:
        """Keep the conclusion for the end."""
        self._check()
        self._conclusion = conclusion

    def log_now(self, study_id: str, folders: Folders, plan: Plan | None, conclusion: Conclusion) -> int:
        """Show a study from its ledger; return the number of its trials in the tracker.

        Raises:
            LogError: the tracker failed.
        """
        try:
            mirror = self._open(study_id, folders, plan)
            self._conclude(mirror, folders, conclusion)
            self._tracker.close()
        except Exception as error:
            raise LogError(f"{self.name}: {_describe(error)}") from error
        return mirror.num_trials

    def _check(self) -> None:
        """Raise the exception that ended the thread, once."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise LogError(f"{_describe(failure)} {self._remedy}") from failure

    @property
    def _remedy(self) -> str:
        return f"(`bakeoff log STUDY --to {self.name}:...` logs the rest later)"

    def _wait(self, thread: threading.Thread, most_seconds: float) -> None:
        start = last = time.monotonic()
        num_sent = -1
        while thread.is_alive():
            thread.join(0.1)
            now, sent = time.monotonic(), 0 if self._mirror is None else self._mirror.num_sent
            if sent != num_sent:
                num_sent, last = sent, now
            if now - start > most_seconds or now - last > self.patience_seconds:
                raise LogError(f"gave up after {now - start:.0f} s, not all is logged {self._remedy}")

    def _follow(self, study_id: str, folders: Folders, plan: Plan) -> None:
        """Show what changes until the run ends: the thread."""
        try:
            mirror = self._open(study_id, folders, plan)
            if self._tracker.is_live:
                self._update(mirror, folders)
                while not self._ending.wait(self.interval_seconds):
                    self._update_changed(mirror, folders)
            else:
                self._ending.wait()
            if self._conclusion is not None:
                self._conclude(mirror, folders, self._conclusion)
            self._tracker.close()
        except BaseException as error:  # libraries raise SystemExit too; the driver's thread says what happened
            self._failure = error

    def _open(self, study_id: str, folders: Folders, plan: Plan | None) -> Mirror:
        with open_reading(folders) as connection:
            study = describe_study(connection, study_id)
        self._tracker.open(study)
        self._mirror = Mirror(self._tracker, study, plan)
        return self._mirror

    def _update(self, mirror: Mirror, folders: Folders, known: Mapping[str, PlannedTrial] | None = None) -> None:
        with open_reading(folders) as connection:
            mirror.update(connection, known)

    def _update_changed(self, mirror: Mirror, folders: Folders) -> None:
        with self._lock:
            changed, self._changed = self._changed, {}
        if not changed:
            return
        self._update(mirror, folders, {trial_id: each.planned for trial_id, each in changed.items()})
        early = {
            trial_id: each
            for trial_id, each in changed.items()
            if not mirror.shows(trial_id, each.epoch, has_ended=each.has_ended)
        }
        with self._lock:  # events come before the end of the transaction that writes them
            self._changed = {**early, **self._changed}

    def _conclude(self, mirror: Mirror, folders: Folders, conclusion: Conclusion) -> None:
        self._update(mirror, folders)
        self._tracker.conclude(conclusion)


@dataclass(frozen=True)
class _Change:
    """A trial that changed, and the epoch and ending that the ledger has or will have."""

    planned: PlannedTrial
    epoch: int
    has_ended: bool


def _describe(error: BaseException) -> str:
    """Return an exception in one line."""
    said = str(error) if isinstance(error, BakeoffError) else f"{type(error).__name__}: {error}"
    said = " ".join(said.split())
    return said if len(said) <= _MOST_CHARACTERS else f"{said[: _MOST_CHARACTERS - 3]}..."


def _make_logger(package: str, tracker: str, target: str) -> StudyLogger:
    """Make a logger for a tracker of ours, `module:class`, that needs a package and has an extra of the same name.

    Raises:
        BakeoffError: the package is not installed, or the target cannot be used.
    """
    if find_spec(package) is None:
        raise MissingPackageError(f"{package} is not installed: {how_to_install(package)}")
    return StudyLogger(package, bind(tracker)(target))


log_to_tensorboard = partial(_make_logger, "tensorboard", "bakeoff.trackers.tensorboard:TensorBoard")
log_to_mlflow = partial(_make_logger, "mlflow", "bakeoff.trackers.mlflow:MLflow")
log_to_trackio = partial(_make_logger, "trackio", "bakeoff.trackers.wandb:Trackio")
log_to_wandb = partial(_make_logger, "wandb", "bakeoff.trackers.wandb:WandB")
