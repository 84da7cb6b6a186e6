"""Who sees a run as it goes, to show it or to keep it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from bakeoff.execution.searches import SearchProgress
from bakeoff.registry import Implementation, Registry, bind
from bakeoff.search.strategy import Ending
from bakeoff.study.plan import Plan, PlannedTrial


class Observer(Protocol):
    """Sees a run as it goes, to show it."""

    def cohort_started(self, label: str, num_members: int) -> None:
        """A cohort is being trained."""

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
        """A member of a cohort has finished an epoch; `replayed`: in an earlier run, and it is read back now."""

    def trial_seen(
        self, trial: PlannedTrial, *, state: Ending | Literal["training"], epoch: int, validation: Mapping[str, float]
    ) -> None:
        """A trial stands where it did not stand before; one from the ledger, too. Epoch 0 where it is not known.

        The metrics on its validation split are those of the epoch while it trains, of the kept weights once it is done.
        """

    def trial_done(self, *, failed: bool = False, num_images_spared: int = 0) -> None:
        """A trial has come to its end."""

    def cohort_done(self, label: str) -> None:
        """A cohort has come to its end."""

    def message(self, text: str) -> None:
        """Something people should know."""


class RunObserver(Observer, Protocol):
    """Sees a run as it goes, from its start."""

    def start(self, *, num_trials: int, num_model_images: int, num_reused: int = 0, plan: Plan | None = None) -> None:
        """The run begins; what is in the ledger already is not trained. A search plans more as it goes."""

    def search_seen(self, searches: Sequence[SearchProgress]) -> None:
        """The searches of a study, block by block, have gone on."""


@dataclass(frozen=True)
class ObserverRecord:
    """One observer that a run can be given by name.

    Attributes:
        name: what `run` and its option `--observer` call it.
        summary: what it shows or keeps, in one line.
        make: `module:class` or a function without arguments: makes a `RunObserver`.
    """

    name: str
    summary: str
    make: Implementation


_OURS: tuple[ObserverRecord, ...] = (
    ObserverRecord("progress", "shows how far the run is, on standard error", "bakeoff.report.progress:RunProgress"),
)

OBSERVERS: Registry[ObserverRecord] = Registry("observer", _OURS, "bakeoff.observers")


class Observers:
    """Several observers as one: whatever one is told, all are, in their order."""

    def __init__(self, observers: Sequence[RunObserver]) -> None:
        self._observers = tuple(observers)

    def __getattr__(self, name: str) -> Any:
        def tell_all(*arguments: Any, **named: Any) -> None:
            for observer in self._observers:
                getattr(observer, name)(*arguments, **named)

        return tell_all


@contextmanager
def watch(given: Sequence[RunObserver | str]) -> Iterator[RunObserver]:
    """Give all of these observers as one; those given by name are made, and entered where they have an exit.

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
