from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bakeoff.catalog.optimizers import Adam
from bakeoff.errors import NetworkError
from bakeoff.search.genome import ConvGene, DenseGene, Genome, find_misfit
from bakeoff.search.nursery import MAX_TRIES, Counts, Draft, Nursery, check_space, draw_draft
from bakeoff.study.genome_settings import GenomeSettings

SETTINGS = GenomeSettings()
SMALL = (8, 8, 1)


def make_genome(kernel: int, number: int) -> Genome:
    gene = ConvGene(filters=16, kernel=kernel, stride=1, padding="valid", activation="relu", dropout=0.1)
    dense = (DenseGene(units=16, activation="relu", dropout=0.1),)
    return Genome(convolutions=(gene,) * number, dense=dense, optimizer=Adam(), epochs=10)


FITTING, UNBUILDABLE = make_genome(3, 1), make_genome(5, 3)


def serve(*genomes: Genome) -> Callable[[], Draft]:
    remaining = list(genomes)
    return lambda: Draft(genome=remaining.pop(0) if len(remaining) > 1 else remaining[0], notes=("served",))


def test_what_does_not_fit_is_repaired_and_counted() -> None:
    nursery = Nursery(SETTINGS, SMALL, "repair")
    raised = nursery.make_one(serve(UNBUILDABLE))
    assert raised is not None
    assert find_misfit(raised.genome, SETTINGS, SMALL) is None
    assert raised.notes[0] == "served"
    assert raised.notes[1].startswith("repaired: ")
    assert nursery.counts == Counts(repaired=1)


def test_or_made_anew_and_counted() -> None:
    nursery = Nursery(SETTINGS, SMALL, "redraw")
    raised = nursery.make_one(serve(UNBUILDABLE, UNBUILDABLE, FITTING))
    assert raised.genome == FITTING
    assert raised.notes[0] == "served"
    assert raised.notes[1].startswith("redrawn: 2 ")
    assert nursery.counts == Counts(redrawn=2)


def test_redrawing_ends_in_a_repair_where_hardly_anything_fits() -> None:
    nursery = Nursery(SETTINGS, SMALL, "redraw")
    raised = nursery.make_one(serve(UNBUILDABLE))
    assert raised is not None
    assert find_misfit(raised.genome, SETTINGS, SMALL) is None
    assert nursery.counts == Counts(redrawn=MAX_TRIES // 2, repaired=1)


def test_an_equal_genome_is_never_raised_twice() -> None:
    nursery = Nursery(SETTINGS, SMALL, "repair")
    assert nursery.make_one(serve(FITTING)) is not None
    raised = nursery.make_one(serve(FITTING, make_genome(4, 1)))
    assert raised is not None
    assert raised.genome == make_genome(4, 1)
    assert nursery.counts == Counts(known=1)
    assert nursery.make_one(serve(FITTING)) is None
    assert nursery.counts == Counts(known=1 + MAX_TRIES)


def test_two_that_are_repaired_to_the_same_are_equal() -> None:
    nursery = Nursery(SETTINGS, SMALL, "repair")
    assert nursery.make_one(serve(UNBUILDABLE)) is not None
    assert nursery.make_one(serve(UNBUILDABLE)) is None


def test_a_space_where_nothing_fits_is_refused() -> None:
    settings = GenomeSettings.model_validate({"padding": ["valid"], "convolutions": {"low": 4}})
    with pytest.raises(NetworkError, match=r"8x8x1 .*convolution 4"):
        Nursery(settings, SMALL, "redraw")
    check_space(settings, (32, 32, 3))


def test_dense_networks_fit_anything() -> None:
    settings = GenomeSettings.model_validate({"convolutions": 0, "dense": 3})
    raised = Nursery(settings, (1, 1, 1), "repair").make_one(
        lambda: draw_draft(settings, np.random.default_rng(0), first=True)
    )
    assert raised is not None
    assert (raised.genome.convolutions, len(raised.genome.dense)) == ((), 3)
