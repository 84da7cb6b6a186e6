"""The interface for showing or recording a run's progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from bakeoff.driver.searches import SearchProgress
from bakeoff.registry import Implementation, Registry, bind
from bakeoff.search.strategy import Ending
from bakeoff.study.plan import Plan, PlannedTrial


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


@dataclass(frozen=True)
class ObserverRecord:
    """One observer that can be chosen by name.

    Attributes:
        name: its name in `run` and its option `--observer`.
        summary: what it shows or records, in one line.
        make: `module:class`, or a function without arguments, that makes a `RunObserver`.
    """

    name: str
    summary: str
    make: Implementation


_OURS: tuple[ObserverRecord, ...] = (
    ObserverRecord("progress", "shows the run's progress on standard error", "bakeoff.report.progress:RunProgress"),
)

OBSERVERS: Registry[ObserverRecord] = Registry("observer", _OURS, "bakeoff.observers")


class Observers:
    """Several observers as one: every call is passed on to all of them, in order."""

    def __init__(self, observers: Sequence[RunObserver]) -> None:
        self._observers = tuple(observers)

    def __getattr__(self, name: str) -> Any:
        def tell_all(*arguments: Any, **named: Any) -> None:
            for observer in self._observers:
                getattr(observer, name)(*arguments, **named)

        return tell_all


@contextmanager
def watch(given: Sequence[RunObserver | str]) -> Iterator[RunObserver]:
    """Combine these observers into one; those given by name are made here, and closed if they are context managers.

    Raises:
        BakeoffError: no observer has such a name.
    """
    with ExitStack() as stack:
        observers = []
        for each in given:
            observer = bind(OBSERVERS.find(each).make)() if isinstance(each, str) else each
            if isinstance(each, str) and isinstance(observer, AbstractContextManager):
                stack.enter_context(observer)
            observers.append(observer)
        yield cast(RunObserver, Observers(observers))
