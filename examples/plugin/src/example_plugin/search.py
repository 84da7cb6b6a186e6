"""A search: learning rates, each half the one before."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.proposers import Setting
from bakeoff.study.search import SearchRecord
from bakeoff.study.search_settings import SearchSettings


class Ladder(SearchSettings):
    """The settings of `ladder` in a study file."""

    name: Literal["ladder"] = "ladder"
    rungs: int = Field(default=2, ge=1, description="Rates that are tried.")

    @property
    def most_candidates(self) -> int:
        """Maximum number of candidates."""
        return self.rungs


class LadderProposer:
    """Proposes all rates at once."""

    def __init__(self, search: Ladder, setting: Setting) -> None:
        rates = [0.01 / 2**rung for rung in range(search.rungs)]
        self._group = [Proposal(number=n, changes={"optimizer.learning_rate": rate}) for n, rate in enumerate(rates)]

    def propose(self) -> Sequence[Proposal]:
        """Return the next candidates, to be trained together; none ends the search."""
        group, self._group = self._group, []
        return group

    def judge(self, score: Score) -> None:
        """Learn a candidate's score; here nothing is learned."""


def refuse_baseline(search: Ladder, setting: Setting, budget: int) -> LadderProposer:
    """Return the search's random baseline; never called, because the settings have none."""
    raise NotImplementedError


LADDER = SearchRecord(
    "ladder",
    "learning rates, halved each time",
    "this package",
    Ladder,
    make=LadderProposer,
    make_baseline=refuse_baseline,
)
