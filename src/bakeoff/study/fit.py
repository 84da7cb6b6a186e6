"""Whether a recipe fits its images: shapes, and the names of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.shapes import format_shape
from bakeoff.catalog.objective_settings import check_class_weights
from bakeoff.catalog.optimizers import OPTIMIZERS
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape, trained_layers
from bakeoff.catalog.transfer import check_transfer
from bakeoff.data.source import DataSource, SourceFacts
from bakeoff.data.store import describe
from bakeoff.errors import BakeoffError
from bakeoff.extras import how_to_install

PARTS = ("augmentation", "network", "class_weights", "transfer")
"""The recipe's fields that depend on the images, or on each other."""


def describe_registered(source: DataSource) -> SourceFacts | None:
    """Return the facts about a registered dataset; None for a folder or manifest, which must be opened first.

    Raises:
        DataError: it names classes that the dataset does not have.
    """
    return describe(source, None) if source.path is None else None


def check_fit(
    recipe: Recipe, shape_HWC: Shape, class_names: Sequence[str], source: DataSource | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (field of the recipe, message) for everything that cannot be trained on such images.

    Args:
        recipe: the choices.
        shape_HWC: shape of the images before augmentation.
        class_names: names of the classes, in label order.
        source: where the images come from; with a crop margin, all recipes must crop to the same size.
    """
    try:
        traced_HWC = trace_augmentation(recipe.augmentation, shape_HWC)
    except BakeoffError as error:
        yield "augmentation", str(error)
        return
    if source is not None and source.crop_margin != 1 and source.image_HW not in (None, traced_HWC[:2]):
        yield "augmentation", _ask_for_crop(source, traced_HWC)
        return
    if traced_HWC[2] > shape_HWC[2] and not recipe.network.has_module:
        yield "augmentation", "normalize has 3 numbers, but the images have one channel: give one number"
        return
    extra = OPTIMIZERS.find(recipe.optimizer.name).needs
    if extra and find_spec(extra) is None:
        yield "optimizer", f"{recipe.optimizer.name} is an optimizer of {extra}: {how_to_install(extra)}"
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


def _ask_for_crop(source: DataSource, traced_HWC: tuple[int, ...]) -> str:
    wanted, found = format_shape(source.image_HW or ()), format_shape(traced_HWC[:2])
    return (
        f"with crop_margin {source.crop_margin:g}, images must be cropped to {wanted} (image_size), but reach the "
        f"network at {found}: add random_resized_crop, random_crop or center_crop with size {wanted}."
    )
