"""Tracks which checkpoints hold paused trials, and answers requests for trials from the ledger."""

from __future__ import annotations

from collections.abc import Sequence, Set

from bakeoff.ledger.rows import Outcome
from bakeoff.ledger.store import Ledger
from bakeoff.search.strategy import Ending
from bakeoff.study.plan import PlannedTrial


class Pauses:
    """The paused trials that have not ended, by the cohort whose checkpoint holds them.

    Args:
        ledger: the record of all pauses.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._paused: dict[str, set[str]] = {}

    @property
    def cohorts(self) -> Set[str]:
        """The cohorts whose checkpoints are still needed."""
        return self._paused.keys()

    def add(self, trial_id: str, cohort_id: str) -> None:
        """Record that a trial is paused in a cohort's checkpoint."""
        self._paused.setdefault(cohort_id, set()).add(trial_id)

    def remove(self, trial_id: str) -> list[str]:
        """Record that a trial has ended; return the cohorts without any paused trials left."""
        left = []
        for cohort_id in [cohort_id for cohort_id, ids in self._paused.items() if trial_id in ids]:
            self._paused[cohort_id].discard(trial_id)
            if not self._paused[cohort_id]:
                del self._paused[cohort_id]
                left.append(cohort_id)
        return left

    def find_sources(self, trial_ids: Sequence[str], until: int | None) -> tuple[str, ...]:
        """Return the cohorts whose checkpoints hold these trials at their last pause before `until`."""
        pauses = [self._ledger.pauses_of(trial_id) for trial_id in trial_ids]
        earlier = [[cohort for epoch, cohort in found.items() if until is None or epoch < until] for found in pauses]
        return tuple(dict.fromkeys(cohorts[-1] for cohorts in earlier if cohorts))

    def find_state(self, trial_id: str, planned: PlannedTrial) -> Ending | None:
        """Return the recorded outcome of a requested trial; None if it has to be trained.

        A pause is derived from the epochs up to it: the answer must not depend on later training.
        """
        outcome = self._ledger.outcome_of(trial_id)
        if planned.until is not None and self._has_paused(trial_id, planned.until, planned.recipe.epochs, outcome):
            return "paused"
        if outcome is None or outcome.state == "pruned":
            return None
        # A search has continued without a failed candidate; retrying it would change the search.
        if outcome.state == "failed" and planned.stage == "final":
            return None
        return outcome.state

    def _has_paused(self, trial_id: str, until: int, num_epochs: int, outcome: Outcome | None) -> bool:
        if until >= num_epochs:
            return False
        pauses = self._ledger.pauses_of(trial_id)
        if until in pauses:
            self.add(trial_id, pauses[until])
            return True
        num_known = len(self._ledger.curve_of(trial_id, until + 1))
        return num_known > until or (outcome is not None and num_known == until and outcome.num_epochs > until)
