"""Revisions of components whose results have changed, so that older trials are not reused. No torch."""

from __future__ import annotations

from bakeoff.catalog.augmentation.records import normalizes_as_imagenet
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import OneCycle


def list_revisions(recipe: Recipe, num_channels: int) -> dict[str, int]:
    """Return the revisions of those parts of a recipe that have one; they are part of a trial's id.

    Empty for all other recipes, whose trials keep their ids. When a part's results change, increase its number here;
    for a change to all of training increase ENGINE_VERSION instead.

    Args:
        recipe: the choices.
        num_channels: channels of the images before augmentation.
    """
    revisions = {}
    if isinstance(recipe.schedule, OneCycle):
        revisions["one_cycle"] = 2  # equal to torch's at every step
    if recipe.mix is not None:
        revisions["mix"] = 2  # training accuracy counts both labels of an image
    if num_channels == 1 and recipe.network.has_module and normalizes_as_imagenet(recipe.augmentation):
        revisions["grey"] = 2  # repeated to three channels before ImageNet statistics are applied
    return revisions
