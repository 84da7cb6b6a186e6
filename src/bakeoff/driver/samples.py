"""Sample candidates that represent a search before it starts, for choosing numeric modes. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.recipe import Recipe
from bakeoff.driver.facts import Datasets
from bakeoff.driver.pretrained import resolve_normalization
from bakeoff.errors import BakeoffError
from bakeoff.registry import bind
from bakeoff.study.candidates import make_recipe
from bakeoff.study.fit import check_fit
from bakeoff.study.plan import Block, PlannedTrial
from bakeoff.study.search import SEARCHES


def sample_candidates(block: Block, default: PlannedTrial, datasets: Datasets) -> tuple[PlannedTrial, ...]:
    """Return trials of sample candidates from a block's search, the same every time; none without a search.

    For a space they have every field at both ends of its range; genomes are drawn at random. Those that do not fit the
    images are left out.
    """
    facts = datasets[block.data.source]
    return tuple(
        replace(default, arm="candidate", recipe=recipe)
        for recipe in _make_recipes(block, default, datasets)
        if not list(check_fit(recipe, facts.shape_HWC, facts.class_names, block.data.source))
    )


def _make_recipes(block: Block, default: PlannedTrial, datasets: Datasets) -> Iterator[Recipe]:
    for changes in _list_changes(block, default, datasets):
        try:
            yield resolve_normalization(make_recipe(default.recipe, changes))
        except BakeoffError:  # the search will encounter and report it too
            continue


def _list_changes(block: Block, default: PlannedTrial, datasets: Datasets) -> list[Mapping[str, Any]]:
    if block.search is None:
        return []
    sample = SEARCHES.find(block.search.name).sample
    shape_HWC = trace_augmentation(default.recipe.augmentation, datasets[block.data.source].shape_HWC)
    try:
        return list(bind(sample)(block.search, shape_HWC)) if sample else []
    except BakeoffError:
        return []
