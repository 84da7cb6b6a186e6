"""The strategies, as records, and the choice of one for a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bakeoff.data.source import DataSource
from bakeoff.search.grid import Grid
from bakeoff.search.racing import Racing
from bakeoff.search.searching import Facts, Searching
from bakeoff.search.strategy import Strategy
from bakeoff.stats.failures import chance_level
from bakeoff.stats.metrics import find_metric
from bakeoff.study.plan import Plan
from bakeoff.study.search import SEARCHES
from bakeoff.study.settings import Race


@dataclass(frozen=True)
class StrategyRecord:
    """One way to decide which trials run next.

    Attributes:
        name: its name in lists and, for a search, in studies.
        summary: a one-line description.
        make: builds it for a plan, given facts about the images.
    """

    name: str
    summary: str
    make: Callable[[Plan, Mapping[DataSource, Facts]], Strategy]


def _make_grid(plan: Plan, facts: Mapping[DataSource, Facts]) -> Strategy:
    return Grid(plan.trials)


def _make_race(plan: Plan, facts: Mapping[DataSource, Facts]) -> Strategy:
    study = plan.study
    return Racing(
        plan.trials,
        at_least=study.replicates.at_least if isinstance(study.replicates, Race) else 3,
        metric=study.decide.metric,
        higher_is_better=find_metric(study.decide.metric).higher_is_better,
        margin=study.decide.margin,
        confidence=study.decide.confidence,
        baseline=study.decide.against,
        failed_scores=_score_failed(plan, facts) if study.decide.failed == "worst" else {},
        borrows=study.decide.method == "moderated",
    )


def _score_failed(plan: Plan, facts: Mapping[DataSource, Facts]) -> dict[str, float]:
    """Return the score of a failed trial by block: the deciding metric's chance level."""
    record = find_metric(plan.study.decide.metric)
    return {block.label: chance_level(record, facts[block.data.source].num_classes) for block in plan.blocks}


GRID = StrategyRecord("grid", "every arm in every block for every replicate", _make_grid)
RACING = StrategyRecord("racing", "one more replicate at a time, for the arms whose comparisons are open", _make_race)


def list_strategies() -> tuple[StrategyRecord, ...]:
    """Return every strategy, the registered searches last."""
    return (GRID, RACING, *(StrategyRecord(search.name, search.summary, Searching) for search in SEARCHES))


def choose_strategy(plan: Plan) -> StrategyRecord:
    """Return a study's strategy: its search, a race if its number of replicates is open, else the grid."""
    study = plan.study
    if study.search is not None:
        return next(record for record in list_strategies() if record.name == study.search.name)
    return RACING if isinstance(study.replicates, Race) else GRID
