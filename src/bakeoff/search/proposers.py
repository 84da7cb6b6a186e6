"""The search algorithms, as one tuple of records. Each is imported when a study uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bakeoff.networks.shapes import Shape
from bakeoff.search.front import Direction
from bakeoff.search.proposal import Proposer
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.search import AnySearch, OptunaSearch


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A proposer's inputs besides its settings.

    Attributes:
        image_shape_HWC: height, width and channels of the network's input.
        seed: seed of all its draws.
        directions: the direction of every objective.
    """

    image_shape_HWC: Shape
    seed: int
    directions: tuple[Direction, ...]


@dataclass(frozen=True, kw_only=True)
class ProposerRecord:
    """One search algorithm.

    Attributes:
        name: its name in a study.
        settings: the record of its settings.
        make: builds it.
        make_baseline: builds the random search it has to beat, for a given number of candidates.
    """

    name: str
    settings: type[AnySearch]
    make: Callable[[Any, Setting], Proposer]
    make_baseline: Callable[[Any, Setting, int], Proposer]


def _make_optuna(search: OptunaSearch, setting: Setting) -> Proposer:
    from bakeoff.search.optuna_proposer import OptunaProposer

    return OptunaProposer(
        search.space,
        sampler=search.sampler,
        trials=search.trials,
        group=search.group,
        directions=setting.directions,
        seed=setting.seed,
    )


def _make_random_points(search: OptunaSearch, setting: Setting, budget: int) -> Proposer:
    from bakeoff.search.optuna_proposer import OptunaProposer

    return OptunaProposer(
        search.space,
        sampler="random",
        trials=budget,
        group=search.group,
        directions=setting.directions,
        # A different seed from the search's own: a sampler's first points are also random, and would be the same.
        seed=setting.seed ^ 1,
    )


def _make_evolution(search: EvolutionSearch, setting: Setting) -> Proposer:
    from bakeoff.search.evolution import EvolutionProposer

    rising = setting.directions[0] == "maximize"
    return EvolutionProposer(search, setting.image_shape_HWC, setting.seed, higher_is_better=rising)


def _make_random_genomes(search: EvolutionSearch, setting: Setting, budget: int) -> Proposer:
    from bakeoff.search.random_genomes import RandomGenomes

    return RandomGenomes(search, setting.image_shape_HWC, setting.seed, budget=budget, group=search.population)


PROPOSERS: tuple[ProposerRecord, ...] = (
    ProposerRecord(name="optuna", settings=OptunaSearch, make=_make_optuna, make_baseline=_make_random_points),
    ProposerRecord(
        name="evolution", settings=EvolutionSearch, make=_make_evolution, make_baseline=_make_random_genomes
    ),
)


def find_proposer(search: AnySearch) -> ProposerRecord:
    """Return the algorithm that a search's settings belong to."""
    return next(record for record in PROPOSERS if record.name == search.name)
