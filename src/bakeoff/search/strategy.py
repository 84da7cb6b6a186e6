"""Ask and tell: what every strategy answers, and what it is told. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from bakeoff.study.plan import PlannedTrial

Ending: TypeAlias = Literal["done", "diverged", "failed", "paused"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """How a trial that a strategy asked for has ended, or that it has paused where it was to pause.

    Attributes:
        trial: as it was asked for.
        state: done: trained to its end. paused: trained up to `trial.until`, and not ended by then.
        validation: metrics on the validation split; empty unless done. A strategy never sees the test split.
        curve: the same after every epoch, up to `trial.until`; of a search's trials only.
        num_parameters, seconds: of a trial that is done: size of its network, time it was trained.
    """

    trial: PlannedTrial
    state: Ending
    validation: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    num_parameters: int | None = None
    seconds: float | None = None

    @property
    def done(self) -> bool:
        """Whether it was trained to its end."""
        return self.state == "done"


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A paused trial that will not go on, and why."""

    trial: PlannedTrial
    reason: str


class Strategy(Protocol):
    """Decides who is tried next. It asks and is told; what it asked to pause it may also give up."""

    def ask(self) -> Sequence[PlannedTrial]:
        """Return the trials to run now, together; empty when there are none until more is told, or none at all."""
        ...

    def tell(self, told: Told) -> None:
        """Take in how one asked trial has ended or paused. Called once for each, in any order."""
        ...

    def prune(self) -> Sequence[Pruned]:
        """Return the paused trials that are given up since the last call."""
        ...
