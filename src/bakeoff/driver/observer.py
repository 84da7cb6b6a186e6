"""The interface for showing or recording a run's progress."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, cast

from bakeoff.driver.interrupts import was_interrupted
from bakeoff.driver.searches import SearchProgress
from bakeoff.errors import BakeoffError, TrackerError, UnknownNameError, nearest
from bakeoff.registry import Implementation, Registry, bind
from bakeoff.search.strategy import Ending
from bakeoff.study.plan import Plan, PlannedTrial

_MOST_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The result of a run, once its reports are written.

    Attributes:
        state: of the study: done; failed (some trials failed); unfinished.
        answers: the answer to the study's question in every block, by the block's label.
        overall: one sentence over all blocks; empty for a single block.
        report_path, html_path: the reports; None if they could not be written.
    """

    state: Literal["done", "failed", "unfinished"]
    answers: Mapping[str, str]
    overall: str
    report_path: Path | None
    html_path: Path | None

    @property
    def sentences(self) -> list[str]:
        """The answers, each with its block if there are several, and the sentence over all blocks."""
        if len(self.answers) == 1:
            return list(self.answers.values())
        return [*(f"{block}: {answer}" for block, answer in self.answers.items()), *filter(None, [self.overall])]


class Observer(Protocol):
    """Receives a run's progress."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort has started training."""

    def epoch_done(
        self,
        label: str,
        *,
        epoch: int,
        num_epochs: int,
        num_members: int,
        num_model_images: int,
        replayed: bool = False,
    ) -> None:
        """A member of a cohort has finished an epoch; `replayed`: in an earlier run, read from its checkpoint."""

    def trial_seen(
        self, trial: PlannedTrial, *, state: Ending | Literal["training"], epoch: int, validation: Mapping[str, float]
    ) -> None:
        """A trial has made progress, or was found in the ledger. Epoch 0 if unknown.

        The validation metrics are those of the epoch during training, and of the stored weights at the end.
        """

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """A trial has ended."""

    def cohort_done(self, label: str) -> None:
        """A cohort has ended."""

    def message(self, text: str) -> None:
        """A message for the user."""


class RunObserver(Observer, Protocol):
    """Receives a run's progress from its start."""

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        """The run starts; trials in the ledger are not trained again. A search plans more as it goes."""

    def search_seen(self, searches: Sequence[SearchProgress]) -> None:
        """The searches of a study have made progress; one entry per block."""


class RecordingObserver(RunObserver, Protocol):
    """Receives also what the ledger records. An observer may implement any of these methods, or none."""

    def study_opened(self, *, study_id: str, workspace: Path, plan: Plan) -> None:
        """The study is in the ledger of this workspace; before `start`."""

    def trial_recorded(
        self,
        trial: PlannedTrial,
        *,
        trial_id: str,
        state: Ending | Literal["training"],
        epoch: int,
        train: Mapping[str, float],
        validation: Mapping[str, float],
    ) -> None:
        """The same as `trial_seen`, once per trial, with its id and training metrics, which are empty at the end.

        The ledger has it as soon as the driver's transaction ends.
        """

    def trial_tested(self, trial_id: str, *, test: Mapping[str, float], held_out: Mapping[str, float] | None) -> None:
        """A trial has been evaluated on the test split and, with folds, on its held-out fold."""

    def run_done(self, conclusion: Conclusion) -> None:
        """The run has ended without an interruption."""


OPTIONAL_METHODS = frozenset(name for name in vars(RecordingObserver) if not name.startswith("_"))
"""Methods that an observer may lack: it then misses these events."""


