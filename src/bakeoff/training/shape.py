"""What of a recipe is trained, and on what, decided by the recipe alone. No torch: the plan groups trials by it.

A network is a body and a head. Where a transfer keeps the body frozen for good, only the head is trained: the body
becomes a fixed step between image and head, computed once for all images where nothing random comes before it.
"""

from __future__ import annotations

import json
import math

from bakeoff.networks.choices import Record
from bakeoff.networks.layers import AnyLayer
from bakeoff.networks.shapes import trace
from bakeoff.training.augmentation.records import has_draws, trace_augmentation
from bakeoff.training.packages import list_packages
from bakeoff.training.recipe import Recipe
from bakeoff.training.transfer import FileWeights, count_body_layers

Shape = tuple[int, int, int]


def is_body_frozen(recipe: Recipe) -> bool:
    """Tell whether the body stays as it was loaded, from the first epoch to the last."""
    return recipe.transfer is not None and recipe.transfer.freeze == "always"


def count_frozen_epochs(recipe: Recipe) -> int:
    """Return how many first epochs a body that is trained later stays frozen."""
    freeze = 0 if recipe.transfer is None else recipe.transfer.freeze
    return freeze if isinstance(freeze, int) else 0


def caches_features(recipe: Recipe) -> bool:
    """Tell whether what reaches the head is the same in every epoch, and so is computed once and kept."""
    return is_body_frozen(recipe) and recipe.mix is None and not has_draws(recipe.augmentation)


def is_fusable(recipe: Recipe) -> bool:
    """Tell whether what is trained is made of layer records, which members of a cohort can share a pass of."""
    return not recipe.network.has_module or is_body_frozen(recipe)


def all_layers(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Return every layer that is a record: the whole network, or an outside network's head.

    Raises:
        NetworkError: when the augmentation or a layer does not fit what reaches it.
    """
    return recipe.network.list_layers(trace_augmentation(recipe.augmentation, image_shape_HWC), num_classes)


def trained_layers(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Return the layer records that training moves: all, or those of the head where the body stays frozen.

    Of an outside network whose body is trained too, these are the head's.

    Args:
        recipe: the choices.
        image_shape_HWC: of the images before augmentation.
        num_classes: how many classes the last layer tells apart.

    Raises:
        NetworkError: when the augmentation or a layer does not fit what reaches it.
    """
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    return layers[count_recipe_body(recipe, layers) :] if is_body_frozen(recipe) else layers


def count_recipe_body(recipe: Recipe, layers: tuple[AnyLayer, ...]) -> int:
    """Return how many of a layer network's layers are its body, by the recipe's transfer; 0 without one."""
    if recipe.transfer is None or recipe.network.has_module:
        return 0
    return count_body_layers(layers, recipe.transfer.body)


def feature_shape(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> Shape:
    """Return the shape in which a frozen body of layers hands an image to the head, flattened: (1, 1, features)."""
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    shape = trace_augmentation(recipe.augmentation, image_shape_HWC)
    body = layers[: count_recipe_body(recipe, layers)]
    return (1, 1, math.prod(trace(body, shape)[-1].output_shape if body else shape))


def body_key(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> str:
    """Return a text equal for two recipes exactly when one frozen body, fed alike, serves both; empty where none is.

    Heads may differ: an outside network's `units`, `dropout`, `activation`; a layer network's last layers.
    """
    if not is_body_frozen(recipe) or recipe.transfer is None:
        return ""
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    body: object = [layer.model_dump(mode="json") for layer in layers[: count_recipe_body(recipe, layers)]]
    body = recipe.network.name_module() or body
    transfer = recipe.transfer
    content = {
        "body": body,
        "weights": name_weights(recipe),
        "initializer": recipe.initializer.model_dump(mode="json") if transfer.weights is None else None,
        "augmentation": [step.model_dump(mode="json") for step in recipe.augmentation],
        "mix": None if recipe.mix is None else recipe.mix.model_dump(mode="json"),
    }
    packages = list_packages(recipe)
    return json.dumps(content | ({"packages": packages} if packages else {}), sort_keys=True)


def name_weights(recipe: Recipe) -> object:
    """Return what identifies the weights a recipe starts from, as plain values: of a file its hash, not its path."""
    weights = None if recipe.transfer is None else recipe.transfer.weights
    if isinstance(weights, FileWeights):
        return {"sha256": weights.sha256 or weights.file, **({"ema": True} if weights.ema else {})}
    return weights.model_dump(mode="json") if isinstance(weights, Record) else weights
