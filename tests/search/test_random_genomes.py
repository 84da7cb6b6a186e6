from __future__ import annotations

import json

import pytest

from bakeoff.catalog.networks.named import expand
from bakeoff.catalog.recipe import Recipe
from bakeoff.errors import NetworkError
from bakeoff.search.evolution import EvolutionProposer
from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.random_genomes import RandomGenomes
from bakeoff.study.genome_settings import EvolutionSearch

IMAGES = (32, 32, 3)
SETTINGS = EvolutionSearch(population=10, generations=3)


def search(proposer: RandomGenomes, value: float | None = 1.0) -> list[list[Proposal]]:
    groups: list[list[Proposal]] = []
    while group := proposer.propose():
        groups.append(list(group))
        for proposal in reversed(group):
            proposer.judge(Score(number=proposal.number, values=None if value is None else (value,)))
    return groups


def test_groups_add_up_to_the_budget_and_nothing_repeats() -> None:
    proposer = RandomGenomes(SETTINGS, IMAGES, seed=0, budget=26, group=10)
    groups = search(proposer)
    assert [len(group) for group in groups] == [10, 10, 6]
    proposals = [proposal for group in groups for proposal in group]
    assert [proposal.number for proposal in proposals] == list(range(26))
    assert len({json.dumps(proposal.changes, sort_keys=True) for proposal in proposals}) == 26
    assert all(proposal.generation == 0 and proposal.parents == () for proposal in proposals)
    assert any(note.startswith("repaired") for proposal in proposals for note in proposal.notes)
    assert proposer.counts.repaired > 0
    for proposal in proposals:
        expand(Recipe.model_validate(proposal.changes).network, IMAGES, 10)


def test_it_draws_from_where_evolution_starts() -> None:
    groups = search(RandomGenomes(SETTINGS, IMAGES, seed=0, budget=40, group=40))
    layers = [layer for proposal in groups[0] for layer in proposal.changes["network"]["layers"]]
    assert {layer["filters"] for layer in layers if layer["type"] == "conv"} == {16, 32}


def test_scores_change_nothing_and_the_seed_everything() -> None:
    expected = search(RandomGenomes(SETTINGS, IMAGES, seed=1, budget=12, group=5))
    assert search(RandomGenomes(SETTINGS, IMAGES, seed=1, budget=12, group=5), None) == expected
    assert search(RandomGenomes(SETTINGS, IMAGES, seed=2, budget=12, group=5)) != expected


def test_it_does_not_draw_what_evolution_of_the_same_seed_begins_with() -> None:
    settings = EvolutionSearch.model_validate({"genome": {"filters": {"start": None}, "units": {"start": None}}})
    [group] = search(RandomGenomes(settings, IMAGES, seed=3, budget=5, group=5))
    first = EvolutionProposer(settings, IMAGES, seed=3).propose()
    assert [proposal.changes for proposal in group] != [proposal.changes for proposal in first[:5]]


def test_one_group_at_a_time() -> None:
    proposer = RandomGenomes(SETTINGS, IMAGES, seed=0, budget=4, group=2)
    first, second = proposer.propose()
    proposer.judge(Score(number=first.number, values=None))
    assert list(proposer.propose()) == []
    proposer.judge(Score(number=second.number, values=(0.5,)))
    assert [proposal.number for proposal in proposer.propose()] == [2, 3]
    with pytest.raises(ValueError, match="candidate 1"):
        proposer.judge(Score(number=1, values=(0.5,)))


def test_a_space_that_is_used_up_ends_it() -> None:
    genome = {"convolutions": 1, "dense": 0, "stride": 1, "padding": ["same"], "activations": ["relu"]}
    genome |= {"dropout": 0, "optimizers": ["adam"], "epochs": 1, "filters": 16}
    settings = EvolutionSearch.model_validate({"genome": genome})
    assert [len(group) for group in search(RandomGenomes(settings, IMAGES, seed=0, budget=100, group=2))] == [2, 1]


def test_what_cannot_be_is_refused() -> None:
    settings = EvolutionSearch.model_validate({"genome": {"padding": ["valid"]}})
    with pytest.raises(NetworkError, match="2x2x1"):
        RandomGenomes(settings, (2, 2, 1), seed=0, budget=1, group=1)
    with pytest.raises(ValueError, match="budget 0"):
        RandomGenomes(settings, IMAGES, seed=0, budget=0, group=1)
