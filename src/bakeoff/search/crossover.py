"""Crossover: a child of two genomes, by whole layers or by single parameters. No torch."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from bakeoff.search.genome import ConvGene, DenseGene, Genome, pick
from bakeoff.study.genome_settings import CrossoverName

Gene = TypeVar("Gene", bound=ConvGene | DenseGene)

Way: TypeAlias = Literal["layers", "parameters"]
"""One way to cross two genomes."""

WAYS: tuple[Way, ...] = ("layers", "parameters")


def choose_way(crossover: CrossoverName, rng: np.random.Generator) -> Way:
    """Return how one pair of parents is crossed; `both` picks either way with equal probability."""
    return pick(WAYS, rng) if crossover == "both" else crossover


def cross(first: Genome, second: Genome, how: Way, rng: np.random.Generator) -> Genome:
    """Return a child of two genomes; optimizer and epochs cross too.

    It has as many convolutions as one of its parents, and as many dense layers as one of them. A layer comes from the
    same position in a parent, counted from the input; if one parent is too short, from the other.

    Args:
        first: a parent.
        second: the other one.
        how: `layers`: each layer whole from either parent; `parameters`: each parameter of each layer from either
            parent.
        rng: random generator.
    """
    return Genome(
        convolutions=_cross_layers(first.convolutions, second.convolutions, how, rng),
        dense=_cross_layers(first.dense, second.dense, how, rng),
        optimizer=pick((first, second), rng).optimizer,
        epochs=pick((first, second), rng).epochs,
    )


def _cross_layers(
    first: tuple[Gene, ...],
    second: tuple[Gene, ...],
    how: Way,
    rng: np.random.Generator,
) -> tuple[Gene, ...]:
    number = len(pick((first, second), rng))
    longer = first if len(first) >= len(second) else second
    crossed: list[Gene] = []
    for one, other in list(zip(first, second, strict=False))[:number]:
        crossed.append(pick((one, other), rng) if how == "layers" else _pick_parameters(one, other, rng))
    return (*crossed, *longer[len(crossed) : number])


def _pick_parameters(first: Gene, second: Gene, rng: np.random.Generator) -> Gene:
    values: dict[str, Any] = {
        field.name: getattr(pick((first, second), rng), field.name) for field in dataclasses.fields(first)
    }
    return dataclasses.replace(first, **values)
