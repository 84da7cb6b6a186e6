"""How the arms of a run stand while it goes on: what the live display shows, before there is any verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.stats.measure import Measure
from bakeoff.stats.metrics import find_metric
from bakeoff.study.plan import Plan, PlannedTrial

State: TypeAlias = Literal["training", "paused", "done", "diverged", "failed"]
Position: TypeAlias = tuple[str, int, int | None]
"""Block, replicate and fold: the arms there were given the same images and seed."""


@dataclass(frozen=True, kw_only=True)
class ArmStanding:
    """How one arm stands.

    Attributes:
        num_planned: its trials, at most; `num_done`, `num_failed`: those that have ended, the ledger's included.
        epoch, num_epochs: the newest epoch of a trial that is training, and the last it can come to; None without one.
        mean, best: of its scores on the validation split: those of its done trials, else those after the newest epochs.
        lead: how far it is ahead of the mean of the arms in the same places (block, replicate, fold), averaged over
            places, in the metric's unit and turned so that more is better; None where it stands alone.
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
class _Seen:
    state: State
    epoch: int
    num_epochs: int
    score: float | None


class RunStanding:
    """Keeps the newest of every trial of a plan, a search's candidates left out.

    Args:
        plan: the run's. Of a search, every finalist has as many trials as the default arm.
    """

    def __init__(self, plan: Plan) -> None:
        self.measure = Measure(find_metric(plan.study.decide.metric), "validation")
        share = 1 if plan.study.search is None else len(plan.arms)
        self._num_planned = {arm: len(plan.trials) * share // len(plan.arms) for arm in plan.arms}
        if plan.study.search is None:
            self._num_planned.update(Counter(trial.arm for trial in plan.trials))
        self._seen: dict[str, dict[Position, _Seen]] = {arm: {} for arm in plan.arms}

    def see(self, trial: PlannedTrial, *, state: State, epoch: int, validation: Mapping[str, float]) -> None:
        """Take in where a trial stands now."""
        if trial.stage != "final" or trial.arm not in self._seen:
            return
        score = validation.get(self.measure.record.name)
        known = score if score is not None and math.isfinite(score) else None
        place = (trial.block, trial.replicate, trial.fold)
        self._seen[trial.arm][place] = _Seen(state, epoch, trial.recipe.epochs, known)

    def rank(self) -> tuple[ArmStanding, ...]:
        """Return the arms, the furthest ahead first; those of which nothing is known last, in the study's order."""
        leads = self._lead()
        standings = [self._describe(arm, seen, leads.get(arm)) for arm, seen in self._seen.items()]
        sign = 1 if self.measure.record.higher_is_better else -1

        def order(standing: ArmStanding) -> tuple[bool, float, bool, float]:
            lead, mean = standing.lead, standing.mean
            return lead is None, -(lead or 0.0), mean is None, -sign * (mean or 0.0)

        return tuple(sorted(standings, key=order))

    def _describe(self, arm: str, seen: Mapping[Position, _Seen], lead: float | None) -> ArmStanding:
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
        """Return how far each arm is ahead where two arms or more are done; before that, where they train."""
        places = self._compare(("done",)) or self._compare(("training",))
        gathered: dict[str, list[float]] = {}
        for scores in places:
            mean = _mean(list(scores.values()))
            for arm, score in scores.items():
                gathered.setdefault(arm, []).append(score - mean)
        sign = 1 if self.measure.record.higher_is_better else -1
        return {arm: sign * _mean(values) for arm, values in gathered.items()}

    def _compare(self, states: Iterable[State]) -> list[dict[str, float]]:
        """Return the scores of the arms in one of these states, place by place, where there are two or more."""
        wanted = frozenset(states)
        places: dict[Position, dict[str, float]] = {}
        for arm, seen in self._seen.items():
            for place, each in seen.items():
                if each.state in wanted and each.score is not None:
                    places.setdefault(place, {})[arm] = each.score
        return [scores for scores in places.values() if len(scores) > 1]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
