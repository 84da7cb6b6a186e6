"""What a tracker is given, and the interface that all trackers implement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from bakeoff.driver.observer import Conclusion
from bakeoff.ledger.rows import TrialState

Setting: TypeAlias = str | int | float | bool
"""The value of one setting in a tracker."""

_SHORT_STUDY = 8
_SHORT_TRIAL = 12
"""Characters of ids in names: a collision within a study of a million trials has a probability of 0.2%."""

_IDS = ("study", "study_id", "trial_id")


@dataclass(frozen=True, kw_only=True)
class LoggedStudy:
    """A study in a tracker.

    Attributes:
        facts: its name, id, question, the command that runs it and bakeoff's version, by name.
    """

    name: str
    study_id: str
    question: str
    facts: Mapping[str, str]

    @property
    def label(self) -> str:
        """Its name and short id: studies with the same name differ in it."""
        return f"{self.name} {self.study_id[:_SHORT_STUDY]}"


@dataclass(frozen=True, kw_only=True)
class LoggedTrial:
    """A trial in a tracker.

    Attributes:
        name: the block if there are several, the arm, replicate and fold, as in `adam r1 f2`; not unique.
        facts: study, ids, block, arm, replicate, fold, stage, seed and versions, by name.
        recipe: its settings, flattened: dotted name -> value.
    """

    trial_id: str
    study_id: str
    name: str
    block: str
    arm: str
    facts: Mapping[str, Setting]
    recipe: Mapping[str, Setting]

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Its facts, without names and ids of study and trial, and its recipe."""
        return {name: value for name, value in self.facts.items() if name not in _IDS} | dict(self.recipe)

    @property
    def key(self) -> str:
        """The same in every run, and unique: a trial that two studies share has two."""
        return f"{self.study_id[:_SHORT_STUDY]}-{self.trial_id[:_SHORT_TRIAL]}"


@dataclass(frozen=True)
class LoggedEpoch:
    """One epoch, counted from 1, and its metrics: `train/loss`, `validation/accuracy`, `learning_rate`, ..."""

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LoggedEnding:
    """How a trial ended.

    Attributes:
        reason: why it failed or was pruned; empty otherwise.
        num_epochs: epochs trained.
        scores: those of the stored weights, such as `final/test/accuracy`; those on the test split come with a second
            ending, after the final test.
    """

    state: TrialState
    reason: str
    num_epochs: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Shown:
    """What a tracker shows of a trial.

    Attributes:
        last_epoch: the last epoch that is shown completely; 0 if none is.
        state: how it ended, as far as shown; empty if it has not.
        scores: names of the final scores.
    """

    last_epoch: int = 0
    state: str = ""
    scores: frozenset[str] = field(default_factory=frozenset)

    def has(self, ending: LoggedEnding) -> bool:
        """Return whether this ending is shown with all its scores."""
        return self.state == ending.state and ending.scores.keys() <= self.scores


class Tracker(Protocol):
    """Shows studies in one experiment tracker. Called from one thread; what it raises ends the logging, not the run.

    Attributes:
        is_live: whether it shows trials while they train; otherwise each is given once, whole, when the run has ended.
    """

    is_live: bool

    def open(self, study: LoggedStudy) -> None:
        """Connect, and find what earlier runs have logged of this study."""

    def open_trial(self, trial: LoggedTrial, ending: LoggedEnding | None) -> Shown:
        """Begin or continue a trial; return what is shown already. Called once per trial, before its epochs.

        Args:
            trial: the trial.
            ending: how it has ended, if it has; shown later, by `end_trial`.
        """

    def log_epochs(self, trial: LoggedTrial, epochs: Sequence[LoggedEpoch]) -> None:
        """Show these epochs, which are not shown yet, in order."""

    def end_trial(self, trial: LoggedTrial, ending: LoggedEnding) -> None:
        """Show how a trial ended: once when it ends, again with the scores of the final test."""

    def conclude(self, conclusion: Conclusion) -> None:
        """Show the study's verdict and reports."""

    def close(self) -> None:
        """Send all that is left, and disconnect. Trials without an ending will be continued."""
