"""What every search is set with, and what is asked of it whatever its algorithm. Records, no algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import Lazily, Record, make_literal
from bakeoff.catalog.metric import Metric
from bakeoff.stats.metrics import METRICS
from bakeoff.study.dimensions import AnyDimension

COSTS = ("parameters", "seconds")
"""Objectives that no metric measures: known when a candidate is trained, not before."""

Objective: TypeAlias = Annotated[str, Lazily(lambda: make_literal(METRICS.names) | make_literal(COSTS))]
"""What candidates are judged by: a metric on the validation split; a network's parameters; seconds of training."""


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


class SearchSettings(Record):
    """The settings of a search.

    Attributes:
        has_generations: whether its groups descend from one another.
    """

    has_generations: ClassVar[bool] = False

    name: str
    replicates: int = Field(
        default=1, strict=True, ge=1, le=100, description="Trainings per candidate; their scores are averaged."
    )
    baseline: Literal["random"] | None = None

    @property
    def most_candidates(self) -> int:
        """Candidates that are tried at most, less the baseline's."""
        raise NotImplementedError  # every search defines it

    @property
    def num_elite(self) -> int:
        """Candidates of a generation that are kept for the next."""
        return 0

    def list_objectives(self, metric: Metric) -> tuple[Objective, ...]:
        """Return what candidates are judged by, most important first, where a study decides by this metric."""
        return (metric,)

    def find_halving(self) -> Halving | None:
        """Return when candidates are given up; None where they never are."""
        return None

    def find_space(self) -> Mapping[str, AnyDimension] | None:
        """Return the fields of the recipe that it chooses from; None where it does not choose field by field."""
        return None
