from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bakeoff.catalog.networks.shapes import trace
from bakeoff.catalog.optimizers import Adam
from bakeoff.search.genome import ConvGene, DenseGene, Genome, draw_genome, express, find_misfit
from bakeoff.search.repair import repair
from bakeoff.study.genome_settings import GenomeSettings

SETTINGS = GenomeSettings()
PLAIN = ConvGene(filters=16, kernel=5, stride=1, padding="valid", activation="relu", dropout=0.1)
DENSE = (DenseGene(units=16, activation="relu", dropout=0.1),)


def make_genome(*convolutions: ConvGene) -> Genome:
    return Genome(convolutions=convolutions, dense=DENSE, optimizer=Adam(), epochs=10)


def test_what_fits_is_left_alone() -> None:
    genome = make_genome(PLAIN)
    assert repair(genome, SETTINGS, (8, 8, 1)) == (genome, ())


@pytest.mark.parametrize(
    ("convolutions", "shape", "notes"),
    [
        # 4x4: kernel 5 and 4 leave too little for the pooling, 3 leaves 2x2.
        ([PLAIN], (4, 4, 1), ("repaired: kernel of conv 1: 5 -> 3",)),
        ([PLAIN], (2, 2, 1), ("repaired: padding of conv 1: valid -> same",)),
        ([dataclasses.replace(PLAIN, padding="same", stride=3)], (3, 3, 1), ("repaired: stride of conv 1: 3 -> 1",)),
        # A stride before it: 8 -> 3 -> 1 after two of stride 3.
        (
            [dataclasses.replace(PLAIN, padding="same", stride=3)] * 2,
            (8, 8, 1),
            ("repaired: stride of conv 1: 3 -> 1",),
        ),
    ],
)
def test_one_change_is_made_where_one_is_enough(
    convolutions: list[ConvGene], shape: tuple[int, int, int], notes: tuple[str, ...]
) -> None:
    repaired = repair(make_genome(*convolutions), SETTINGS, shape)
    assert repaired is not None
    assert repaired[1] == notes
    assert find_misfit(repaired[0], SETTINGS, shape) is None


def test_a_layer_is_left_out_at_last() -> None:
    settings = GenomeSettings.model_validate({"padding": ["valid"], "kernel": 3, "stride": 1})
    gene = dataclasses.replace(PLAIN, kernel=3)
    repaired = repair(make_genome(gene, gene), settings, (4, 4, 1))
    assert repaired == (make_genome(gene), ("repaired: conv 2 left out",))


def test_nothing_is_returned_where_nothing_in_range_fits() -> None:
    settings = GenomeSettings.model_validate({"padding": ["valid"]})
    assert repair(make_genome(PLAIN), settings, (2, 2, 1)) is None


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3)])
def test_every_genome_of_the_published_space_can_be_repaired_in_range(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    num_repaired = 0
    for _ in range(150):
        genome = draw_genome(SETTINGS, rng, first=True)
        repaired = repair(genome, SETTINGS, shape)
        assert repaired is not None
        trace(express(repaired[0], SETTINGS), shape)
        num_repaired += bool(repaired[1])
        assert bool(repaired[1]) == (repaired[0] != genome)
        assert repaired[0].dense == genome.dense
        assert 1 <= len(repaired[0].convolutions) <= len(genome.convolutions)
        assert all(gene.kernel >= 3 and gene.stride >= 1 for gene in repaired[0].convolutions)
    assert num_repaired > 20
