"""The settings of searches, which a study can have instead of arms. Records only, no algorithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.catalog.choices import RegistryEntry, choose_from
from bakeoff.catalog.metric import Metric
from bakeoff.registry import Implementation, Registry
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.search_settings import COSTS, Halving, Objective, SearchSettings
from bakeoff.study.space import Space, find_sampler_faults

DEFAULT, WINNER, RANDOM = "default", "winner", "random"
"""The arms of a search's finals: the study's recipe, the best candidate, and the random baseline's best."""

Sampler: TypeAlias = Literal["tpe", "cmaes", "random", "grid", "nsga2"]


class OptunaSearch(SearchSettings):
    """Candidates from a space of recipe fields, proposed by one of Optuna's samplers."""

    name: Literal["optuna"] = "optuna"
    space: Space = Field(description="Recipe fields to search, and the values each may take.")
    sampler: Sampler = Field(
        default="tpe",
        description="tpe: tree-structured Parzen estimator; cmaes: CMA-ES, for numbers; random: random search; "
        "grid: every combination; nsga2: NSGA-II, for several objectives.",
    )
    trials: int = Field(default=50, strict=True, ge=1, le=100_000, description="Maximum number of candidates.")
    group: int = Field(
        default=4,
        strict=True,
        ge=1,
        le=1_000,
        description="Candidates proposed at a time; they can be trained together, but do not learn from each other.",
    )
    objectives: tuple[Objective, ...] = Field(
        default=(), max_length=5, description="Objectives, most important first; empty: decide.metric alone."
    )
    halving: Halving | None = Field(
        default=None, description="Successive halving: candidates that fall behind are stopped early. null: off."
    )
    baseline: Literal["random"] | None = Field(
        default=None,
        description="random: also evaluate as many randomly drawn candidates, to show what the sampler adds. null: "
        "no baseline.",
    )

    @model_validator(mode="after")
    def _check(self) -> OptunaSearch:
        repeated = [name for name in self.objectives if self.objectives.count(name) > 1]
        if repeated:
            raise PydanticCustomError("objectives", "{name} is an objective twice", {"name": repeated[0]})
        faults = [f"{path}: {why}" if path else why for path, why in find_sampler_faults(self.space, self.sampler)]
        if self.sampler == "cmaes" and len(self.objectives) > 1:
            faults.append("cmaes takes only one objective: use nsga2 or tpe")
        if faults:
            raise PydanticCustomError("sampler", "{message}", {"message": "; ".join(faults)})
        if self.halving is not None and (len(self.objectives) > 1 or set(self.objectives) & set(COSTS)):
            raise PydanticCustomError("halving", "halving needs a single objective, and it must be a metric")
        return self

    @property
    def most_candidates(self) -> int:
        """Maximum number of candidates, without the baseline's."""
        return self.trials

    def list_objectives(self, metric: Metric) -> tuple[Objective, ...]:
        """Return the objectives; by default the deciding metric."""
        return self.objectives or (metric,)

    def find_halving(self) -> Halving | None:
        """Return the settings of successive halving; None if it is off."""
        return self.halving

    def find_space(self) -> Space:
        """Return the space of recipe fields."""
        return self.space


AnySearch: TypeAlias = SearchSettings
"""The settings of any registered search."""


@dataclass(frozen=True)
class SearchRecord(RegistryEntry[SearchSettings]):
    """A search that a study can name.

    Attributes:
        make: `module:function` that builds the `search.proposal.Proposer` from the settings and a
            `search.proposers.Setting`.
        make_baseline: the same for the random baseline; also takes its budget, a number of candidates.
        sample: function of the settings and the images' shape that returns representative changes of the recipe, with
            which a block's numeric mode is chosen. Empty: the study's own recipe is used.
    """

    make: Implementation
    make_baseline: Implementation
    sample: Implementation = ""


_PROPOSERS = "bakeoff.search.proposers"

_OURS: tuple[SearchRecord, ...] = (
    SearchRecord(
        "optuna",
        "candidates from a space of fields, by TPE, CMA-ES, random, grid or NSGA-II",
        "Akiba, Sano, Yanase, Ohta and Koyama (2019), Optuna: a next-generation hyperparameter optimization framework",
        OptunaSearch,
        make=f"{_PROPOSERS}:make_optuna",
        make_baseline=f"{_PROPOSERS}:make_random_points",
        sample=f"{_PROPOSERS}:sample_space",
    ),
    SearchRecord(
        "evolution",
        "networks as genomes: the best are crossed and mutated",
        "the shipped studies evolve-conv and evolve-dense",
        EvolutionSearch,
        make=f"{_PROPOSERS}:make_evolution",
        make_baseline=f"{_PROPOSERS}:make_random_genomes",
        sample=f"{_PROPOSERS}:sample_genomes",
    ),
)

SEARCHES: Registry[SearchRecord] = Registry("search", _OURS, "bakeoff.searches")

SearchChoice: TypeAlias = Annotated[AnySearch, choose_from(SEARCHES)]
"""A search in a study: a mapping of a name and settings, or one of the records."""


def list_finals(search: AnySearch) -> tuple[str, ...]:
    """Return the arms that are retrained and compared when a search has ended."""
    return (DEFAULT, WINNER, *((RANDOM,) if search.baseline is not None else ()))


def count_candidates(search: AnySearch) -> int:
    """Return the maximum number of candidates, including the baseline's."""
    return search.most_candidates * (1 if search.baseline is None else 2)
