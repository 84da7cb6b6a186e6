"""Estimates the cost of trials, in multiply-adds, from the plan alone. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.shapes import LayerShape, trace
from bakeoff.catalog.numeric_modes import DEVICE_EVALUATION_BATCH
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import (
    Shape,
    all_layers,
    caches_features,
    feature_shape,
    is_body_frozen,
    trained_layers,
)
from bakeoff.driver.facts import ImageFacts
from bakeoff.study.plan import PlannedTrial

UNKNOWN_FEATURES = 1_024
"""Assumed length of a body's feature vector if it is unknown before the body is built."""

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one trial.

    Attributes:
        num_operations: multiply-adds per epoch of the trained layers, in training and validation.
        num_body_operations: multiply-adds of one pass of all images through a frozen body; all members share it.
        num_body_passes: maximum number of such passes during training; none if features are computed before.
        num_steps: training steps per epoch.
        num_bytes: rough device memory of one member in training; 0 if unknown.
    """

    num_operations: int
    num_body_operations: int
    num_body_passes: int
    num_steps: int
    num_bytes: int = 0


def measure_cost(trial: PlannedTrial, images: ImageFacts) -> Cost:
    """Estimate the cost of a trial; a backward pass counts as two forward passes.

    Raises:
        NetworkError: its network does not fit the images.
    """
    recipe = trial.recipe
    num_train = images.count_train(trial)
    body = _count_body(recipe, images.shape_HWC, images.num_classes)
    head = _count_trained(recipe, images.shape_HWC, images.num_classes)
    frozen = is_body_frozen(recipe)
    trained = head if frozen else head + body
    passes = recipe.epochs if frozen and not caches_features(recipe) else 0
    return Cost(
        num_operations=trained * (2 * num_train + images.num_images),
        num_body_operations=body * images.num_images if frozen else 0,
        num_body_passes=passes,
        num_steps=-(-num_train // recipe.batch_size),
        num_bytes=estimate_bytes(recipe, images.shape_HWC, images.num_classes),
    )


def is_cost_known(recipe: Recipe, image_shape_HWC: Shape) -> bool:
    """Return whether the multiply-adds of a recipe's network are known before it is built."""
    return _count_module(recipe, image_shape_HWC) is not None


def _count_trained(recipe: Recipe, shape_HWC: Shape, num_classes: int) -> int:
    """Return the multiply-adds per image of the trained layer records."""
    return sum(layer.num_multiply_adds for layer in _trace_trained(recipe, shape_HWC, num_classes))


def _trace_trained(recipe: Recipe, shape_HWC: Shape, num_classes: int) -> tuple[LayerShape, ...]:
    """Return the shapes of the trained layer records."""
    layers = trained_layers(recipe, shape_HWC, num_classes)
    reaching: tuple[int, ...] = trace_augmentation(recipe.augmentation, shape_HWC)
    if recipe.network.has_module:
        reaching = (1, 1, recipe.network.find_module_features() or UNKNOWN_FEATURES)
    elif is_body_frozen(recipe):
        reaching = feature_shape(recipe, shape_HWC, num_classes)
    return trace(layers, reaching)


def estimate_bytes(
    recipe: Recipe, shape_HWC: Shape, num_classes: int, evaluation_batch: int = DEVICE_EVALUATION_BATCH
) -> int:
    """Return a rough estimate of a member's device memory, in bytes.

    A training step stores every layer's output before and after the activation, and the gradient of each, in float32; a
    weight has a gradient, two averages and copies in the arithmetic's dtype. Evaluation stores two layers' outputs.
    """
    layers = _trace_trained(recipe, shape_HWC, num_classes)
    outputs = [math.prod(layer.output_shape) for layer in layers]
    training = recipe.batch_size * sum(outputs) * 3 * FLOAT_BYTES
    evaluation = evaluation_batch * max(outputs) * 2 * FLOAT_BYTES
    return max(training, evaluation) + sum(layer.num_parameters for layer in layers) * 6 * FLOAT_BYTES


def _count_body(recipe: Recipe, shape_HWC: Shape, num_classes: int) -> int:
    """Return the multiply-adds per image of a body that is a module, or of frozen layers."""
    if recipe.network.has_module or not is_body_frozen(recipe):
        return _count_module(recipe, shape_HWC) or 0
    layers = all_layers(recipe, shape_HWC, num_classes)
    num_trained = len(trained_layers(recipe, shape_HWC, num_classes))
    traced = trace(layers, trace_augmentation(recipe.augmentation, shape_HWC))
    return sum(layer.num_multiply_adds for layer in traced[: len(layers) - num_trained])


def _count_module(recipe: Recipe, shape_HWC: Shape) -> int | None:
    return recipe.network.count_module_operations(trace_augmentation(recipe.augmentation, shape_HWC))
