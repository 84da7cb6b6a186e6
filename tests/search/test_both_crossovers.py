"""`crossover: both`: each pair of parents is crossed by one way, drawn for it; the baseline draws as generation 0."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from bakeoff.catalog.networks.layers import Pool
from bakeoff.search.crossover import choose_way
from bakeoff.search.evolution import EvolutionProposer
from bakeoff.search.genome import draw_genome, express
from bakeoff.search.proposal import Score
from bakeoff.search.random_genomes import RandomGenomes
from bakeoff.study.genome_settings import EvolutionSearch, GenomeSettings
from bakeoff.study.load import load_study

IMAGES = (32, 32, 3)


def test_either_way_is_drawn_as_often_and_the_others_draw_nothing() -> None:
    rng = np.random.default_rng(0)
    ways = Counter(choose_way("both", rng) for _ in range(1_000))
    assert abs(ways["layers"] - 500) < 60
    assert ways["layers"] + ways["parameters"] == 1_000
    before = rng.bit_generator.state
    assert (choose_way("layers", rng), choose_way("parameters", rng)) == ("layers", "parameters")
    assert rng.bit_generator.state == before


def test_pairs_of_one_generation_are_crossed_both_ways() -> None:
    settings = EvolutionSearch(population=20, generations=4, crossover="both")
    proposer = EvolutionProposer(settings, IMAGES, seed=1)
    ways: Counter[str] = Counter()
    while group := proposer.propose():
        for proposal in group:
            ways.update(re.findall(r"crossover of \d+ and \d+ by (\w+)", " ".join(proposal.notes)))
            proposer.judge(Score(number=proposal.number, values=(float(proposal.number),)))
    assert ways.keys() == {"layers", "parameters"}
    assert min(ways.values()) > sum(ways.values()) / 4


def test_the_baseline_draws_from_the_ranges_of_the_first_generation() -> None:
    search = load_study("evolve-cifar10").search
    assert isinstance(search, EvolutionSearch)
    group = RandomGenomes(search, IMAGES, seed=0, budget=120, group=120).propose()
    layers = [layer for proposal in group for layer in proposal.changes["network"]["layers"]]
    assert {layer["filters"] for layer in layers if layer["type"] == "conv"} == {16, 32, 64, 128}
    assert {layer["units"] for layer in layers if layer["type"] == "dense"} == {32, 64, 128, 256}


def test_without_pooling_there_is_none() -> None:
    settings = GenomeSettings.model_validate({"pool_every": None, "convolutions": 4})
    genome = draw_genome(settings, np.random.default_rng(0), first=True)
    assert not any(isinstance(layer, Pool) for layer in express(genome, settings))


def test_the_shipped_variants_have_the_layers_of_the_original() -> None:
    counts = {}
    for name in ("evolve-cifar10", "evolve-conv", "evolve-dense"):
        search = load_study(name).search
        assert isinstance(search, EvolutionSearch)
        genome = draw_genome(search.genome, np.random.default_rng(0), first=True)
        counts[name] = (len(genome.convolutions), len(genome.dense), search.population, search.generations)
    assert counts == {"evolve-cifar10": (2, 2, 25, 20), "evolve-conv": (2, 0, 20, 30), "evolve-dense": (0, 3, 20, 20)}
