"""Random search over the space of genomes, the baseline of evolution. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bakeoff.catalog.networks.shapes import Shape
from bakeoff.search.genome import write_changes
from bakeoff.search.nursery import Counts, Nursery, draw_draft
from bakeoff.search.proposal import Proposal, Score
from bakeoff.study.genome_settings import EvolutionSearch

STREAM = 0x72616E64
"""Separates the baseline's random stream from evolution's, which has the same seed."""


class RandomGenomes:
    """Proposes genomes from the distribution of evolution's first generation.

    So the comparison shows what evolution added, at the same number of genomes. No two are equal, and all fit the
    images.

    Args:
        settings: settings of the evolution: its space, and what to do with genomes that do not fit.
        image_shape_HWC: height, width, channels of the network's input.
        seed: non-negative seed of all draws.
        budget: total number of genomes.
        group: genomes proposed together.

    Raises:
        NetworkError: nothing in the space fits such images.
        ValueError: a budget or a group below 1.
    """

    def __init__(
        self, settings: EvolutionSearch, image_shape_HWC: Shape, seed: int, *, budget: int, group: int
    ) -> None:
        if budget < 1 or group < 1:
            raise ValueError(f"budget {budget} and group {group} must be at least 1")
        self._settings, self._seed, self._budget, self._group = settings, seed, budget, group
        self._nursery = Nursery(settings.genome, image_shape_HWC, settings.unbuildable)
        self._open: set[int] = set()
        self._num_groups = self._num_proposed = 0

    @property
    def counts(self) -> Counts:
        """Genomes repaired or redrawn since the start."""
        return self._nursery.counts

    def propose(self) -> Sequence[Proposal]:
        """Return the next group; empty while one is open, or if the budget is spent or no new genome is found."""
        if self._open or self._num_proposed >= self._budget:
            return ()
        rng = np.random.default_rng((self._seed, STREAM, self._num_groups))
        draw = partial(draw_draft, self._settings.genome, rng, first=True)
        size = min(self._group, self._budget - self._num_proposed)
        drafts = [draft for draft in (self._nursery.make_one(draw) for _ in range(size)) if draft is not None]
        if not drafts:
            self._budget = self._num_proposed
        first = self._num_proposed
        self._num_groups, self._num_proposed = self._num_groups + 1, first + len(drafts)
        self._open = set(range(first, self._num_proposed))
        return [
            Proposal(number=number, changes=write_changes(draft.genome, self._settings.genome), notes=draft.notes)
            for number, draft in enumerate(drafts, start=first)
        ]

    def judge(self, score: Score) -> None:
        """Receive the score of one proposal; it only determines when the next group is due.

        Raises:
            ValueError: it was not proposed, or has already been judged.
        """
        if score.number not in self._open:
            raise ValueError(f"candidate {score.number} is not open: it was not proposed, or has already been judged")
        self._open.remove(score.number)
