"""What is computed another way than it was, so that trials of before are not taken for those of now. No torch."""

from __future__ import annotations

from bakeoff.training.augmentation.records import normalizes_as_imagenet
from bakeoff.training.recipe import Recipe
from bakeoff.training.schedules import OneCycle


def list_revisions(recipe: Recipe, num_channels: int) -> dict[str, int]:
    """Return the revision of those parts of a recipe that have one: a part of a trial's identity.

    Empty for all other recipes, whose trials keep their ids. To change what a part computes, raise its number here;
    a change to all of training raises ENGINE_VERSION instead.

    Args:
        recipe: the choices.
        num_channels: of the images before augmentation.
    """
    revisions = {}
    if isinstance(recipe.schedule, OneCycle):
        revisions["one_cycle"] = 2  # torch's, step by step
    if recipe.mix is not None:
        revisions["mix"] = 2  # training accuracy counts both labels of an image
    if num_channels == 1 and recipe.network.has_module and normalizes_as_imagenet(recipe.augmentation):
        revisions["grey"] = 2  # repeated before ImageNet's statistics are taken off each channel
    return revisions
