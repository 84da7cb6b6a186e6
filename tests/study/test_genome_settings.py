from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bakeoff.study.genome_settings import EvolutionSearch, GenomeSettings


def explain(given: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        EvolutionSearch.model_validate(given)
    return str(caught.value)


def test_the_defaults_are_the_published_space() -> None:
    search = EvolutionSearch()
    genome = search.genome
    assert (genome.convolutions.low, genome.convolutions.high, genome.dense.low, genome.dense.high) == (1, 7, 1, 7)
    assert list(genome.kernel.values) == [3, 4, 5]
    assert list(genome.stride.values) == [1, 2, 3]
    assert genome.filters.first_values == genome.units.first_values == (16, 32)
    assert (genome.dropout.low, genome.dropout.high, genome.dropout.move) == (0.1, 0.3, (-0.2, 0.2))
    assert (genome.epochs.low, genome.epochs.high, genome.epochs.move) == (10, 15, (-2, 4))
    assert genome.kernel.move == genome.stride.move == (-1, 1)
    assert [optimizer.name for optimizer in genome.optimizers] == ["rmsprop", "adam", "sgd", "adagrad"]
    assert (genome.activations, set(genome.padding)) == (("relu", "tanh", "swish"), {"same", "valid"})
    assert (search.elite, search.mutation, search.num_elite) == (0.2, 0.1, 4)


def test_a_bare_number_fixes_a_gene() -> None:
    genome = GenomeSettings.model_validate({"convolutions": 2, "filters": 48, "kernel": 3, "epochs": 12, "dropout": 0})
    assert (genome.convolutions.low, genome.convolutions.high) == (2, 2)
    assert (genome.filters.first_values, list(genome.kernel.values), list(genome.epochs.values)) == ((48,), [3], [12])
    assert (genome.dropout.low, genome.dropout.high) == (0, 0)


def test_a_part_of_a_range_keeps_the_rest() -> None:
    genome = GenomeSettings.model_validate({"filters": {"high": 48}, "units": {"low": 48}})
    assert list(genome.filters.values) == [16, 32, 48]
    assert genome.filters.first_values == (16, 32)
    assert genome.units.first_values == (48, 64), "the published start lies below: the whole range takes its place"
    assert GenomeSettings.model_validate({"filters": {"start": None}}).filters.first_values == (16, 32, 48, 64)


def test_optimizers_and_parents_may_be_bare_names() -> None:
    search = EvolutionSearch.model_validate(
        {"genome": {"optimizers": ["adam", {"name": "sgd", "momentum": 0.9}]}, "parents": "tournament"}
    )
    assert [optimizer.name for optimizer in search.genome.optimizers] == ["adam", "sgd"]
    assert (search.parents.name, search.parents.size) == ("tournament", 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"genome": {"filters": {"start": [17]}}}, "start 17 is not among 16..64 in steps of 16"),
        ({"genome": {"kernel": {"low": 5, "high": 3}}}, "low 5 is larger than high 3"),
        ({"genome": {"epochs": {"move": [2, 4]}}}, "move is [decrease, increase]"),
        ({"genome": {"kernel": {"low": 3, "high": 7, "step": 2}}}, "move is smaller than step 2"),
        ({"genome": {"dropout": {"low": 0.125}}}, "whole hundredths"),
        ({"genome": {"convolutions": 0, "dense": {"low": 0}}}, "a network needs a hidden layer"),
        ({"genome": {"optimizers": ["adamm"]}}, "Did you mean 'adam'?"),
        ({"genome": {"activations": []}}, "at least one is required"),
        ({"genome": {"filters": True}}, "Input should be a valid dictionary"),
        ({"parents": "tornament"}, "Did you mean 'tournament'?"),
        ({"population": 2, "elite": 0.9}, "elite leaves no room"),
        ({"crossover": "halves"}, "'layers', 'parameters' or 'both'"),
        ({"mutation": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_cannot_be_says_why(given: dict[str, Any], message: str) -> None:
    assert message in explain(given)


def test_the_most_candidates_count_every_generation_less_its_elite() -> None:
    assert EvolutionSearch(population=20, generations=5).most_candidates == 20 + 4 * 16
    assert EvolutionSearch(population=20, generations=1).most_candidates == 20
    assert EvolutionSearch(population=5, generations=2, elite=0.0).num_elite == 1


def test_settings_can_be_written_out_and_read_back() -> None:
    search = EvolutionSearch.model_validate({"genome": {"convolutions": 2, "dropout": 0}, "parents": "tournament"})
    assert EvolutionSearch.model_validate(search.model_dump()) == search
    assert EvolutionSearch.model_validate(search.model_dump(mode="json")) == search