class BaseObserver:
    """An observer that does nothing: derive yours from it, and override what you need."""

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        """Do nothing."""

    def study_opened(self, *, study_id: str, workspace: Path, plan: Plan) -> None:
        """Do nothing."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """Do nothing."""

    def epoch_done(self, label: str, **facts: Any) -> None:
        """Do nothing."""

    def trial_seen(self, trial: PlannedTrial, **facts: Any) -> None:
        """Do nothing."""

    def trial_recorded(self, trial: PlannedTrial, *, trial_id: str, epoch: int, **facts: Any) -> None:
        """Do nothing."""

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """Do nothing."""

    def trial_tested(self, trial_id: str, *, test: Mapping[str, float], held_out: Mapping[str, float] | None) -> None:
        """Do nothing."""

    def cohort_done(self, label: str) -> None:
        """Do nothing."""

    def search_seen(self, searches: Sequence[SearchProgress]) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""

    def run_done(self, conclusion: Conclusion) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class ObserverRecord:
    """One observer that can be chosen by name.

    Attributes:
        name: its name in `run` and its options `--observer` and, with a target, `--log`.
        summary: what it shows or records, in one line.
        make: `module:class`, or a function, that makes a `RunObserver`; called without arguments, or with the target.
        target: what it logs to, such as DIR or URI, for messages; empty if it takes no target.
    """

    name: str
    summary: str
    make: Implementation
    target: str = ""

    @property
    def form(self) -> str:
        """How it is chosen: its name, and its target if it has one."""
        return f"{self.name}:{self.target}" if self.target else self.name


_OURS: tuple[ObserverRecord, ...] = (
    ObserverRecord("progress", "shows the run's progress on standard error", "bakeoff.report.progress:RunProgress"),
    ObserverRecord("tensorboard", "logs to TensorBoard", "bakeoff.trackers.logger:log_to_tensorboard", "DIR"),
    ObserverRecord("mlflow", "logs to MLflow", "bakeoff.trackers.logger:log_to_mlflow", "URI"),
    ObserverRecord("trackio", "logs to Trackio", "bakeoff.trackers.logger:log_to_trackio", "PROJECT"),
    ObserverRecord("wandb", "logs to Weights & Biases", "bakeoff.trackers.logger:log_to_wandb", "PROJECT"),
)

OBSERVERS: Registry[ObserverRecord] = Registry("observer", _OURS, "bakeoff.observers")


class Observers:
    """Several observers as one: every call is passed on to all of them, in order.

    One that raises an exception is dropped with a warning, and the run continues; a KeyboardInterrupt ends the run.

    Args:
        observers: by label, for warnings.
    """

    def __init__(self, observers: Sequence[tuple[str, RunObserver]]) -> None:
        self._observers = list(observers)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def tell_all(*arguments: Any, **named: Any) -> None:
            for label, observer in tuple(self._observers):
                try:
                    if name not in OPTIONAL_METHODS or hasattr(observer, name):
                        getattr(observer, name)(*arguments, **named)
                except Exception as error:
                    self.drop(label, observer, error)

        return tell_all

    def close(
        self,
        label: str,
        observer: RunObserver,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave an observer that is a context manager; one that raises an exception is dropped."""
        try:
            cast(AbstractContextManager[Any], observer).__exit__(kind, error, trace)
        except Exception as failure:
            self.drop(label, observer, failure)

    def drop(self, label: str, observer: RunObserver, error: Exception) -> None:
        """Tell an observer nothing more, and say so; not if it was dropped before."""
        if was_interrupted():
            raise error  # libraries turn the interrupt into exceptions of their own
        if all(each is not observer for _, each in self._observers):
            return
        self._observers = [each for each in self._observers if each[1] is not observer]
        said = str(error) if isinstance(error, BakeoffError) else f"{type(error).__name__}: {error}"
        text = f"{label} is dropped, the run continues: {' '.join(said.split())[:_MOST_CHARACTERS]}"
        if all(getattr(each, "is_quiet", False) for _, each in self._observers):
            warnings.warn(text, stacklevel=2)
        else:
            self.message(text)


def make_observer(given: str, *, is_logger: bool = False) -> RunObserver:
    """Make an observer that is given by its name, or by its name and target: `tensorboard:DIR`.

    Args:
        given: name or `NAME:TARGET`.
        is_logger: only an observer with a target will do.

    Raises:
        BakeoffError: there is no such observer, it cannot be used here, or its target is missing or wrong.
    """
    name, _, target = given.partition(":")
    loggers = {record.name: record for record in OBSERVERS if record.target}
    if is_logger and name not in loggers:
        forms = ", ".join(record.form for record in loggers.values())
        raise UnknownNameError(f"unknown logger '{name}'. Allowed: {forms}.{nearest(name, loggers)}")
    record = OBSERVERS.find(name)
    if bool(target) != bool(record.target):
        raise TrackerError(f"'{given}' does not say what to log to, or too much: write {record.form}.")
    make = bind(record.make)
    return cast(RunObserver, make(target) if target else make())


@contextmanager
def watch(given: Sequence[RunObserver | str], loggers: Sequence[str] = ()) -> Iterator[RecordingObserver]:
    """Combine these observers into one; those given by name are made here, and closed if they are context managers.

    Args:
        given: observers, names or `NAME:TARGET`.
        loggers: `NAME:TARGET` of more observers.

    Raises:
        BakeoffError: an observer cannot be made.
    """
    made = [(each.partition(":")[0], make_observer(each)) for each in given if isinstance(each, str)]
    made += [(each.partition(":")[0], make_observer(each, is_logger=True)) for each in loggers]
    own = [(type(each).__name__, each) for each in given if not isinstance(each, str)]
    observers = Observers([*own, *made])
    with ExitStack() as stack:
        for label, observer in made:
            if isinstance(observer, AbstractContextManager):
                observer.__enter__()
                stack.push(lambda *error, label=label, observer=observer: observers.close(label, observer, *error))
        yield cast(RecordingObserver, observers)
