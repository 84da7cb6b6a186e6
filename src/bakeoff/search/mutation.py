"""Mutation: every numeric parameter of a genome may change by a small step within its range. No torch."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np

from bakeoff.search.genome import ConvGene, DenseGene, Genome, pick
from bakeoff.study.genome_settings import DROPOUT_DIGITS, GenomeSettings, ShareGene, WholeGene

Gene = TypeVar("Gene", bound=ConvGene | DenseGene)

SCALE = 10**DROPOUT_DIGITS


def mutate(
    genome: Genome, settings: GenomeSettings, chance: float, rng: np.random.Generator
) -> tuple[Genome, tuple[str, ...]]:
    """Mutate every numeric parameter independently with a given probability.

    A move is drawn from those that stay in range and change the value, so that parameters at the edge of their range
    move as often as others. Padding, activation, optimizer and the number of layers do not mutate.

    Args:
        genome: the genome to mutate.
        settings: ranges, and the largest moves.
        chance: mutation probability of each parameter, 0..1.
        rng: random generator.

    Returns:
        The mutant, and a phrase for every move (`kernel of conv 1: 3 -> 4`).
    """
    conv_ranges = {name: getattr(settings, name) for name in ("filters", "kernel", "stride", "dropout")}
    dense_ranges = {name: getattr(settings, name) for name in ("units", "dropout")}
    notes: list[str] = []
    convolutions = tuple(
        _mutate_gene(gene, conv_ranges, f"conv {number}", chance, rng, notes)
        for number, gene in enumerate(genome.convolutions, start=1)
    )
    dense = tuple(
        _mutate_gene(gene, dense_ranges, f"dense {number}", chance, rng, notes)
        for number, gene in enumerate(genome.dense, start=1)
    )
    epochs = _move(genome.epochs, settings.epochs, chance, rng)
    if epochs != genome.epochs:
        notes.append(f"epochs: {genome.epochs} -> {epochs}")
    return dataclasses.replace(genome, convolutions=convolutions, dense=dense, epochs=epochs), tuple(notes)


def list_moves(value: float, gene: WholeGene | ShareGene) -> list[float]:
    """Return the possible results of one mutation: in range, within the largest moves, and not the value itself."""
    down, up = gene.move
    if isinstance(gene, WholeGene):
        return [other for other in gene.values if other != value and value + down <= other <= value + up]
    # In hundredths, because 0.3 - 0.1 is not 0.2.
    now = round(value * SCALE)
    low, high = round(gene.low * SCALE), round(gene.high * SCALE)
    least, largest = max(low, now + round(down * SCALE)), min(high, now + round(up * SCALE))
    return [hundredths / SCALE for hundredths in range(least, largest + 1) if hundredths != now]


def _mutate_gene(
    gene: Gene,
    ranges: dict[str, WholeGene | ShareGene],
    title: str,
    chance: float,
    rng: np.random.Generator,
    notes: list[str],
) -> Gene:
    moved: dict[str, Any] = {}
    for name, allowed in ranges.items():
        before = getattr(gene, name)
        after = _move(before, allowed, chance, rng)
        if after != before:
            moved[name] = after
            notes.append(f"{name} of {title}: {before:g} -> {after:g}")
    return dataclasses.replace(gene, **moved)


def _move(value: Any, gene: WholeGene | ShareGene, chance: float, rng: np.random.Generator) -> Any:
    if rng.random() >= chance:
        return value
    moves = list_moves(value, gene)
    return pick(moves, rng) if moves else value
