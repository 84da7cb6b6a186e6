from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bakeoff.search.crossover import Way, cross
from bakeoff.search.genome import Genome, draw_genome
from bakeoff.study.genome_settings import GenomeSettings

SETTINGS = GenomeSettings()


def draw_parents(seed: int) -> tuple[Genome, Genome]:
    rng = np.random.default_rng(seed)
    return draw_genome(SETTINGS, rng, first=False), draw_genome(SETTINGS, rng, first=False)


@pytest.mark.parametrize("how", ["layers", "parameters"])
def test_everything_of_a_child_comes_from_its_parents(how: Way) -> None:
    for seed in range(50):
        parents = draw_parents(seed)
        child = cross(*parents, how, np.random.default_rng(seed))
        assert child.optimizer in [parent.optimizer for parent in parents]
        assert child.epochs in [parent.epochs for parent in parents]
        for kind in ("convolutions", "dense"):
            layers = [getattr(parent, kind) for parent in parents]
            assert len(getattr(child, kind)) in [len(own) for own in layers]
            for at, gene in enumerate(getattr(child, kind)):
                sources = [own[at] for own in layers if at < len(own)]
                if how == "layers":
                    assert gene in sources
                for field in dataclasses.fields(gene):
                    assert getattr(gene, field.name) in [getattr(source, field.name) for source in sources]


@pytest.mark.parametrize("how", ["layers", "parameters"])
def test_every_part_comes_from_either_parent_about_as_often(how: Way) -> None:
    rng = np.random.default_rng(0)
    first, second = (
        dataclasses.replace(
            draw_genome(SETTINGS, rng, first=False),
            convolutions=(dataclasses.replace(draw_genome(SETTINGS, rng, first=False).convolutions[0], **values),),
            epochs=epochs,
        )
        for values, epochs in (({"filters": 16, "kernel": 3}, 10), ({"filters": 64, "kernel": 5}, 15))
    )
    children = [cross(first, second, how, rng) for _ in range(400)]
    for share in (
        np.mean([child.convolutions[0].filters == 16 for child in children]),
        np.mean([child.convolutions[0].kernel == 3 for child in children]),
        np.mean([child.epochs == 10 for child in children]),
        np.mean([len(child.dense) == len(first.dense) for child in children]),
    ):
        assert abs(share - 0.5) < 0.1
    mixed = np.mean(
        [(child.convolutions[0].filters == 16) != (child.convolutions[0].kernel == 3) for child in children]
    )
    assert mixed == 0 if how == "layers" else abs(mixed - 0.5) < 0.1


def test_equal_parents_have_that_one_child() -> None:
    parent, _ = draw_parents(0)
    assert cross(parent, parent, "parameters", np.random.default_rng(0)) == parent
