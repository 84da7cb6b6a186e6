"""The grid: every arm in every block for every replicate, all asked at once."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.search.strategy import Pruned, Told
from bakeoff.study.plan import PlannedTrial


class Grid:
    """Asks for all trials of a plan at the first `ask`; nothing it is told changes that."""

    def __init__(self, trials: Sequence[PlannedTrial]) -> None:
        self._remaining = tuple(trials)

    def ask(self) -> Sequence[PlannedTrial]:
        """Return every trial the first time, none afterwards."""
        asked, self._remaining = self._remaining, ()
        return asked

    def tell(self, told: Told) -> None:
        """Nothing depends on results."""

    def prune(self) -> Sequence[Pruned]:
        """Nothing pauses."""
        return ()
