"""Racing: one replicate at a time, only as many as needed to settle every block's question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.search.strategy import Pruned, TrialOutcome
from bakeoff.stats.race import Race, RaceStanding, design_race
from bakeoff.study.plan import PlannedTrial

AHEAD = 1
"""Replicates requested beyond the one to be judged next, so that a second worker is busy.

A constant: if it depended on the number of workers, results would depend on the machine.
"""


class Racing:
    """Requests `at_least` replicates of all arms, then one more at a time for arms whose comparisons are open.

    Each block has its own race. Results are judged replicate by replicate in order, whatever order they arrive in, so
    requests are a function of the trials' results alone. The race decides on validation scores;
    `bakeoff.stats.sequential.compare_by_looks` judges the test split. The rules are those of
    `bakeoff.stats.race.Race`.

    Args:
        trials: the plan's trials up to the maximum number of replicates.
        at_least: replicates before the first look, 3 or more.
        metric: the engine's name of the deciding metric.
        higher_is_better: False for losses.
        margin: largest difference that does not matter; None for no equivalence.
        confidence: 0..1; 1 - confidence is the probability of a false finding in a block over the whole race.
        baseline: the arm all others are compared with; None to compare all pairs.
        failed_scores: the score of a failed trial by block; in blocks that are missing here its pairs are dropped.
        borrows: whether the arms of a block lend each other variances.

    Raises:
        ValueError: fewer replicates than `at_least`, folds, or a number out of range.
    """

    def __init__(
        self,
        trials: Sequence[PlannedTrial],
        *,
        at_least: int = 3,
        metric: str = "accuracy",
        higher_is_better: bool = True,
        margin: float | None = None,
        confidence: float = 0.95,
        baseline: str | None = None,
        failed_scores: Mapping[str, float] | None = None,
        borrows: bool = False,
    ) -> None:
        self._metric, self._started = metric, False
        self._lanes: dict[str, _Lane] = {}
        by_block: dict[str, list[PlannedTrial]] = {}
        for trial in trials:
            by_block.setdefault(trial.block, []).append(trial)
        for block, own in by_block.items():
            if len({(trial.replicate, trial.arm) for trial in own}) < len(own):
                raise ValueError("a race takes one trial per arm and replicate: folds are not independent replicates")
            at_most = 1 + max(trial.replicate for trial in own)
            arms = tuple(dict.fromkeys(trial.arm for trial in own))
            race = Race(
                arms,
                design=design_race(
                    arms,
                    baseline=baseline,
                    borrows=borrows,
                    at_least=at_least,
                    at_most=at_most,
                    confidence=confidence,
                ),
                margin=margin,
                higher_is_better=higher_is_better,
                baseline=baseline,
                failed_score=(failed_scores or {}).get(block),
                borrows=borrows,
            )
            self._lanes[block] = _Lane(own, race, at_least)

    @property
    def standings(self) -> Mapping[str, RaceStanding]:
        """The state of every block's race."""
        return {block: lane.standing for block, lane in self._lanes.items()}

    def ask(self) -> Sequence[PlannedTrial]:
        """Return the replicates that are due, for the arms still racing.

        All blocks at once the first time, one block at a time afterwards: trials requested together may be fused, and
        which blocks are due at the same time depends on timing.
        """
        lanes = [lane for lane in self._lanes.values() if lane.due]
        if self._started:
            lanes = lanes[:1]
        self._started = True
        return [trial for lane in lanes for trial in lane.take()]

    def tell(self, told: TrialOutcome) -> None:
        """Receive a trial's end, and judge every replicate that is now complete."""
        value = told.validation[self._metric] if told.done else None
        self._lanes[told.trial.block].tell(told.trial, value)

    def prune(self) -> Sequence[Pruned]:
        """Nothing pauses: trials of a race train to the end."""
        return ()


class _Lane:
    """One block's race: due trials, results, judgements."""

    def __init__(self, trials: Sequence[PlannedTrial], race: Race, at_least: int) -> None:
        self._trials: dict[int, dict[str, PlannedTrial]] = {}
        for trial in trials:
            self._trials.setdefault(trial.replicate, {})[trial.arm] = trial
        self._values: dict[int, dict[str, float | None]] = {replicate: {} for replicate in self._trials}
        self._race, self._at_least = race, at_least
        self.standing = race.standing
        self.due: list[PlannedTrial] = []
        self._num_asked = 0
        self._extend(at_least)

    def take(self) -> list[PlannedTrial]:
        due, self.due = self.due, []
        return due

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        self._values[trial.replicate][trial.arm] = value
        while self.standing.racing:
            values = self._values[self.standing.replicates]
            if not all(arm in values for arm in self.standing.racing):
                break
            self.standing = self._race.judge(values)
            # Here and not in `take`: the trials due after a replicate must not depend on when the driver asks.
            if self.standing.replicates >= self._at_least:
                self._extend(self.standing.replicates + 1 + AHEAD)

    def _extend(self, num_replicates: int) -> None:
        """Request the given number of replicates for the arms still racing."""
        num_replicates = min(num_replicates, len(self._trials))
        for replicate in range(self._num_asked, num_replicates):
            self.due += [self._trials[replicate][arm] for arm in self.standing.racing]
        self._num_asked = max(self._num_asked, num_replicates)
