"""The grid: every arm in every block for every replicate, all requested at once."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.search.strategy import Pruned, TrialOutcome
from bakeoff.study.plan import PlannedTrial


class Grid:
    """Requests all trials of a plan at the first `ask`, whatever the results."""

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        self._remaining = tuple(trials)

    def ask(self) -> Sequence[PlannedTrial]:
        """Return every trial the first time, none afterwards."""
        asked, self._remaining = self._remaining, ()
        return asked

    def tell(self, told: TrialOutcome) -> None:
        """Ignored: the grid does not depend on results."""

    def prune(self) -> Sequence[Pruned]:
        """Nothing pauses."""
        return ()
