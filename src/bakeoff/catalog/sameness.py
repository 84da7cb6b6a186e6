"""Detects recipes that train identically. No torch.

Two recipes may differ in a setting without effect: an initializer for convolutions in a network without any, a
schedule that drops after the last epoch. `resolve` writes a recipe out in full without such settings; the texts of two
recipes are equal only if network, initial weights, images and optimizer steps are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.catalog.adam_family import AdamW
from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.layers import AnyLayer, BatchNorm, Conv, Dense, Pool, Residual
from bakeoff.catalog.networks.shapes import LayerShape, trace
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.schedules import Plateau, Step
from bakeoff.catalog.shape import (
    Shape,
    all_layers,
    count_feature_draws,
    count_recipe_body,
    is_body_frozen,
    name_weights,
)


def resolve(recipe: Recipe, image_shape_HWC: Shape, num_classes: int, num_train: int) -> str:
    """Return a text that is equal only for recipes that train identically, to equal weights and scores for equal seeds.

    Some identical trainings may get different texts; different trainings never get equal texts.

    Args:
        recipe: the choices, with the transfer resolved if possible.
        image_shape_HWC: shape of the images before augmentation.
        num_classes: number of classes.
        num_train: images per epoch.

    Raises:
        NetworkError: the network does not fit the images.
    """
    layers = all_layers(recipe, image_shape_HWC, num_classes)
    content = recipe.model_dump(mode="json")
    content |= {
        "network": [recipe.network.name_module(), *map(_dump, layers)],
        "initializer": _format_first_weights(recipe, layers, image_shape_HWC),
        "transfer": _format_transfer(recipe, layers),
        "augmentation": _format_augmentation(recipe),
        "mix": None if recipe.mix is None or recipe.mix.probability == 0 else content["mix"],
        "optimizer": _format_optimizer(recipe),
        "schedule": _format_schedule(recipe),
        "class_weights": _format_class_weights(recipe),
        "batch_size": min(recipe.batch_size, num_train),
    }
    if recipe.early_stopping is not None:
        content["early_stopping"]["patience"] = min(recipe.early_stopping.patience, recipe.epochs)
    return json.dumps(content, sort_keys=True)


def _dump(layer: AnyLayer) -> dict[str, Any]:
    record = layer.model_dump(mode="json")
    if isinstance(layer, Pool):
        record["stride"] = layer.stride or layer.size
    if isinstance(layer, Residual):
        record["layers"] = [_dump(inner) for inner in layer.layers]
    return record


def _format_first_weights(recipe: Recipe, layers: Sequence[AnyLayer], image_shape_HWC: Shape) -> object:
    """Return the initializer and draw of every layer that it initializes."""
    if recipe.network.has_module:  # its body initializes itself, whatever is chosen here
        drawn: Sequence[AnyLayer] = layers
    else:
        shapes = trace(layers, trace_augmentation(recipe.augmentation, image_shape_HWC))
        given = recipe.transfer is not None and recipe.transfer.weights is not None
        drawn = [*_list_layers(shapes[count_recipe_body(recipe, tuple(layers)) if given else 0 :])]
    everywhere = recipe.initializer.where == "everywhere"
    names = [
        recipe.initializer.name if everywhere or isinstance(layer, Conv) else "glorot_uniform"
        for layer in drawn
        if isinstance(layer, Conv | Dense)
    ]
    return [recipe.initializer.draw, names]


def _list_layers(shapes: Sequence[LayerShape]) -> Iterator[AnyLayer]:
    for shape in shapes:
        yield shape.layer
        yield from _list_layers([*shape.inner, *shape.shortcut])


def _format_transfer(recipe: Recipe, layers: tuple[AnyLayer, ...]) -> object:
    transfer = recipe.transfer
    norms = transfer is not None and transfer.freeze_norm and _may_have_norms(recipe, layers)
    if transfer is None or (
        transfer.weights is None and transfer.freeze == 0 and transfer.body_rate == 1.0 and not norms
    ):
        return None
    thaws = not is_body_frozen(recipe) and transfer.freeze < recipe.epochs  # type: ignore[operator]  # not "always"
    return {
        "weights": name_weights(recipe),
        "freeze": transfer.freeze if thaws or transfer.freeze == "always" else recipe.epochs,
        "body_rate": transfer.body_rate if thaws else None,
        **({"freeze_norm": True} if thaws and norms else {}),
        **({"feature_draws": transfer.feature_draws} if count_feature_draws(recipe) else {}),
        "body": count_recipe_body(recipe, layers),
    }


def _may_have_norms(recipe: Recipe, layers: tuple[AnyLayer, ...]) -> bool:
    """Return whether the body may have batch norms; a module of another library always may."""
    body = layers[: count_recipe_body(recipe, layers)]
    return recipe.network.has_module or any(isinstance(layer, BatchNorm | Residual) for layer in body)


def _format_augmentation(recipe: Recipe) -> object:
    """Drop augmentations that never apply; draws depend on the augmentation's name, so others are unaffected."""
    likely = {step.name for step in recipe.augmentation if getattr(step, "probability", 1.0) > 0}
    return [step.model_dump(mode="json") for step in recipe.augmentation if step.name in likely]


def _format_optimizer(recipe: Recipe) -> object:
    content = recipe.optimizer.model_dump(mode="json")
    if isinstance(recipe.optimizer, AdamW) and recipe.optimizer.weight_decay == 0:
        content["name"] = "adam"  # the two differ only in weight decay
    if content.get("weight_decay") == 0:
        content.pop("decay_norms_and_biases", None)
    return content


def _format_schedule(recipe: Recipe) -> object:
    schedule = recipe.schedule
    content = schedule.model_dump(mode="json")
    if isinstance(schedule, Step):
        content["every"] = schedule.every or math.ceil(recipe.epochs / 3)
    never_falls = (isinstance(schedule, Step) and content["every"] >= recipe.epochs) or (
        isinstance(schedule, Plateau) and schedule.patience >= recipe.epochs - 1
    )
    return {"name": "constant", "warm_up": content["warm_up"]} if never_falls else content


def _format_class_weights(recipe: Recipe) -> object:
    weights = recipe.class_weights
    if weights is None or isinstance(weights, str):
        return weights
    unlike = {name: weight for name, weight in weights.items() if weight != 1}
    return unlike or None
