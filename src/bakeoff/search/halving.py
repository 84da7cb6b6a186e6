"""Trains one group of candidates: all to the end, or rung by rung, pruning the worse ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from bakeoff.search.strategy import Pruned, TrialOutcome
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.search_settings import Halving

Position: TypeAlias = tuple[str, int, int | None]
"""Arm, replicate and fold: a trial's position in its block."""


def place_of(trial: PlannedTrial) -> Position:
    """Return a trial's position in its block."""
    return (trial.arm, trial.replicate, trial.fold)


@dataclass
class Attempt:
    """One distinct recipe in training: its trials, one per replicate and fold.

    Attributes:
        number: breaks ties.
        trials: its trials, without pauses.
        told: their results so far, by position.
        state: open; done; failed (a trial diverged or failed); pruned.
        reason: why it failed, or where it was pruned.
    """

    number: int
    trials: tuple[PlannedTrial, ...]
    told: dict[Position, TrialOutcome] = field(default_factory=dict)
    state: Literal["open", "done", "failed", "pruned"] = "open"
    reason: str = ""

    @property
    def num_epochs(self) -> int:
        """Maximum number of epochs."""
        return self.trials[0].recipe.epochs

    def is_unfinished(self, trial: PlannedTrial) -> bool:
        """Return whether one of its trials has not ended."""
        told = self.told.get(place_of(trial))
        return told is None or told.state == "paused"

    def unfinished(self) -> list[PlannedTrial]:
        """Return the trials that have not ended."""
        return [trial for trial in self.trials if self.is_unfinished(trial)]


class GroupTraining:
    """Trains a group of attempts; its next trials are due when results of all previous ones are known.

    Successive halving (see `bakeoff.study.search.Halving`): a rung compares the attempts with trials paused there, by
    the mean of the trials' latest values; ties go to the lower number. Attempts that ended before the rung keep their
    final value and do not take a place. The last remaining attempt trains to the end.

    Args:
        attempts: by number.
        halving: when attempts are pruned; None: never.
        judge: an attempt's value so far, higher is better; called at rungs only.
    """

    def __init__(self, attempts: Sequence[Attempt], halving: Halving | None, judge: Callable[[Attempt], float]) -> None:
        self._attempts, self._halving, self._judge = tuple(attempts), halving, judge
        self._waiting: set[Position] = set()
        self._epoch = 0
        self._pruned: list[Pruned] = []
        self.due: list[PlannedTrial] = []
        self._begin_round()

    @property
    def is_done(self) -> bool:
        """Whether every attempt has ended."""
        return all(attempt.state != "open" for attempt in self._attempts)

    def take(self) -> list[PlannedTrial]:
        """Return the trials that are due, once."""
        due, self.due = self.due, []
        return due

    def take_pruned(self) -> list[Pruned]:
        """Return the trials pruned since the last call."""
        pruned, self._pruned = self._pruned, []
        return pruned

    def tell(self, told: TrialOutcome) -> None:
        """Receive a trial's end or pause; when no trial is pending, finish the round and start the next."""
        place = place_of(told.trial)
        if place not in self._waiting:
            return
        self._waiting.discard(place)
        attempt = next(one for one in self._attempts if place in {place_of(trial) for trial in one.trials})
        attempt.told[place] = told
        if not self._waiting:
            self._settle_round()
            self._begin_round()

    def _open(self) -> list[Attempt]:
        return [attempt for attempt in self._attempts if attempt.state == "open"]

    def _begin_round(self) -> None:
        running = self._open()
        until = self._find_pause(running)
        due = [_with_pause(trial, until) for attempt in running for trial in attempt.unfinished()]
        self.due = due
        self._waiting = {place_of(trial) for trial in due}

    def _find_pause(self, running: Sequence[Attempt]) -> int | None:
        """Return the next rung, if an attempt trains beyond it and there is another to compare with."""
        if self._halving is None or len(running) < 2:
            return None
        self._epoch = self._halving.next_rung(self._epoch)
        return self._epoch if any(attempt.num_epochs > self._epoch for attempt in running) else None

    def _settle_round(self) -> None:
        for attempt in self._open():
            failures = [told for told in attempt.told.values() if told.state in ("failed", "diverged")]
            if failures:
                attempt.state, attempt.reason = "failed", failures[0].state
                self._give_up(attempt, "another of the candidate's trials failed")
            elif not attempt.unfinished():
                attempt.state = "done"
        self._compare(self._open())

    def _compare(self, paused: Sequence[Attempt]) -> None:
        """Prune all but the best of the paused attempts."""
        if self._halving is None or not paused:
            return
        ranked = sorted(paused, key=lambda attempt: (-self._judge(attempt), attempt.number))
        num_kept = max(1, len(ranked) // self._halving.factor)
        for attempt in ranked[num_kept:]:
            attempt.state = "pruned"
            attempt.reason = f"not among the best {num_kept} of {len(ranked)} after epoch {self._epoch}"
            self._give_up(attempt, attempt.reason)

    def _give_up(self, attempt: Attempt, reason: str) -> None:
        self._pruned += [
            Pruned(trial=attempt.told[place_of(trial)].trial, reason=reason) for trial in attempt.unfinished()
        ]


def _with_pause(trial: PlannedTrial, until: int | None) -> PlannedTrial:
    return trial if until is None else replace(trial, until=until)
