"""Checks before training that a recipe's network can be built, and that its pretrained weights exist and fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.named import AnyNetwork
from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape, all_layers, count_recipe_body
from bakeoff.catalog.transfer import check_transfer
from bakeoff.engine.fused.build import State, initialize
from bakeoff.engine.fused.module_network import first_state
from bakeoff.engine.fused.modules import Body, build_body
from bakeoff.engine.published import find_published, reach_published
from bakeoff.engine.weights import load_weights
from bakeoff.errors import BakeoffError
from bakeoff.messages import CheckDone, CheckTask, Event, Notice, TaskDone
from bakeoff.workspace import Folders


def check_task(task: CheckTask, workspace: Path, emit: Callable[[Event], None]) -> None:
    """Check the recipe of a task; report any problem in one line."""

    def say(text: str) -> None:
        emit(Notice(task_id=task.check_id, text=text))

    problem = ""
    try:
        check_recipe(task.members[0].recipe, task.shape_HWC, task.num_classes, Folders(workspace), task.may_fetch, say)
    except BakeoffError as error:
        problem = str(error)
    emit(CheckDone(check_id=task.check_id, problem=problem))
    emit(TaskDone(task_id=task.check_id))


def check_recipe(
    recipe: Recipe,
    shape_HWC: Shape,
    num_classes: int,
    folders: Folders,
    may_fetch: bool,
    say: Callable[[str], object],
) -> None:
    """Build a recipe's network, on the meta device if possible, and load its pretrained weights.

    Args:
        recipe: the choices.
        shape_HWC: shape of the images before augmentation.
        num_classes: number of classes.
        folders: the workspace, for trials and copied files.
        may_fetch: whether to download published weights now; otherwise only check that they are available.
        say: called with progress messages.

    Raises:
        BakeoffError: there is no such network, it cannot be built or does not accept the images, or its weights are
            unavailable or do not fit.
    """
    weights = None if recipe.transfer is None else recipe.transfer.weights
    state, num_body = _draw(recipe, shape_HWC, num_classes)
    if recipe.transfer is None or weights is None:
        return
    if weights == "imagenet":
        check_transfer(recipe.network, recipe.transfer)
        address = find_published(recipe.network)
        if address:
            reach_published(recipe.network, address)
        if not may_fetch:
            return
        if address:
            say(f"downloading the published weights of {recipe.network.name} from {address}")
    load_weights(recipe.network, recipe.transfer, state, folders, num_body)


def _draw(recipe: Recipe, shape_HWC: Shape, num_classes: int) -> tuple[State, int]:
    """Return an initial state (for torchvision and timm bodies only shapes), and the number of body layers."""
    height, width, channels = trace_augmentation(recipe.augmentation, shape_HWC)
    shape = (height, width, channels)
    layers = all_layers(recipe, shape_HWC, num_classes)
    if recipe.network.has_module:
        body = _build(recipe.network, shape)
        return first_state(body, layers, recipe.initializer, 0), 0
    if recipe.transfer is None:
        return {}, 0
    return initialize(layers, shape, recipe.initializer, 0), count_recipe_body(recipe, layers)


def _build(network: AnyNetwork, shape: Shape) -> Body:
    if not names_class(network.name):
        try:
            with torch.device("meta"):
                return build_body(network, shape)
        except Exception:
            # Some networks need real values while they are built; actual problems are reported below.
            pass
    return build_body(network, shape)
