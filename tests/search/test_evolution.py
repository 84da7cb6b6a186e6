from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bakeoff.catalog.networks.layers import Conv
from bakeoff.catalog.networks.named import expand
from bakeoff.catalog.recipe import Recipe
from bakeoff.search.evolution import EvolutionProposer
from bakeoff.search.proposal import Proposal, Score
from bakeoff.search.random_genomes import RandomGenomes
from bakeoff.study.genome_settings import EvolutionSearch

IMAGES = (32, 32, 3)
Fitness = Callable[[Proposal], float | None]


def sum_filters(proposal: Proposal) -> float:
    """The planted fitness: what grows with every convolution and every filter."""
    return float(sum(layer.get("filters", 0) for layer in proposal.changes["network"]["layers"]))


def make_settings(**changes: Any) -> EvolutionSearch:
    return EvolutionSearch.model_validate({"population": 10, "generations": 4} | changes)


def judge_all(proposer: EvolutionProposer | RandomGenomes, group: Sequence[Proposal], fitness: Fitness) -> None:
    for proposal in group:
        value = fitness(proposal)
        proposer.judge(Score(number=proposal.number, values=None if value is None else (value,)))


def search(proposer: EvolutionProposer | RandomGenomes, fitness: Fitness = sum_filters) -> list[Proposal]:
    proposals: list[Proposal] = []
    while group := proposer.propose():
        proposals += group
        judge_all(proposer, group, fitness)
    return proposals


def write(proposals: Sequence[Proposal]) -> list[str]:
    return [json.dumps(proposal.changes, sort_keys=True) for proposal in proposals]


@pytest.mark.parametrize("crossover", ["layers", "parameters"])
@pytest.mark.parametrize("parents", ["uniform", "tournament"])
@pytest.mark.parametrize("unbuildable", ["repair", "redraw"])
def test_all_that_is_proposed_is_new_in_range_and_buildable(crossover: str, parents: str, unbuildable: str) -> None:
    settings = make_settings(crossover=crossover, parents=parents, unbuildable=unbuildable)
    proposals = search(EvolutionProposer(settings, IMAGES, seed=1))
    assert [proposal.number for proposal in proposals] == list(range(settings.most_candidates))
    assert len(set(write(proposals))) == len(proposals)
    for proposal in proposals:
        recipe = Recipe.model_validate(proposal.changes)
        layers = expand(recipe.network, IMAGES, 10)  # type: ignore[arg-type]
        convolutions = [layer for layer in layers if isinstance(layer, Conv)]
        assert 1 <= len(convolutions) <= 7
        assert all(layer.filters in (16, 32, 48, 64) and 3 <= layer.kernel <= 5 for layer in convolutions)
        assert recipe.optimizer in settings.genome.optimizers
        assert 10 <= recipe.epochs <= 15


def test_the_elite_are_kept_with_their_scores_and_the_best_never_falls() -> None:
    proposer = EvolutionProposer(make_settings(generations=6), IMAGES, seed=2)
    scores: dict[int, float] = {}
    previous = proposer.population
    while group := proposer.propose():
        kept = proposer.population[: len(proposer.population) - len(group)]
        if scores:
            before = {individual.number for individual in previous}
            best = sorted(before, key=lambda number: (-scores[number], number))[:2]
            assert [individual.number for individual in kept] == best
            assert [individual.value for individual in kept] == [scores[number] for number in best]
            assert not {proposal.number for proposal in group} & set(scores)
        scores |= {proposal.number: sum_filters(proposal) for proposal in group}
        judge_all(proposer, group, sum_filters)
        previous = proposer.population
    best_values = [generation.best for generation in proposer.generations]
    assert best_values == sorted(best_values)  # type: ignore[type-var]
    assert best_values[-1] == max(scores.values())
    assert [generation.num_new for generation in proposer.generations] == [10, 8, 8, 8, 8, 8]
    assert [generation.num_kept for generation in proposer.generations] == [0, 2, 2, 2, 2, 2]


def test_parents_are_of_the_elite_or_win_a_tournament() -> None:
    for parents, allowed in (("uniform", 2), ({"name": "tournament", "size": 4}, 7)):
        proposer = EvolutionProposer(make_settings(parents=parents), IMAGES, seed=3)
        group = proposer.propose()
        judge_all(proposer, group, lambda proposal: -float(proposal.number))
        # The best of 4 out of 10 stands 7th at the worst, the best of 4 out of the other 9 likewise.
        drawn = {number for child in proposer.propose() for number in child.parents}
        assert drawn <= set(range(allowed))
        assert len(drawn) >= 2


def test_children_tell_their_parents_and_what_was_done() -> None:
    proposals = search(EvolutionProposer(make_settings(crossover="parameters"), IMAGES, seed=4))
    assert all(proposal.parents == () and proposal.notes[0] == "drawn at random" for proposal in proposals[:10])
    for proposal in proposals[10:]:
        first, second = proposal.parents
        assert proposal.notes[0] == f"crossover of {first} and {second} by parameters"
        assert max(proposal.parents) < proposal.number
        assert proposals[first].generation < proposal.generation
    notes = [note for proposal in proposals for note in proposal.notes[1:]]
    assert any("->" in note and " of conv " in note and not note.startswith("repaired") for note in notes)


