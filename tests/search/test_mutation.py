from __future__ import annotations

import numpy as np
import pytest

from bakeoff.search.genome import Genome, draw_genome
from bakeoff.search.mutation import list_moves, mutate
from bakeoff.study.genome_settings import GenomeSettings

SETTINGS = GenomeSettings()


def count_parameters(genome: Genome) -> int:
    return 4 * len(genome.convolutions) + 2 * len(genome.dense) + 1


def test_the_moves_are_the_published_steps_within_range() -> None:
    assert list_moves(4, SETTINGS.kernel) == [3, 5]
    assert list_moves(3, SETTINGS.stride) == [2]
    assert list_moves(32, SETTINGS.filters) == [16, 48, 64]
    assert list_moves(64, SETTINGS.filters) == [32, 48]
    assert list_moves(12, SETTINGS.epochs) == [10, 11, 13, 14, 15]
    assert list_moves(10, SETTINGS.epochs) == [11, 12, 13, 14]
    assert list_moves(0.1, SETTINGS.dropout) == [hundredths / 100 for hundredths in range(11, 31)]
    assert list_moves(0.3, SETTINGS.dropout)[0] == 0.1


def test_one_parameter_in_ten_moves() -> None:
    rng = np.random.default_rng(0)
    genomes = [draw_genome(SETTINGS, rng, first=True) for _ in range(400)]
    num_moves = sum(len(mutate(genome, SETTINGS, 0.1, rng)[1]) for genome in genomes)
    num_parameters = sum(map(count_parameters, genomes))
    # Three standard deviations of a binomial share.
    assert abs(num_moves / num_parameters - 0.1) < 3 * np.sqrt(0.09 / num_parameters)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_none_or_all_move(chance: float) -> None:
    rng = np.random.default_rng(1)
    genome = draw_genome(SETTINGS, rng, first=True)
    mutant, notes = mutate(genome, SETTINGS, chance, rng)
    assert len(notes) == chance * count_parameters(genome)
    assert (mutant == genome) == (chance == 0)


def test_mutants_of_mutants_stay_in_range() -> None:
    rng = np.random.default_rng(2)
    genome = draw_genome(SETTINGS, rng, first=True)
    for _ in range(200):
        mutant, _ = mutate(genome, SETTINGS, 0.5, rng)
        assert [gene.activation for gene in mutant.dense] == [gene.activation for gene in genome.dense]
        assert [gene.padding for gene in mutant.convolutions] == [gene.padding for gene in genome.convolutions]
        assert mutant.optimizer == genome.optimizer
        for before, after in zip(genome.convolutions, mutant.convolutions, strict=True):
            assert after.filters in SETTINGS.filters.values
            assert abs(after.filters - before.filters) <= 32
            assert after.kernel in SETTINGS.kernel.values
            assert abs(after.kernel - before.kernel) <= 1
            assert after.stride in SETTINGS.stride.values
            assert 0.1 <= after.dropout <= 0.3
        assert mutant.epochs in SETTINGS.epochs.values
        assert -2 <= mutant.epochs - genome.epochs <= 4
        genome = mutant


def test_the_notes_say_what_moved() -> None:
    settings = GenomeSettings.model_validate({"convolutions": 1, "dense": 0, "filters": 16, "stride": 1, "dropout": 0})
    rng = np.random.default_rng(3)
    genome = draw_genome(settings, rng, first=True)
    mutant, notes = mutate(genome, settings, 1.0, rng)
    before, after = genome.convolutions[0].kernel, mutant.convolutions[0].kernel
    assert notes == (f"kernel of conv 1: {before} -> {after}", f"epochs: {genome.epochs} -> {mutant.epochs}")
