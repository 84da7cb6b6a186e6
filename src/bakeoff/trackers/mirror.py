"""Brings a tracker up to date with the ledger: each epoch and each score is shown once, whatever happened before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from bakeoff import __version__
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import PlateauState, Progress, start_state
from bakeoff.errors import BakeoffError
from bakeoff.ledger.logged import PlacedTrial, RecordedEpoch, TrialEnding, read_epochs, read_placed_trials
from bakeoff.ledger.values import read_mapping
from bakeoff.messages import ENGINE_VERSION
from bakeoff.study.plan import Plan, PlannedTrial
from bakeoff.trackers.records import LoggedEnding, LoggedEpoch, LoggedStudy, LoggedTrial, Setting, Shown, Tracker

_EPOCHS_AT_ONCE = 100


def describe_study(connection: sqlite3.Connection, study_id: str) -> LoggedStudy:
    """Return what a tracker shows of a study in the ledger."""
    query = "SELECT name, document, command, created_at FROM studies WHERE id = ?"
    name, document, command, created_at = connection.execute(query, (study_id,)).fetchone()
    question = str(read_mapping(document).get("question", ""))
    facts = {"study": name, "study_id": study_id, "question": question, "created_at": created_at}
    facts |= {"command": command} if command else {}
    return LoggedStudy(name=name, study_id=study_id, question=question, facts={**facts, "bakeoff": __version__})


class Mirror:
    """Keeps a tracker up to date with the ledger.

    Args:
        tracker: where to show trials; open.
        study: the study.
        plan: its plan; None if it cannot be made, then a trial is shown once it has ended.
    """

    def __init__(self, tracker: Tracker, study: LoggedStudy, plan: Plan | None) -> None:
        self._tracker, self._study = tracker, study
        self._has_blocks = plan is not None and len(plan.blocks) > 1
        self._planned = {_position(each): each for each in (() if plan is None else plan.trials)}
        self._trials: dict[str, _Followed] = {}
        self.num_sent = 0

    @property
    def num_trials(self) -> int:
        """The number of trials shown so far."""
        return len(self._trials)

    def update(self, connection: sqlite3.Connection, known: Mapping[str, PlannedTrial] | None = None) -> None:
        """Show what the ledger has and the tracker has not.

        Args:
            connection: the ledger.
            known: only these trials, by id, with their plans; None for all.
        """
        for placed in read_placed_trials(connection, self._study.study_id, known):
            planned = (known or {}).get(placed.trial_id) or self._find_planned(placed)
            self._update_trial(connection, placed, planned)

    def shows(self, trial_id: str, epoch: int, *, has_ended: bool) -> bool:
        """Return whether a trial is shown up to this epoch and, if it has ended, with its ending."""
        followed = self._trials.get(trial_id)
        if followed is None:
            return False
        return followed.shown.last_epoch >= epoch and bool(followed.shown.state or not has_ended)

    def _find_planned(self, placed: PlacedTrial) -> PlannedTrial | None:
        found = (self._planned.get((p.block, p.arm, p.stage, p.replicate, p.fold)) for p in placed.places)
        return next(filter(None, found), None)

    def _update_trial(self, connection: sqlite3.Connection, placed: PlacedTrial, planned: PlannedTrial | None) -> None:
        followed = self._trials.get(placed.trial_id)
        ending = None if placed.ending is None else _describe_ending(placed.ending)
        if followed is None:
            if placed.ending is None and (
                planned is None or next(read_epochs(connection, placed.trial_id), None) is None
            ):
                return  # nothing to show yet
            trial, recipe = _describe_trial(placed, planned, self._study, has_blocks=self._has_blocks)
            followed = _Followed(trial, _Rates.of(recipe), self._tracker.open_trial(trial, ending))
            followed.rates.replay(connection, placed.trial_id, followed.shown.last_epoch)
            self._trials[placed.trial_id] = followed
            self.num_sent += 1
        if ending is not None and followed.shown.has(ending):
            return
        for epochs in _batched(read_epochs(connection, placed.trial_id, followed.shown.last_epoch)):
            self._tracker.log_epochs(followed.trial, [followed.describe(each) for each in epochs])
            followed.shown = Shown(epochs[-1].epoch)
            self.num_sent += 1
        if ending is not None:
            self._tracker.end_trial(followed.trial, ending)
            followed.shown = Shown(followed.shown.last_epoch, ending.state, frozenset(ending.scores))
            self.num_sent += 1


@dataclass
class _Rates:
    """The learning rate at the start of every epoch, as far as epochs determine it.

    Attributes:
        recipe: None if it is not known.
        state: the state of a schedule that depends on validation metrics.
    """

    recipe: Recipe | None
    state: PlateauState | None = None

    @classmethod
    def of(cls, recipe: Recipe | None) -> _Rates:
        if recipe is None:
            return cls(None)
        shares = {recipe.schedule.share(Progress(0.5, *steps), recipe.epochs) for steps in ((1, 2), (400, 1000))}
        return cls(recipe if len(shares) == 1 else None, start_state(recipe.schedule))

    def replay(self, connection: sqlite3.Connection, trial_id: str, last_epoch: int) -> None:
        """Observe the epochs that are shown already."""
        for each in read_epochs(connection, trial_id) if self.state is not None else ():
            if each.epoch <= last_epoch:
                self.observe(each.validation)

    def observe(self, validation: Mapping[str, float]) -> None:
        if self.state is not None and self.state.rule.monitor in validation:
            self.state.observe(validation)

    def at(self, epoch: int) -> dict[str, float]:
        if self.recipe is None:
            return {}
        share = self.recipe.schedule.share(Progress(epoch - 1, 0, 1), self.recipe.epochs)
        return {"learning_rate": self.recipe.optimizer.learning_rate * share * (self.state.share if self.state else 1)}


@dataclass
class _Followed:
    """A trial that the tracker shows."""

    trial: LoggedTrial
    rates: _Rates
    shown: Shown = field(default_factory=Shown)

    def describe(self, epoch: RecordedEpoch) -> LoggedEpoch:
        """Return an epoch's metrics under the names they have in trackers."""
        splits = {"train": epoch.train, "validation": epoch.validation}
        metrics = {f"{split}/{name}": value for split, found in splits.items() for name, value in found.items()}
        rate = self.rates.at(epoch.epoch)
        self.rates.observe(epoch.validation)
        return LoggedEpoch(epoch.epoch, {**metrics, **rate, "training_seconds": epoch.seconds})


