"""The interface of strategies: ask and tell. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from bakeoff.study.plan import PlannedTrial

Ending: TypeAlias = Literal["done", "diverged", "failed", "paused"]


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """How a requested trial ended, or that it paused where requested.

    Attributes:
        trial: the requested trial.
        state: done: finished training. paused: trained up to `trial.until` without ending.
        validation: metrics on the validation split; empty unless done. A strategy never sees the test split.
        curve: the same after every epoch, up to `trial.until`; only for a search's trials.
        num_parameters, seconds: size of the network and training time, for a finished trial.
    """

    trial: PlannedTrial
    state: Ending
    validation: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    num_parameters: int | None = None
    seconds: float | None = None

    @property
    def done(self) -> bool:
        """Whether it finished training."""
        return self.state == "done"


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A paused trial that will not continue, and why."""

    trial: PlannedTrial
    reason: str


class Strategy(Protocol):
    """Decides which trials run next, by ask and tell; it may prune trials that it paused."""

    def ask(self) -> Sequence[PlannedTrial]:
        """Return the trials to run now, together; empty if there are none until more results arrive, or none at all."""
        ...

    def tell(self, told: TrialOutcome) -> None:
        """Receive one requested trial's end or pause. Called once for each, in any order."""
        ...

    def prune(self) -> Sequence[Pruned]:
        """Return the paused trials that were pruned since the last call."""
        ...
