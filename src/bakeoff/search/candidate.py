"""The state of a search's candidates: proposed, trained, scored. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.search.front import Direction
from bakeoff.search.halving import Attempt
from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.strategy import TrialOutcome
from bakeoff.stats.metrics import find_metric
from bakeoff.study.search_settings import COSTS, Objective

Kind: TypeAlias = Literal["candidate", "random"]
"""Whether a candidate belongs to the search itself or to its baseline."""

CandidateState: TypeAlias = Literal["open", "done", "pruned", "failed", "unfit"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One proposal and its outcome.

    Attributes:
        kind: of the search itself, or of its baseline.
        group: counted from 0 within its kind; candidates of one group were proposed together.
        attempt: its training, shared by candidates with the same recipe; None if it is not a valid recipe.
        state: open; done; pruned; failed; unfit (not a valid recipe, or not for these images).
        reason: why it has no score, or where it was pruned.
        values: one per objective, in their own units; None without a score.
        same_as: the earlier candidate with the same recipe; None if there is none.
        is_winner: whether it is the best of its kind.
    """

    block: str
    kind: Kind
    proposal: Proposal
    group: int
    attempt: Attempt | None = None
    state: CandidateState = "open"
    reason: str = ""
    values: tuple[float, ...] | None = None
    same_as: str | None = None
    is_winner: bool = False

    @property
    def label(self) -> str:
        """Its name in reports and placements."""
        return f"{self.kind} {self.proposal.number}"

    @property
    def score(self) -> Score:
        """The score reported to its proposer."""
        return Score(number=self.proposal.number, values=self.values, pruned=self.state == "pruned")


def find_direction(objective: Objective) -> Direction:
    """Return the direction of an objective."""
    if objective in COSTS:
        return "minimize"
    return "maximize" if find_metric(objective).higher_is_better else "minimize"


def measure(attempt: Attempt, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Return an attempt's values, averaged over its trials; None if it failed or a value is missing.

    For a finished trial these are the metrics of the stored weights; for a pruned one, those after its latest epoch.
    """
    if attempt.state not in ("done", "pruned"):
        return None
    told = list(attempt.told.values())
    columns = [[_read(one, objective) for one in told] for objective in objectives]
    if any(value is None for column in columns for value in column):
        return None
    return tuple(math.fsum(value for value in column if value is not None) / len(column) for column in columns)


def measure_so_far(attempt: Attempt, objective: Objective) -> float:
    """Return an attempt's current mean value, with the sign changed if lower is better."""
    values = [_read(told, objective) for told in attempt.told.values()]
    known = [value for value in values if value is not None]
    mean = math.fsum(known) / len(known) if known else -math.inf
    return mean if find_direction(objective) == "maximize" else -mean


def _read(told: TrialOutcome, objective: Objective) -> float | None:
    if objective == "parameters":
        return None if told.num_parameters is None else float(told.num_parameters)
    if objective == "seconds":
        return told.seconds
    metrics = told.validation if told.done else (told.curve[-1] if told.curve else {})
    return metrics.get(objective)
