"""Which layers a recipe trains, and on which inputs. No torch: the plan groups trials by it.

A network is a body and a head. If a transfer freezes the body permanently, only the head is trained: the body becomes
a preprocessing step, computed once for all images if nothing random comes before it.
"""

from __future__ import annotations

import json
import math

from bakeoff.catalog.augmentation.records import has_draws, trace_augmentation
from bakeoff.catalog.choices import Record
from bakeoff.catalog.networks.layers import AnyLayer
from bakeoff.catalog.networks.shapes import trace
from bakeoff.catalog.packages import list_packages
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.transfer import FileWeights, count_body_layers

Shape = tuple[int, int, int]


def is_body_frozen(recipe: Recipe) -> bool:
    """Return whether the body stays frozen from the first epoch to the last."""
    return recipe.transfer is not None and recipe.transfer.freeze == "always"


def count_frozen_epochs(recipe: Recipe) -> int:
    """Return for how many initial epochs a body stays frozen that is trained later."""
    freeze = 0 if recipe.transfer is None else recipe.transfer.freeze
    return freeze if isinstance(freeze, int) else 0


def freezes_norm(recipe: Recipe) -> bool:
    """Return whether the batch norms of a body that is trained stay in evaluation mode."""
    return recipe.transfer is not None and recipe.transfer.freeze_norm and not is_body_frozen(recipe)


def caches_features(recipe: Recipe) -> bool:
    """Return whether the head's inputs are computed before training: the same in every epoch, or a few versions."""
    if not is_body_frozen(recipe) or recipe.mix is not None:
        return False
    return not has_draws(recipe.augmentation) or count_feature_draws(recipe) > 0


def count_feature_draws(recipe: Recipe) -> int:
    """Return how many augmented versions of every training image are kept as features; 0 if none are."""
    draws = None if recipe.transfer is None else recipe.transfer.feature_draws
    return min(draws, recipe.epochs) if draws is not None and has_draws(recipe.augmentation) else 0


def is_fusable(recipe: Recipe) -> bool:
    """Return whether the trained part consists of layer records, so that members of a cohort can be fused."""
    return not recipe.network.has_module or is_body_frozen(recipe)


def all_layers(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Return every layer that is a record: the whole network, or an outside network's head.

    Raises:
        NetworkError: the augmentation or a layer does not fit its input.
    """
    return recipe.network.list_layers(trace_augmentation(recipe.augmentation, image_shape_HWC), num_classes)


def trained_layers(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> tuple[AnyLayer, ...]:
    """Return the trained layer records: all, or those of the head if the body stays frozen.

    For an outside network whose body is also trained, these are the head's.

    Args:
        recipe: the choices.
        image_shape_HWC: shape of the images before augmentation.
        num_classes: number of outputs of the last layer.

    Raises:
        NetworkError: the augmentation or a layer does not fit its input.
    """
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    return layers[count_recipe_body(recipe, layers) :] if is_body_frozen(recipe) else layers


def count_recipe_body(recipe: Recipe, layers: tuple[AnyLayer, ...]) -> int:
    """Return how many of a layer network's layers belong to the body of the recipe's transfer; 0 without one."""
    if recipe.transfer is None or recipe.network.has_module:
        return 0
    return count_body_layers(layers, recipe.transfer.body)


def feature_shape(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> Shape:
    """Return the flattened output shape of a frozen body of layers, (1, 1, features)."""
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    shape = trace_augmentation(recipe.augmentation, image_shape_HWC)
    body = layers[: count_recipe_body(recipe, layers)]
    return (1, 1, math.prod(trace(body, shape)[-1].output_shape if body else shape))


def body_key(recipe: Recipe, image_shape_HWC: Shape, num_classes: int) -> str:
    """Return a text that is equal for two recipes exactly if they share a frozen body and its input; empty without one.

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
    if count_feature_draws(recipe):
        content["feature_draws"] = transfer.feature_draws
    packages = list_packages(recipe)
    return json.dumps(content | ({"packages": packages} if packages else {}), sort_keys=True)


def name_weights(recipe: Recipe) -> object:
    """Return what identifies a recipe's pretrained weights, as plain values: for a file its hash, not its path."""
    weights = None if recipe.transfer is None else recipe.transfer.weights
    if isinstance(weights, FileWeights):
        return {"sha256": weights.sha256 or weights.file, **({"ema": True} if weights.ema else {})}
    return weights.model_dump(mode="json") if isinstance(weights, Record) else weights
