"""Whether a recipe fits its images: shapes, and the names of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.objective_settings import check_class_weights
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape, trained_layers
from bakeoff.catalog.transfer import check_transfer
from bakeoff.data.source import DataSource, SourceFacts
from bakeoff.data.store import describe
from bakeoff.errors import BakeoffError

PARTS = ("augmentation", "network", "class_weights", "transfer")
"""The recipe's fields that depend on the images, or on each other."""


def describe_registered(source: DataSource) -> SourceFacts | None:
    """Return the facts about a registered dataset; None for a folder or manifest, which must be opened first.

    Raises:
        DataError: it names classes that the dataset does not have.
    """
    return describe(source, None) if source.path is None else None


def check_fit(recipe: Recipe, shape_HWC: Shape, class_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (field of the recipe, message) for everything that cannot be trained on such images.

    Args:
        recipe: the choices.
        shape_HWC: shape of the images before augmentation.
        class_names: names of the classes, in label order.
    """
    try:
        traced = trace_augmentation(recipe.augmentation, shape_HWC)
    except BakeoffError as error:
        yield "augmentation", str(error)
        return
    if traced[2] > shape_HWC[2] and not recipe.network.has_module:
        yield "augmentation", "normalize has 3 numbers, but the images have one channel: give one number"
        return
    try:
        trained_layers(recipe, shape_HWC, len(class_names))
    except BakeoffError as error:
        yield "network", str(error)
    try:
        check_transfer(recipe.network, recipe.transfer)
    except BakeoffError as error:
        yield "transfer", str(error)
    try:
        check_class_weights(recipe.class_weights, class_names)
    except BakeoffError as error:
        yield "class_weights", str(error)
