"""The strategies, as one visible tuple of records."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.search.grid import Grid
from bakeoff.search.racing import Racing


@dataclass(frozen=True)
class StrategyRecord:
    """One way to decide who is tried next."""

    name: str
    summary: str
    kind: type[Grid] | type[Racing]


STRATEGIES: tuple[StrategyRecord, ...] = (
    StrategyRecord("grid", "every arm in every block for every replicate", Grid),
    StrategyRecord("racing", "one more replicate at a time, for the arms whose comparisons are open", Racing),
)
