"""Records a search in the ledger: the positions of its trials, and its candidates, as they are requested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bakeoff.catalog.metric import Metric
from bakeoff.driver.identity import IdentifiedTrial, Position, position_of
from bakeoff.ledger.rows import CandidateRow
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.search.candidate import Candidate, find_direction
from bakeoff.search.searching import Searching
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.search import AnySearch, count_candidates
from bakeoff.study.search_settings import Objective


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """Progress of one block's search.

    Attributes:
        num_candidates: proposed so far, including the baseline's, of at most `num_most`.
        num_open: those that have not ended.
        generation: the latest generation; always 0 for searches without generations.
        objective: the search's first objective; `best`: its best value so far, and `best_label` the candidate with it.
    """

    block: str
    num_candidates: int
    num_most: int
    num_open: int
    generation: int
    objective: Objective
    best: float | None
    best_label: str


class SearchRecorder:
    """Records what a search requests and finds. All of it follows from the trials, so it may be recorded again.

    Args:
        searching: the search.
        ledger: the ledger.
        study_id: the study.
        searches: search settings by block.
        metric: the study's deciding metric.
        placed: the trials that already have positions.
        on_change: called with the searches' progress whenever it changes.
    """

    def __init__(
        self,
        searching: Searching,
        ledger: Ledger,
        study_id: str,
        *,
        searches: dict[str, AnySearch],
        metric: Metric,
        placed: Sequence[PlannedTrial],
        on_change: Callable[[Sequence[SearchProgress]], object] = lambda searches: None,
    ) -> None:
        self._searches, self._on_change = searches, on_change
        self._searching, self._ledger, self._study_id = searching, ledger, study_id
        self._objectives = {block: search.list_objectives(metric) for block, search in searches.items()}
        self._ids: dict[Position, str] = {}
        self._placed = {position_of(planned) for planned in placed}
        self._written: dict[tuple[str, str], tuple[Candidate, CandidateRow]] = {}

    def take(self, asked: Sequence[IdentifiedTrial]) -> None:
        """Record the new requests, and new or changed candidates."""
        fresh = {position_of(each.planned): each for each in asked if position_of(each.planned) not in self._placed}
        self._placed |= fresh.keys()
        self._ids |= {place: each.trial_id for place, each in fresh.items()}
        candidates = self._searching.candidates
        changed = [row for candidate in candidates if (row := self._update(candidate)) is not None]
        if fresh or changed:
            placements = [place_trial(each) for each in fresh.values()]
            self._ledger.place(self._study_id, placements, changed)
            self._on_change([self._describe(block, candidates) for block in self._searches])

    def _update(self, candidate: Candidate) -> CandidateRow | None:
        """Return a candidate's row if it has changed: only an open one changes without becoming another object."""
        key = (candidate.block, candidate.label)
        known, written = self._written.get(key, (None, None))
        if candidate is known and candidate.state != "open":
            return None
        row = self._write(candidate)
        self._written[key] = (candidate, row)
        return None if row == written else row

    def _describe(self, block: str, candidates: Sequence[Candidate]) -> SearchProgress:
        mine = [candidate for candidate in candidates if candidate.block == block]
        objective = self._objectives[block][0]
        scored = [(each.values[0], each.label) for each in mine if each.values and each.state == "done"]
        choose = max if find_direction(objective) == "maximize" else min
        best = choose(scored, key=lambda pair: pair[0]) if scored else None
        return SearchProgress(
            block=block,
            num_candidates=len(mine),
            num_most=count_candidates(self._searches[block]),
            num_open=sum(each.state == "open" for each in mine),
            generation=max((each.proposal.generation for each in mine), default=0),
            objective=objective,
            best=None if best is None else best[0],
            best_label="" if best is None else best[1],
        )

    def _write(self, candidate: Candidate) -> CandidateRow:
        trials = candidate.attempt.trials if candidate.attempt is not None else ()
        proposal = candidate.proposal
        values = candidate.values or ()
        return CandidateRow(
            block=candidate.block,
            kind=candidate.kind,
            number=proposal.number,
            group=candidate.group,
            generation=proposal.generation,
            parents=proposal.parents,
            changes=proposal.changes,
            notes=proposal.notes,
            trial_ids=tuple(self._ids[place] for place in map(position_of, trials) if place in self._ids),
            state=candidate.state,
            reason=candidate.reason,
            scores=dict(zip(self._objectives[candidate.block], values, strict=False)),
            same_as=candidate.same_as or "",
            is_winner=candidate.is_winner,
        )


def place_trial(known: IdentifiedTrial) -> Placement:
    """Return a trial's position in a study."""
    planned = known.planned
    return Placement(known.trial_id, planned.block, planned.arm, planned.replicate, planned.fold, planned.stage)
