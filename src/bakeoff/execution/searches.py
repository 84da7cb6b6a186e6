"""What a search leaves in the ledger: the places of its trials, and its candidates, as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.execution.identity import Known
from bakeoff.ledger.rows import CandidateRow
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.search.candidate import Candidate
from bakeoff.search.searching import Searching
from bakeoff.study.plan import PlannedTrial
from bakeoff.study.search import AnySearch, list_objectives
from bakeoff.training.metric import Metric

Place = tuple[str, str, int, int | None]


class SearchRecorder:
    """Writes down what a search asks for and finds out. All of it follows from the trials: it may be written again.

    Args:
        searching: the search.
        ledger: where to.
        study_id: whose search it is.
        searches: by block.
        metric: the study's deciding one.
        placed: the trials that have their places already.
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
    ) -> None:
        self._searching, self._ledger, self._study_id = searching, ledger, study_id
        self._objectives = {block: list_objectives(search, metric) for block, search in searches.items()}
        self._ids: dict[Place, str] = {}
        self._placed = {_place_of(planned) for planned in placed}
        self._written: dict[tuple[str, str], CandidateRow] = {}

    def take(self, asked: Sequence[Known]) -> None:
        """Write down what was asked for now, and which candidates are new or have changed."""
        fresh = {_place_of(each.planned): each for each in asked if _place_of(each.planned) not in self._placed}
        self._placed |= fresh.keys()
        self._ids |= {place: each.trial_id for place, each in fresh.items()}
        rows = [self._write(candidate) for candidate in self._searching.candidates]
        changed = [row for row in rows if self._written.get((row.block, f"{row.kind} {row.number}")) != row]
        self._written |= {(row.block, f"{row.kind} {row.number}"): row for row in changed}
        if fresh or changed:
            placements = [place_trial(each) for each in fresh.values()]
            self._ledger.place(self._study_id, placements, changed)

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
            trial_ids=tuple(self._ids[place] for place in map(_place_of, trials) if place in self._ids),
            state=candidate.state,
            reason=candidate.reason,
            scores=dict(zip(self._objectives[candidate.block], values, strict=False)),
            same_as=candidate.same_as or "",
            is_winner=candidate.is_winner,
        )


def place_trial(known: Known) -> Placement:
    """Return a trial's place in a study."""
    planned = known.planned
    return Placement(known.trial_id, planned.block, planned.arm, planned.replicate, planned.fold, planned.stage)


def _place_of(planned: PlannedTrial) -> Place:
    return (planned.block, planned.arm, planned.replicate, planned.fold)
