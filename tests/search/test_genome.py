from __future__ import annotations

import numpy as np

from bakeoff.catalog.networks.layers import Conv, Dense, Dropout, Pool
from bakeoff.catalog.networks.named import expand
from bakeoff.catalog.optimizers import SGD, Adam
from bakeoff.catalog.recipe import Recipe
from bakeoff.search.genome import ConvGene, DenseGene, Genome, draw_genome, express, find_misfit, write_changes
from bakeoff.study.genome_settings import GenomeSettings

SETTINGS = GenomeSettings()


def make_conv(**changes: object) -> ConvGene:
    values = {"filters": 16, "kernel": 3, "stride": 1, "padding": "same", "activation": "relu", "dropout": 0.1}
    return ConvGene(**(values | changes))  # type: ignore[arg-type]


def make_genome(*convolutions: ConvGene) -> Genome:
    dense = (DenseGene(units=32, activation="tanh", dropout=0.2),)
    return Genome(convolutions=convolutions, dense=dense, optimizer=Adam(), epochs=12)


def test_every_draw_is_in_range_and_every_value_comes_up() -> None:
    rng = np.random.default_rng(0)
    genomes = [draw_genome(SETTINGS, rng, first=False) for _ in range(400)]
    convolutions = [gene for genome in genomes for gene in genome.convolutions]
    dense = [gene for genome in genomes for gene in genome.dense]
    assert {len(genome.convolutions) for genome in genomes} == set(range(1, 8))
    assert {len(genome.dense) for genome in genomes} == set(range(1, 8))
    assert {gene.filters for gene in convolutions} == {gene.units for gene in dense} == {16, 32, 48, 64}
    assert {gene.kernel for gene in convolutions} == {3, 4, 5}
    assert {gene.stride for gene in convolutions} == {1, 2, 3}
    assert {gene.padding for gene in convolutions} == {"same", "valid"}
    assert (
        {gene.activation for gene in convolutions} == {gene.activation for gene in dense} == {"relu", "tanh", "swish"}
    )
    assert {gene.dropout for gene in convolutions} == {hundredths / 100 for hundredths in range(10, 31)}
    assert {genome.optimizer.name for genome in genomes} == {"rmsprop", "adam", "sgd", "adagrad"}
    assert {genome.epochs for genome in genomes} == set(range(10, 16))


def test_the_first_generation_draws_filters_and_units_from_the_start() -> None:
    rng = np.random.default_rng(0)
    genomes = [draw_genome(SETTINGS, rng, first=True) for _ in range(50)]
    assert {gene.filters for genome in genomes for gene in genome.convolutions} == {16, 32}
    assert {gene.units for genome in genomes for gene in genome.dense} == {16, 32}


def test_a_pooling_follows_every_third_convolution_and_the_last() -> None:
    def kinds(number: int) -> str:
        layers = express(make_genome(*[make_conv()] * number), SETTINGS)
        return "".join({Conv: "c", Pool: "p", Dropout: "d", Dense: "D"}[type(layer)] for layer in layers)

    assert kinds(1) == "cpdDd"
    assert kinds(3) == "cdcdcpdDd"
    assert kinds(4) == "cdcdcpdcpdDd"
    assert kinds(7) == "cdcdcpdcdcdcpdcpdDd"


def test_no_dropout_layer_stands_for_a_rate_of_zero() -> None:
    layers = express(make_genome(make_conv(dropout=0.0)), SETTINGS)
    assert [type(layer) for layer in layers] == [Conv, Pool, Dense, Dropout]


def test_changes_make_a_recipe_of_the_same_layers() -> None:
    genome = make_genome(make_conv(kernel=4, stride=2, padding="valid", activation="swish"), make_conv())
    changes = write_changes(genome, SETTINGS)
    recipe = Recipe.model_validate(changes)
    assert expand(recipe.network, (32, 32, 3), 10) == (*express(genome, SETTINGS), Dense(units=10))  # type: ignore[arg-type]
    assert (recipe.optimizer, recipe.epochs, changes["optimizer"]) == (Adam(), 12, "adam")


def test_an_optimizer_keeps_what_was_said_of_it() -> None:
    genome = Genome(convolutions=(make_conv(),), dense=(), optimizer=SGD(momentum=0.9), epochs=10)
    assert write_changes(genome, SETTINGS)["optimizer"] == {"name": "sgd", "momentum": 0.9}


def test_the_misfit_is_the_first_convolution_that_fails_or_whose_pooling_does() -> None:
    valid = make_conv(kernel=5, padding="valid")
    assert find_misfit(make_genome(valid, valid), SETTINGS, (32, 32, 3)) is None
    assert find_misfit(make_genome(valid, valid), SETTINGS, (8, 8, 1)) == 1
    assert find_misfit(make_genome(valid), SETTINGS, (4, 4, 1)) == 0
    assert find_misfit(make_genome(valid), SETTINGS, (5, 5, 1)) == 0, "the pooling meets one pixel"
    assert find_misfit(make_genome(valid), SETTINGS, (6, 6, 1)) is None


def test_equal_genes_are_one_genome() -> None:
    assert len({make_genome(make_conv()), make_genome(make_conv()), make_genome(make_conv(dropout=0.2))}) == 2
