"""What a study says in the place of arms: a search, which proposes the recipes itself. Records, no algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bakeoff.networks.choices import Record, collect_names, spell_out
from bakeoff.study.genome_settings import EvolutionSearch
from bakeoff.study.space import Space, find_sampler_faults
from bakeoff.training.metric import Metric

DEFAULT, WINNER, RANDOM = "default", "winner", "random"
"""The arms of a search's finals: the study's recipe, the best candidate, and the best of the random baseline."""

Objective: TypeAlias = Metric | Literal["parameters", "seconds"]
"""What candidates are judged by: a metric on the validation split; a network's parameters; seconds of training."""

COSTS = ("parameters", "seconds")
"""Objectives that no metric measures: known when a candidate is trained, not before."""

Sampler: TypeAlias = Literal["tpe", "cmaes", "random", "grid", "nsga2"]


class Halving(Record):
    """Successive halving: candidates of a group that fall behind are stopped early.

    Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter optimization. Rungs stand
    at `first`, `first * factor`, `first * factor**2`, ... epochs; of the candidates at a rung the best
    1 / factor go on.
    """

    first: int = Field(default=1, strict=True, ge=1, le=1_000_000, description="Epochs before the first rung.")
    factor: int = Field(
        default=3,
        strict=True,
        ge=2,
        le=100,
        description="At each rung one in this many candidates goes on, and the next rung is this many times as far.",
    )

    def next_rung(self, epoch: int) -> int:
        """Return the first rung after `epoch`, in epochs."""
        rung = self.first
        while rung <= epoch:
            rung *= self.factor
        return rung


class OptunaSearch(Record):
    """Candidates proposed by one of Optuna's samplers, from a space of the recipe's fields."""

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
        description="Candidates proposed at a time; they can be trained together, without learning from each other.",
    )
    objectives: tuple[Objective, ...] = Field(
        default=(), max_length=5, description="Objectives, most important first; empty: decide.metric alone."
    )
    halving: Halving | None = Field(
        default=None, description="Successive halving: candidates that fall behind are stopped early. null: none are."
    )
    replicates: int = Field(
        default=1, strict=True, ge=1, le=100, description="Trainings per candidate; their scores are averaged."
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
            faults.append("cmaes has one objective: nsga2 or tpe take several")
        if faults:
            raise PydanticCustomError("sampler", "{message}", {"message": "; ".join(faults)})
        if self.halving is not None and (len(self.objectives) > 1 or set(self.objectives) & set(COSTS)):
            raise PydanticCustomError("halving", "halving compares curves of one metric: give one objective, a metric")
        return self

    @property
    def most_candidates(self) -> int:
        """Candidates that are tried at most, less the baseline's."""
        return self.trials


@dataclass(frozen=True)
class SearchKind:
    """One kind of search that a study can name."""

    name: str
    summary: str
    settings: type[OptunaSearch] | type[EvolutionSearch]


SEARCHES: tuple[SearchKind, ...] = (
    SearchKind("optuna", "candidates from a space of fields, by TPE, CMA-ES, random, grid or NSGA-II", OptunaSearch),
    SearchKind("evolution", "networks as genomes: the best are crossed and mutated", EvolutionSearch),
)

SEARCH_NAMES = collect_names(SEARCHES)

AnySearch: TypeAlias = OptunaSearch | EvolutionSearch

_Tagged: TypeAlias = Annotated[AnySearch, Field(discriminator="name")]

SearchChoice: TypeAlias = Annotated[
    _Tagged,
    BeforeValidator(
        partial(spell_out, kind="search", allowed=SEARCH_NAMES), json_schema_input_type=Literal["evolution"] | _Tagged
    ),
]
"""A search in a study: a mapping of a name and settings, or one of the records."""


def list_objectives(search: AnySearch, metric: Metric) -> tuple[Objective, ...]:
    """Return what a search's candidates are judged by, most important first.

    Args:
        search: the search.
        metric: the study's deciding metric.
    """
    return (isinstance(search, OptunaSearch) and search.objectives) or (metric,)


def find_halving(search: AnySearch) -> Halving | None:
    """Return when a search gives candidates up; None where it never does."""
    return search.halving if isinstance(search, OptunaSearch) else None


def list_finals(search: AnySearch) -> tuple[str, ...]:
    """Return the arms that are trained anew and compared when a search has ended."""
    return (DEFAULT, WINNER, *((RANDOM,) if search.baseline is not None else ()))


def count_candidates(search: AnySearch) -> int:
    """Return how many candidates are tried at most, the baseline's included."""
    return search.most_candidates * (1 if search.baseline is None else 2)
