"""Genomes: a network with its optimizer and epochs, described by genes that can be crossed and mutated. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from bakeoff.catalog.choices import Padding
from bakeoff.catalog.networks.layers import ActivationName, AnyLayer, Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.shapes import Shape, trace
from bakeoff.catalog.optimizers import AnyOptimizer
from bakeoff.errors import NetworkError
from bakeoff.study.genome_settings import DROPOUT_DIGITS, GenomeSettings, NumLayers, ShareGene, WholeGene

Choice = TypeVar("Choice")


@dataclass(frozen=True, kw_only=True)
class ConvGene:
    """A convolution and the dropout after it; its fields are those of `catalog.networks.layers.Conv`."""

    filters: int
    kernel: int
    stride: int
    padding: Padding
    activation: ActivationName
    dropout: float


@dataclass(frozen=True, kw_only=True)
class DenseGene:
    """A hidden dense layer and the dropout after it."""

    units: int
    activation: ActivationName
    dropout: float


@dataclass(frozen=True, kw_only=True)
class Genome:
    """One individual. Equal genomes train identically, so equality and hash are those of the genes."""

    convolutions: tuple[ConvGene, ...]
    dense: tuple[DenseGene, ...]
    optimizer: AnyOptimizer
    epochs: int


def draw_genome(settings: GenomeSettings, rng: np.random.Generator, *, first: bool) -> Genome:
    """Draw every gene independently and uniformly.

    Args:
        settings: the space.
        rng: random generator.
        first: draw from the initial values (`start` of every gene) instead of all values.

    Returns:
        A genome in range, which may not fit the images.
    """
    return Genome(
        convolutions=tuple(_draw_conv(settings, rng, first) for _ in range(_draw_number(settings.convolutions, rng))),
        dense=tuple(_draw_dense(settings, rng, first) for _ in range(_draw_number(settings.dense, rng))),
        optimizer=pick(settings.optimizers, rng),
        epochs=_draw_whole(settings.epochs, rng, first),
    )


def express(genome: Genome, settings: GenomeSettings) -> tuple[AnyLayer, ...]:
    """Return the layers described by a genome, without the output layer."""
    layers: list[AnyLayer] = []
    for number in range(len(genome.convolutions)):
        layers += express_block(genome, number, settings)
    for gene in genome.dense:
        layers += [Dense(units=gene.units, activation=gene.activation), *_drop(gene.dropout)]
    return tuple(layers)


def express_block(genome: Genome, number: int, settings: GenomeSettings) -> tuple[AnyLayer, ...]:
    """Return the layers of one convolution, counted from 0: itself, the pooling after it if any, its dropout."""
    gene = genome.convolutions[number]
    conv = Conv(
        filters=gene.filters,
        kernel=gene.kernel,
        stride=gene.stride,
        padding=gene.padding,
        activation=gene.activation,
    )
    return (conv, *([Pool()] if _is_pooled(genome, number, settings) else []), *_drop(gene.dropout))


def _is_pooled(genome: Genome, number: int, settings: GenomeSettings) -> bool:
    if settings.pool_every is None:
        return False
    return (number + 1) % settings.pool_every == 0 or number + 1 == len(genome.convolutions)


def write_changes(genome: Genome, settings: GenomeSettings) -> dict[str, Any]:
    """Return a genome as changes of a recipe, in the form of a study file."""
    layers = [layer.model_dump(exclude_defaults=True) | {"type": layer.type} for layer in express(genome, settings)]
    optimizer = genome.optimizer.model_dump(exclude_unset=True) | {"name": genome.optimizer.name}
    return {
        "network": {"layers": layers},
        "optimizer": optimizer if len(optimizer) > 1 else genome.optimizer.name,
        "epochs": genome.epochs,
    }


def find_misfit(genome: Genome, settings: GenomeSettings, image_shape_HWC: Shape) -> int | None:
    """Return the first convolution, counted from 0, that does not fit its input (or whose pooling does not), or None.

    Dense layers fit any input.
    """
    shape = tuple(image_shape_HWC)
    for number in range(len(genome.convolutions)):
        try:
            shape = trace(express_block(genome, number, settings), shape)[-1].output_shape
        except NetworkError:
            return number
    return None


def pick(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    """Return one of the choices, uniformly at random."""
    return choices[int(rng.integers(len(choices)))]


def _drop(rate: float) -> list[AnyLayer]:
    return [Dropout(rate=rate)] if rate else []


def _draw_number(settings: NumLayers, rng: np.random.Generator) -> int:
    return int(rng.integers(settings.low, settings.high + 1))


def _draw_whole(gene: WholeGene, rng: np.random.Generator, first: bool) -> int:
    return pick(gene.first_values if first else gene.values, rng)


def _draw_share(gene: ShareGene, rng: np.random.Generator) -> float:
    scale: int = 10**DROPOUT_DIGITS
    return int(rng.integers(round(gene.low * scale), round(gene.high * scale) + 1)) / scale


def _draw_conv(settings: GenomeSettings, rng: np.random.Generator, first: bool) -> ConvGene:
    return ConvGene(
        filters=_draw_whole(settings.filters, rng, first),
        kernel=_draw_whole(settings.kernel, rng, first),
        stride=_draw_whole(settings.stride, rng, first),
        padding=pick(settings.padding, rng),
        activation=pick(settings.activations, rng),
        dropout=_draw_share(settings.dropout, rng),
    )


def _draw_dense(settings: GenomeSettings, rng: np.random.Generator, first: bool) -> DenseGene:
    return DenseGene(
        units=_draw_whole(settings.units, rng, first),
        activation=pick(settings.activations, rng),
        dropout=_draw_share(settings.dropout, rng),
    )
