"""Checks every genome before it is proposed: it must fit the images and be new. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from bakeoff.catalog.networks.shapes import Shape, format_shape
from bakeoff.errors import NetworkFitError
from bakeoff.search.genome import ConvGene, DenseGene, Genome, draw_genome, find_misfit
from bakeoff.search.repair import REPAIRED, repair
from bakeoff.study.genome_settings import GenomeSettings

MAX_TRIES = 200
"""Maximum number of attempts to make a new genome."""

Unbuildable: TypeAlias = Literal["repair", "redraw"]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A genome and its origin.

    Attributes:
        genome: its genes.
        parents: numbers of the candidates it was derived from.
        notes: how it was made, as short phrases.
    """

    genome: Genome
    parents: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of genomes that could not be proposed as they were made.

    Attributes:
        repaired: did not fit the images and were changed until they did.
        redrawn: did not fit the images and were redrawn.
        known: equal to one proposed before and redrawn.
    """

    repaired: int = 0
    redrawn: int = 0
    known: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            repaired=self.repaired + other.repaired,
            redrawn=self.redrawn + other.redrawn,
            known=self.known + other.known,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            repaired=self.repaired - other.repaired,
            redrawn=self.redrawn - other.redrawn,
            known=self.known - other.known,
        )


class Nursery:
    """Makes genomes that fit the images and are new.

    Args:
        settings: the space of genomes.
        image_shape_HWC: height, width, channels of the network's input.
        unbuildable: what to do with a genome that does not fit.

    Attributes:
        counts: totals since the start.

    Raises:
        NetworkError: nothing in the space fits such images.
    """

    def __init__(self, settings: GenomeSettings, image_shape_HWC: Shape, unbuildable: Unbuildable) -> None:
        self._settings, self._shape, self._unbuildable = settings, tuple(image_shape_HWC), unbuildable
        self._known: set[Genome] = set()
        self.counts = Counts()
        check_space(settings, self._shape)

    def make_one(self, make: Callable[[], Draft]) -> Draft | None:
        """Make genomes until one fits and is new, and remember it.

        Args:
            make: makes the next genome.

        Returns:
            The genome, with its repairs among its notes; None if too many in a row were not new.
        """
        redrawn = known = 0
        raised: Draft | None = None
        for attempt in range(MAX_TRIES):
            draft = make()
            # If almost nothing fits, redrawing alone would never end.
            fitted = self._fit(draft, may_repair=self._unbuildable == "repair" or attempt >= MAX_TRIES // 2)
            if fitted is None:
                redrawn += 1
            elif fitted.genome in self._known:
                known += 1
            else:
                raised = fitted
                break
        repaired = int(raised is not None and any(note.startswith(REPAIRED) for note in raised.notes))
        self.counts = self.counts + Counts(repaired=repaired, redrawn=redrawn, known=known)
        if raised is None:
            return None
        self._known.add(raised.genome)
        notes = (f"redrawn: {redrawn} did not fit the images",) if redrawn else ()
        return replace(raised, notes=(*raised.notes, *notes))

    def _fit(self, draft: Draft, *, may_repair: bool) -> Draft | None:
        if find_misfit(draft.genome, self._settings, self._shape) is None:
            return draft
        if not may_repair:
            return None
        repaired = repair(draft.genome, self._settings, self._shape)
        if repaired is None:
            return None
        genome, notes = repaired
        return replace(draft, genome=genome, notes=(*draft.notes, *notes))


def draw_draft(settings: GenomeSettings, rng: np.random.Generator, *, first: bool) -> Draft:
    """Draw a genome without parents; `first` as in `draw_genome`."""
    return Draft(genome=draw_genome(settings, rng, first=first), notes=("drawn at random",))


def check_space(settings: GenomeSettings, image_shape_HWC: Shape) -> None:
    """Check that some genome of a space fits the images.

    Raises:
        NetworkError: not even the genome that shrinks the image the least fits.
    """
    gene = ConvGene(
        filters=settings.filters.low,
        kernel=settings.kernel.low,
        stride=settings.stride.low,
        padding="same" if "same" in settings.padding else "valid",
        activation=settings.activations[0],
        dropout=settings.dropout.low,
    )
    dense = DenseGene(units=settings.units.low, activation=settings.activations[0], dropout=settings.dropout.low)
    easiest = Genome(
        convolutions=(gene,) * settings.convolutions.low,
        dense=(dense,) * settings.dense.low,
        optimizer=settings.optimizers[0],
        epochs=settings.epochs.low,
    )
    misfit = find_misfit(easiest, settings, image_shape_HWC)
    if misfit is not None:
        raise NetworkFitError(
            f"no genome fits {format_shape(image_shape_HWC)} images: convolution {misfit + 1}, or its pooling, "
            "gets an input that is too small in every case. Allow fewer convolutions, smaller kernels or strides, "
            "same padding, or a larger pool_every."
        )
