"""The common settings of all searches, and their interface. Records only, no algorithms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from bakeoff.catalog.choices import Lazily, Record
from bakeoff.catalog.metric import Metric, make_metric_type
from bakeoff.study.dimensions import AnyDimension

COSTS = ("parameters", "seconds")
"""Objectives that are not metrics; known only once a candidate is trained."""

Objective: TypeAlias = Annotated[str, Lazily(lambda: make_metric_type(COSTS))]
"""An objective: a metric on the validation split, `parameters` of the network, or `seconds` of training."""


class Halving(Record):
    """Successive halving: candidates of a group that fall behind are stopped early.

    Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter optimization. Rungs are at
    `first`, `first * factor`, `first * factor**2`, ... epochs; the best 1 / factor of the candidates at a rung
    continue.
    """

    first: int = Field(default=1, strict=True, ge=1, le=1_000_000, description="Epochs before the first rung.")
    factor: int = Field(
        default=3,
        strict=True,
        ge=2,
        le=100,
        description="At each rung one in this many candidates continues; the next rung is this many times as far.",
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
        has_generations: whether each group of candidates is derived from the previous one.
    """

    has_generations: ClassVar[bool] = False

    name: str
    replicates: int = Field(
        default=1, strict=True, ge=1, le=100, description="Trainings per candidate; their scores are averaged."
    )
    baseline: Literal["random"] | None = None

    @property
    def most_candidates(self) -> int:
        """Maximum number of candidates, without the baseline's."""
        raise NotImplementedError  # abstract

    @property
    def num_elite(self) -> int:
        """Number of candidates kept for the next generation."""
        return 0

    def list_objectives(self, metric: Metric) -> tuple[Objective, ...]:
        """Return the objectives, most important first, for a study that decides by this metric."""
        return (metric,)

    def find_halving(self) -> Halving | None:
        """Return the settings of successive halving; None if it is off."""
        return None

    def find_space(self) -> Mapping[str, AnyDimension] | None:
        """Return the space of recipe fields; None if it does not choose field by field."""
        return None
