"""Ask and tell: what every strategy answers, and what it is told. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.study.plan import PlannedTrial


@dataclass(frozen=True, kw_only=True)
class Told:
    """How a trial that a strategy asked for has ended.

    Attributes:
        done: trained to its end; else it diverged or failed.
        validation: metrics on the validation split; empty unless done. A strategy never sees the test split.
    """

    trial: PlannedTrial
    done: bool
    validation: Mapping[str, float]


class Strategy(Protocol):
    """Decides who is tried next. `ask` and `tell` are its only verbs."""

    def ask(self) -> Sequence[PlannedTrial]:
        """Return the trials to run now, together; empty when there are none until more is told, or none at all."""
        ...

    def tell(self, told: Told) -> None:
        """Take in how one asked trial has ended. Called once for each, in any order."""
        ...
