"""The standing of the arms during a run, as the live display shows it before there is a verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.study.plan import Plan, PlannedTrial

State: TypeAlias = Literal["training", "paused", "done", "diverged", "failed"]
Position: TypeAlias = tuple[str, int, int | None]
"""Block, replicate and fold: all arms in one position are given the same images and seed."""


@dataclass(frozen=True, kw_only=True)
class ArmStanding:
    """The standing of one arm.

    Attributes:
        num_planned: its trials, at most.
        num_done, num_failed: ended trials, including those already in the ledger.
        epoch, num_epochs: the latest epoch of a trial in training, and its last possible one; None if none is training.
        mean, best: of the validation scores of its done trials or, before there are any, of the latest epochs.
        lead: how far it is ahead of the mean of all arms in the same positions, averaged over positions, in the
            metric's unit and positive if better; None if it is alone everywhere.
    """

    arm: str
    num_planned: int
    num_done: int
    num_failed: int
    epoch: int | None
    num_epochs: int | None
    mean: float | None
    best: float | None
    lead: float | None


@dataclass(frozen=True)
class _Snapshot:
    state: State
    epoch: int
    num_epochs: int
    score: float | None


class RunStanding:
    """Tracks the latest state of every trial of a plan, without a search's candidates.

    Args:
        plan: the plan; with a search, every finalist has as many trials as the default arm.
    """

    def __init__(self, plan: Plan) -> None:
        self.measure = Measure(find_metric(plan.study.decide.metric), "validation")
        arms_per_planned = 1 if plan.study.search is None else len(plan.arms)
        self._num_planned = {arm: len(plan.trials) * arms_per_planned // len(plan.arms) for arm in plan.arms}
        if plan.study.search is None:
            self._num_planned.update(Counter(trial.arm for trial in plan.trials))
        self._seen: dict[str, dict[Position, _Snapshot]] = {arm: {} for arm in plan.arms}

    def see(self, trial: PlannedTrial, *, state: State, epoch: int, validation: Mapping[str, float]) -> None:
        """Record the present state of a trial."""
        if trial.stage != "final" or trial.arm not in self._seen:
            return
        score = validation.get(self.measure.record.name)
        known = score if score is not None and math.isfinite(score) else None
        position = (trial.block, trial.replicate, trial.fold)
        self._seen[trial.arm][position] = _Snapshot(state, epoch, trial.recipe.epochs, known)

    def rank(self) -> tuple[ArmStanding, ...]:
        """Return the arms, best first; arms without a score come last, in the study's order."""
        leads = self._lead()
        standings = [self._describe(arm, seen, leads.get(arm)) for arm, seen in self._seen.items()]
        sign = 1 if self.measure.record.higher_is_better else -1

        def order(standing: ArmStanding) -> tuple[bool, float, bool, float]:
            lead, mean = standing.lead, standing.mean
            return lead is None, -(lead or 0.0), mean is None, -sign * (mean or 0.0)

        return tuple(sorted(standings, key=order))

    def _describe(self, arm: str, seen: Mapping[Position, _Snapshot], lead: float | None) -> ArmStanding:
        training = [each for each in seen.values() if each.state == "training"]
        done = [each.score for each in seen.values() if each.state == "done" and each.score is not None]
        scores = done or [each.score for each in training if each.score is not None]
        choose = max if self.measure.record.higher_is_better else min
        return ArmStanding(
            arm=arm,
            num_planned=self._num_planned[arm],
            num_done=sum(each.state == "done" for each in seen.values()),
            num_failed=sum(each.state in ("failed", "diverged") for each in seen.values()),
            epoch=max((each.epoch for each in training), default=None),
            num_epochs=max((each.num_epochs for each in training), default=None),
            mean=_mean(scores) if scores else None,
            best=choose(scores) if scores else None,
            lead=lead,
        )

    def _lead(self) -> dict[str, float]:
        """Return each arm's lead, over positions with two or more done arms or, if there are none, training arms."""
        positions = self._compare("done") or self._compare("training")
        gathered: dict[str, list[float]] = {}
        for scores in positions:
            mean = _mean(list(scores.values()))
            for arm, score in scores.items():
                gathered.setdefault(arm, []).append(score - mean)
        sign = 1 if self.measure.record.higher_is_better else -1
        return {arm: sign * _mean(values) for arm, values in gathered.items()}

    def _compare(self, state: State) -> list[dict[str, float]]:
        """Return the scores of the arms in a state, by position, where there are two or more."""
        positions: dict[Position, dict[str, float]] = {}
        for arm, seen in self._seen.items():
            for position, snapshot in seen.items():
                if snapshot.state == state and snapshot.score is not None:
                    positions.setdefault(position, {})[arm] = snapshot.score
        return [scores for scores in positions.values() if len(scores) > 1]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
