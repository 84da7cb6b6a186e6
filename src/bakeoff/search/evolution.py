"""Evolution: the best of a population are kept, their children take the place of the rest. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bakeoff.networks.shapes import Shape
from bakeoff.search.crossover import choose_way, cross
from bakeoff.search.genome import pick, write_changes
from bakeoff.search.mutation import mutate
from bakeoff.search.nursery import Counts, Draft, Nursery, draw_draft
from bakeoff.search.proposal import Proposal, Score
from bakeoff.study.genome_settings import EvolutionSearch

STREAM = 0x65766F
"""Keeps evolution's draws apart from those of others who derive theirs from the same seed."""


@dataclass(frozen=True, kw_only=True)
class Individual:
    """One genome of a population.

    Attributes:
        number: its proposal's.
        generation: the one it was made for, from 0.
        draft: its genes, parents and notes.
        value: its fitness, the larger the better; None where it failed, or is not known yet.
    """

    number: int
    generation: int
    draft: Draft
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation when all of it is judged: those kept from the one before, and the new ones.

    Attributes:
        number: from 0.
        best: the best score, in the deciding metric's unit; None where all failed.
        mean: over all that have a score.
        num_kept: kept from the generation before, with their scores.
        num_new: proposed for it.
        num_failed: of the new ones, those without a score.
        counts: genomes repaired or made anew for it.
    """

    number: int
    best: float | None
    mean: float | None
    num_kept: int
    num_new: int
    num_failed: int
    counts: Counts


class EvolutionProposer:
    """Proposes a population at random, then generation by generation the children of the best.

    The elite of a generation are kept with their scores and never proposed again; nor is any genome equal to an
    earlier one. It ends after the last generation, at the target, or when no new genome is found.

    Args:
        settings: the space and the rules.
        image_shape_HWC: height, width, channels of the images as the network gets them.
        num_classes: how many classes the images have; the last layer, which every network ends in, fits any number.
        seed: of all draws, 0 and up.
        higher_is_better: False where the deciding metric is a loss.

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
        """The newest generation: the elite it kept, best first, then those proposed for it."""
        return self._population

    @property
    def generations(self) -> tuple[Generation, ...]:
        """Every generation that is judged whole."""
        return tuple(self._generations)

    @property
    def counts(self) -> Counts:
        """Genomes repaired or made anew since the beginning."""
        return self._nursery.counts

    def propose(self) -> Sequence[Proposal]:
        """Return the next generation less the elite it keeps; empty while one is open, and at the end."""
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
        """Take in the score of one proposal; its first value is the fitness.

        Raises:
            ValueError: it was not proposed, or is judged already.
        """
        if score.number not in self._open:
            raise ValueError(f"candidate {score.number} is not open: it was not proposed, or is judged already")
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
        """Make the new ones of a generation: children, or random ones where there is nobody to breed from."""
        settings = self._settings
        make = partial(self._breed, elite, rng) if elite else partial(draw_draft, settings.genome, rng, first=True)
        num_new = settings.population - settings.num_elite if self._generations else settings.population
        drafts: list[Draft] = []
        for _ in range(num_new):
            # A population that has become all alike breeds nothing new: then a stranger joins it.
            draft = self._nursery.raise_one(make) or self._nursery.raise_one(
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
    """Return those that have a score, the best first; ties go to the earlier number, so no order of telling matters."""
    scored = [
        (-individual.value, individual.number, individual) for individual in population if individual.value is not None
    ]
    return [individual for _, _, individual in sorted(scored, key=lambda entry: entry[:2])]


def _win_tournament(ranked: Sequence[Individual], size: int, rng: np.random.Generator) -> Individual:
    """Return the best of `size` drawn without replacement from individuals ranked best first."""
    drawn = rng.choice(len(ranked), size=min(size, len(ranked)), replace=False)
    return ranked[int(drawn.min())]