def _position(planned: PlannedTrial) -> tuple[str, str, str, int, int | None]:
    return (planned.block, planned.arm, planned.stage, planned.replicate, planned.fold)


def _batched(epochs: Iterable[RecordedEpoch]) -> Iterator[Sequence[RecordedEpoch]]:
    found = list(epochs)
    for start in range(0, len(found), _EPOCHS_AT_ONCE):
        yield found[start : start + _EPOCHS_AT_ONCE]


def _describe_ending(ending: TrialEnding) -> LoggedEnding:
    scores = {
        f"final/{split}/{metric}": value for split, found in ending.scores.items() for metric, value in found.items()
    }
    numbers = {
        "epochs": ending.num_epochs,
        "best_epoch": ending.best_epoch,
        "training_seconds": ending.seconds,
        "parameters": ending.num_parameters,
    }
    scores |= {f"final/{name}": float(value) for name, value in numbers.items() if value is not None}
    return LoggedEnding(state=ending.state, reason=ending.reason, num_epochs=ending.num_epochs, scores=scores)


def _describe_trial(
    placed: PlacedTrial, planned: PlannedTrial | None, study: LoggedStudy, *, has_blocks: bool
) -> tuple[LoggedTrial, Recipe | None]:
    """Return what a tracker shows of a trial, and its recipe; None if it is not valid any more."""
    content = {} if placed.ending is None else placed.ending.content
    recipe = _read_recipe(content.get("recipe")) if planned is None else planned.recipe
    settings = content.get("recipe", {}) if recipe is None else recipe.model_dump(mode="json")
    place = placed.places[0]
    block = ", ".join(dict.fromkeys(each.block for each in placed.places))
    arm = ", ".join(dict.fromkeys(each.arm for each in placed.places))
    machine = {} if placed.ending is None else placed.ending.machine
    facts: dict[str, Any] = {
        "study": study.name,
        "study_id": study.study_id,
        "trial_id": placed.trial_id,
        "block": block,
        "arm": arm,
        "replicate": place.replicate + 1,
        "fold": None if place.fold is None else place.fold + 1,
        "stage": place.stage,
        "seed": content.get("seed") if planned is None else planned.seed,
        "engine": str(content.get("engine", ENGINE_VERSION)),
        "bakeoff": machine.get("bakeoff", __version__),
    }
    numbers = f"r{place.replicate + 1}" + ("" if place.fold is None else f" f{place.fold + 1}")
    trial = LoggedTrial(
        trial_id=placed.trial_id,
        study_id=study.study_id,
        name=f"{block}, {arm} {numbers}" if has_blocks else f"{arm} {numbers}",
        block=block,
        arm=arm,
        facts={name: value for name, value in facts.items() if value is not None},
        recipe=flatten(settings),
    )
    return trial, recipe


def _read_recipe(fields: object) -> Recipe | None:
    try:
        return Recipe.model_validate(fields)
    except (BakeoffError, ValidationError):
        return None


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Setting]:
    """Return nested settings by dotted names; lists of plain values as JSON, None as "none"."""
    flat: dict[str, Setting] = {}
    for name, value in settings.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            value = {str(number): each for number, each in enumerate(value)}
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{dotted}.")
        else:
            flat[dotted] = _simplify(value)
    return flat


def _simplify(value: object) -> Setting:
    if isinstance(value, str | int | float):
        return value
    return "none" if value is None else json.dumps(value)