def test_the_settings_the_seed_and_the_scores_decide_alone() -> None:
    settings = make_settings()
    expected = search(EvolutionProposer(settings, IMAGES, seed=5))
    assert search(EvolutionProposer(settings, IMAGES, seed=5)) == expected
    assert write(search(EvolutionProposer(settings, IMAGES, seed=6))) != write(expected)
    shuffled, proposals = EvolutionProposer(settings, IMAGES, seed=5), []
    while group := shuffled.propose():
        proposals += group
        judge_all(shuffled, random.Random(0).sample(list(group), len(group)), sum_filters)
    assert proposals == expected


def test_nothing_is_proposed_while_a_generation_is_open() -> None:
    proposer = EvolutionProposer(make_settings(), IMAGES, seed=7)
    group = proposer.propose()
    assert list(proposer.propose()) == []
    judge_all(proposer, group[:-1], sum_filters)
    assert list(proposer.propose()) == []
    judge_all(proposer, group[-1:], sum_filters)
    assert len(proposer.propose()) == 8
    with pytest.raises(ValueError, match="candidate 0"):
        proposer.judge(Score(number=0, values=(1.0,)))


def test_it_stops_after_the_generation_that_reaches_the_target() -> None:
    proposer = EvolutionProposer(make_settings(target=2.0), IMAGES, seed=8)
    proposals = search(proposer, lambda proposal: float(proposal.generation))
    assert {proposal.generation for proposal in proposals} == {0, 1, 2}
    assert list(proposer.propose()) == []


def test_a_loss_is_made_smaller() -> None:
    proposer = EvolutionProposer(make_settings(target=300.0), IMAGES, seed=9, higher_is_better=False)
    search(proposer, lambda proposal: 1000 - sum_filters(proposal))
    generations = proposer.generations
    assert [generation.best for generation in generations] == sorted(
        [generation.best for generation in generations],  # type: ignore[type-var]
        reverse=True,
    )
    assert generations[-1].best is not None
    assert generations[0].best is not None
    assert generations[-1].best < generations[0].best
    assert len(generations) == 4, "300 was not reached"
    near = EvolutionProposer(make_settings(target=5000.0), IMAGES, seed=9, higher_is_better=False)
    assert len(search(near, lambda proposal: 1000 - sum_filters(proposal))) == 10


def test_failures_are_counted_and_never_breed() -> None:
    proposer = EvolutionProposer(make_settings(), IMAGES, seed=10)
    proposals = search(proposer, lambda proposal: None if proposal.number % 2 else sum_filters(proposal))
    assert all(number % 2 == 0 for proposal in proposals for number in proposal.parents)
    assert [generation.num_failed for generation in proposer.generations] == [5, 4, 4, 4]
    nan = EvolutionProposer(make_settings(generations=2), IMAGES, seed=10)
    search(nan, lambda proposal: float("nan"))
    assert (nan.generations[0].best, nan.generations[0].mean, nan.generations[0].num_failed) == (None, None, 10)


def test_where_all_failed_the_next_generation_is_drawn_at_random() -> None:
    proposer = EvolutionProposer(make_settings(), IMAGES, seed=11)
    proposals = search(proposer, lambda proposal: None if proposal.generation == 0 else 1.0)
    assert [proposal.parents for proposal in proposals[:18]] == [()] * 18
    assert all(proposal.parents for proposal in proposals[18:])


def test_the_mean_is_over_the_whole_generation() -> None:
    proposer = EvolutionProposer(make_settings(generations=2), IMAGES, seed=12)
    search(proposer, lambda proposal: float(proposal.number))
    first, second = proposer.generations
    assert (first.best, first.mean) == (9.0, 4.5)
    assert (second.best, second.mean) == (17.0, (8 + 9 + sum(range(10, 18))) / 10)


def test_repairs_and_redraws_are_counted() -> None:
    for unbuildable in ("repair", "redraw"):
        proposer = EvolutionProposer(make_settings(unbuildable=unbuildable), IMAGES, seed=13)
        proposals = search(proposer)
        repaired = [p for p in proposals if any(note.startswith("repaired") for note in p.notes)]
        assert len(repaired) == proposer.counts.repaired == sum(g.counts.repaired for g in proposer.generations)
        assert (proposer.counts.repaired > 0) == (unbuildable == "repair")
        assert (proposer.counts.redrawn > 0) == (unbuildable == "redraw")


def test_a_space_that_is_used_up_ends_the_search() -> None:
    genome = {"convolutions": 1, "dense": 0, "stride": 1, "padding": ["same"], "activations": ["relu"]}
    genome |= {"dropout": 0, "optimizers": ["adam"], "epochs": 1, "filters": {"high": 32}}
    proposer = EvolutionProposer(make_settings(genome=genome, population=5, generations=9), IMAGES, seed=14)
    proposals = search(proposer)
    assert len(set(write(proposals))) == len(proposals) == 2 * 3
    assert proposals[-1].notes == ("drawn at random",) or proposals[-1].parents


@pytest.mark.parametrize("crossover", ["layers", "parameters"])
def test_it_beats_random_search_of_the_same_budget_in_most_seeds(crossover: str) -> None:
    # Both begin with all values: else the start alone would decide.
    genome = {"convolutions": 5, "dense": 1, "stride": 1, "filters": {"start": None, "high": 128}}
    settings = make_settings(crossover=crossover, genome=genome, population=12, generations=6)
    num_won = 0
    for seed in range(20):
        proposals = search(EvolutionProposer(settings, IMAGES, seed))
        rivals = search(RandomGenomes(settings, IMAGES, seed, budget=len(proposals), group=12))
        assert len(rivals) == len(proposals)
        num_won += max(map(sum_filters, proposals)) > max(map(sum_filters, rivals))
    assert num_won >= 13
