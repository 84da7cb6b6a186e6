"""Makes the search algorithms from their settings. Each is imported when a study uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.catalog.networks.shapes import Shape
from bakeoff.search.front import Direction
from bakeoff.search.proposal import Proposer
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.search import OptunaSearch
from bakeoff.study.space import list_probes

NUM_GENOMES = 12
"""Number of random genomes: enough to include small and large ones."""


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


def make_optuna(search: OptunaSearch, setting: Setting) -> Proposer:
    """Make a search of a space with one of Optuna's samplers."""
    from bakeoff.search.optuna_proposer import OptunaProposer

    return OptunaProposer(
        search.space,
        sampler=search.sampler,
        trials=search.trials,
        group=search.group,
        directions=setting.directions,
        seed=setting.seed,
    )


def make_random_points(search: OptunaSearch, setting: Setting, budget: int) -> Proposer:
    """Make a random search of the same space."""
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


def make_evolution(search: EvolutionSearch, setting: Setting) -> Proposer:
    """Make an evolution of genomes."""
    from bakeoff.search.evolution import EvolutionProposer

    rising = setting.directions[0] == "maximize"
    return EvolutionProposer(search, setting.image_shape_HWC, setting.seed, higher_is_better=rising)


def make_random_genomes(search: EvolutionSearch, setting: Setting, budget: int) -> Proposer:
    """Make a random search of genomes."""
    from bakeoff.search.random_genomes import RandomGenomes

    return RandomGenomes(search, setting.image_shape_HWC, setting.seed, budget=budget, group=search.population)


def sample_space(search: OptunaSearch, image_shape_HWC: Shape) -> list[Mapping[str, Any]]:
    """Return changes with every field of the space at both ends of its range."""
    return list(list_probes(search.space))


def sample_genomes(search: EvolutionSearch, image_shape_HWC: Shape) -> list[Mapping[str, Any]]:
    """Return the changes of a few random genomes."""
    from bakeoff.search.random_genomes import RandomGenomes

    genomes = RandomGenomes(search, image_shape_HWC, 0, budget=NUM_GENOMES, group=NUM_GENOMES)
    return [proposal.changes for proposal in genomes.propose()]
