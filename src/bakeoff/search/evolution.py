"""Evolution: the best of a population survive, their children replace the others. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bakeoff.catalog.networks.shapes import Shape
from bakeoff.search.crossover import choose_way, cross
from bakeoff.search.genome import pick, write_changes
from bakeoff.search.mutation import mutate
from bakeoff.search.nursery import Counts, Draft, Nursery, draw_draft
from bakeoff.search.proposal import Proposal, Score
from bakeoff.study.genome_settings import EvolutionSearch

STREAM = 0x65766F
"""Separates evolution's random stream from others derived from the same seed."""


@dataclass(frozen=True, kw_only=True)
class Individual:
    """One genome of a population.

    Attributes:
        number: the number of its proposal.
        generation: the generation it was made for, from 0.
        draft: its genes, parents and notes.
        value: its fitness, higher is better; None if it failed or is not known yet.
    """

    number: int
    generation: int
    draft: Draft
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A completely judged generation: survivors of the previous one, and new genomes.

    Attributes:
        number: from 0.
        best: the best score, in the deciding metric's unit; None if all failed.
        mean: over all genomes with a score.
        num_kept: survivors of the previous generation, with their scores.
        num_new: genomes proposed for it.
        num_failed: new genomes without a score.
        counts: genomes repaired or redrawn for it.
    """

    number: int
    best: float | None
    mean: float | None
    num_kept: int
    num_new: int
    num_failed: int
    counts: Counts


class EvolutionProposer:
    """Proposes a random population, then, generation by generation, children of the best.

    The elite of a generation survive with their scores and are never proposed again; nor is any genome equal to an
    earlier one. Evolution ends after the last generation, at the target score, or when no new genome is found.

    Args:
        settings: the space and the rules.
        image_shape_HWC: height, width, channels of the network's input.
        num_classes: number of classes; the last layer of every network fits any number.
        seed: non-negative seed of all draws.
        higher_is_better: False if the deciding metric is a loss.

    Raises:
        NetworkError: nothing in the space fits such images.
    """

    def __init__(
        self,
        settings: EvolutionSearch,
        image_shape_HWC: Shape,
        seed: int,
        *,
        higher_is_better: bool = True,
    ) -> None:
        self._settings, self._seed = settings, seed
        self._sign = 1.0 if higher_is_better else -1.0
        self._nursery = Nursery(settings.genome, image_shape_HWC, settings.unbuildable)
        self._population: tuple[Individual, ...] = ()
        self._open: set[int] = set()
        self._num_kept = self._num_proposed = 0
        self._counts_before = Counts()
        self._generations: list[Generation] = []
        self._ended = False

    @property
    def population(self) -> tuple[Individual, ...]:
        """The latest generation: its surviving elite, best first, then the genomes proposed for it."""
        return self._population

    @property
    def generations(self) -> tuple[Generation, ...]:
        """All completely judged generations."""
        return tuple(self._generations)

    @property
    def counts(self) -> Counts:
        """Genomes repaired or redrawn since the start."""
        return self._nursery.counts

    def propose(self) -> Sequence[Proposal]:
        """Return the next generation without its surviving elite; empty while one is open, and at the end."""
        if self._ended or self._open:
            return ()
        number = len(self._generations)
        rng = np.random.default_rng((self._seed, STREAM, number))
        self._counts_before = self._nursery.counts
        kept = self._select_elite()
        drafts = self._make_drafts(kept, rng)
        self._ended = not drafts
        if self._ended:
            return ()
        born = [
            Individual(number=self._num_proposed + index, generation=number, draft=draft)
            for index, draft in enumerate(drafts)
        ]
        self._num_kept, self._num_proposed = len(kept), self._num_proposed + len(born)
        self._population, self._open = (*kept, *born), {individual.number for individual in born}
        return [self._describe(individual) for individual in born]

    def judge(self, score: Score) -> None:
        """Receive the score of one proposal; its first value is the fitness.

        Raises:
            ValueError: it was not proposed, or has already been judged.
        """
        if score.number not in self._open:
            raise ValueError(f"candidate {score.number} is not open: it was not proposed, or has already been judged")
        self._open.remove(score.number)
        value = None if score.values is None or not math.isfinite(score.values[0]) else self._sign * score.values[0]
        self._population = tuple(
            replace(individual, value=value) if individual.number == score.number else individual
            for individual in self._population
        )
        if not self._open:
            self._close_generation()

    def _close_generation(self) -> None:
        values = [individual.value for individual in self._population if individual.value is not None]
        born = self._population[self._num_kept :]
        best = max(values, default=None)
        self._generations.append(
            Generation(
                number=len(self._generations),
                best=None if best is None else self._sign * best,
                mean=self._sign * math.fsum(values) / len(values) if values else None,
                num_kept=self._num_kept,
                num_new=len(born),
                num_failed=sum(individual.value is None for individual in born),
                counts=self._nursery.counts - self._counts_before,
            )
        )
        target = self._settings.target
        reached = target is not None and best is not None and best >= self._sign * target
        self._ended = reached or len(self._generations) >= self._settings.generations

    def _select_elite(self) -> tuple[Individual, ...]:
        return tuple(_rank(self._population)[: self._settings.num_elite])

    def _make_drafts(self, elite: Sequence[Individual], rng: np.random.Generator) -> list[Draft]:
        """Make the new genomes of a generation: children, or random genomes if there are no parents."""
        settings = self._settings
        make = partial(self._breed, elite, rng) if elite else partial(draw_draft, settings.genome, rng, first=True)
        num_new = settings.population - settings.num_elite if self._generations else settings.population
        drafts: list[Draft] = []
        for _ in range(num_new):
            # A population of identical genomes breeds nothing new: then a random genome joins it.
            draft = self._nursery.make_one(make) or self._nursery.make_one(
                partial(draw_draft, settings.genome, rng, first=False)
            )
            if draft is not None:
                drafts.append(draft)
        return drafts

    def _breed(self, elite: Sequence[Individual], rng: np.random.Generator) -> Draft:
        settings = self._settings
        first, second = self._choose_parents(elite, rng)
        child, notes = first.draft.genome, [f"copy of {first.number}"]
        if second.number != first.number:
            way = choose_way(settings.crossover, rng)
            child = cross(child, second.draft.genome, way, rng)
            notes = [f"crossover of {first.number} and {second.number} by {way}"]
        child, moves = mutate(child, settings.genome, settings.mutation, rng)
        parents = tuple(dict.fromkeys((first.number, second.number)))
        return Draft(genome=child, parents=parents, notes=(*notes, *moves))

    def _choose_parents(self, elite: Sequence[Individual], rng: np.random.Generator) -> tuple[Individual, Individual]:
        """Return two different parents, or the only one twice."""
        parents = self._settings.parents
        if parents.name == "uniform":
            first = pick(elite, rng)
            others = [individual for individual in elite if individual.number != first.number]
            return first, pick(others, rng) if others else first
        ranked = _rank(self._population)
        first = _win_tournament(ranked, parents.size, rng)
        others = [individual for individual in ranked if individual.number != first.number]
        return first, _win_tournament(others, parents.size, rng) if others else first

    def _describe(self, individual: Individual) -> Proposal:
        return Proposal(
            number=individual.number,
            changes=write_changes(individual.draft.genome, self._settings.genome),
            generation=individual.generation,
            parents=individual.draft.parents,
            notes=individual.draft.notes,
        )


def _rank(population: Sequence[Individual]) -> list[Individual]:
    """Return individuals with a score, best first; ties go to the lower number, whatever the order of reports."""
    scored = [
        (-individual.value, individual.number, individual) for individual in population if individual.value is not None
    ]
    return [individual for _, _, individual in sorted(scored, key=lambda entry: entry[:2])]


def _win_tournament(ranked: Sequence[Individual], size: int, rng: np.random.Generator) -> Individual:
    """Return the best of `size` drawn without replacement from individuals ranked best first."""
    drawn = rng.choice(len(ranked), size=min(size, len(ranked)), replace=False)
    return ranked[int(drawn.min())]
