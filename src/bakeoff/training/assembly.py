"""Puts together the parts of a task: images or features, frozen body, networks.

A permanently frozen body is not part of the trained network: it preprocesses images for the heads. If nothing random
comes before it, its features are computed once, and the heads train on these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from bakeoff.data.store import Images
from bakeoff.networks.build import FusedNetwork, State, initialize
from bakeoff.networks.layers import Layer, Whiten
from bakeoff.networks.module_network import HEAD, FrozenBody, FrozenLayers, ModuleNetwork, first_state
from bakeoff.networks.modules import build_body
from bakeoff.networks.outside import OutsideNetwork, names_class
from bakeoff.networks.shapes import trace
from bakeoff.networks.user_code import check_loaded
from bakeoff.training.augmentation.records import needs_statistics, normalizes_as_imagenet, trace_augmentation
from bakeoff.training.batches import leave_out_fold
from bakeoff.training.features import Features, describe_code, open_features
from bakeoff.training.folders import Folders
from bakeoff.training.inputs import Body, Inputs
from bakeoff.training.place import CPU, Place
from bakeoff.training.prepared import PreparedInputs, open_on_device
from bakeoff.training.recipe import Recipe
from bakeoff.training.shape import (
    all_layers,
    body_key,
    caches_features,
    count_recipe_body,
    is_body_frozen,
    trained_layers,
)
from bakeoff.training.task import CohortTask, ExamTask, Numeric, ProbeTask
from bakeoff.training.weights import load_weights
from bakeoff.training.whitening import whiten

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Network = FusedNetwork | ModuleNetwork


@dataclass(frozen=True)
class Assembly:
    """What the members of one task have in common.

    Attributes:
        images: the source of inputs: pixels, or the features of a frozen body.
        shape_HWC: shape of the images before augmentation, whatever `images` holds.
        training_images: the images whose mean and sd are used to normalise; with folds, those outside the held-out one.
        num_features: number of features of the shared frozen body; None without one.
        body: that body, if it runs on every batch; None without one, or if `images` holds its features.
        features: those features and their cost; None without them.
        folders: the workspace, with weights of earlier trials and files.
        for_colour: whether grayscale images are repeated for a colour body before ImageNet statistics are applied.
        place: the device of networks and inputs.
    """

    images: Images
    shape_HWC: tuple[int, int, int]
    class_names: tuple[str, ...]
    dtype: torch.dtype
    folders: Folders
    training_images: Images
    num_features: int | None = None
    body: Body | None = None
    features: Features | None = None
    for_colour: bool = False
    place: Place = CPU

    @classmethod
    def make(
        cls,
        task: CohortTask | ExamTask | ProbeTask,
        images: Images,
        folders: Folders,
        numeric: Numeric,
        training_images: Images | None = None,
        place: Place = CPU,
    ) -> Assembly:
        """Prepare what a task's members need from these images.

        A permanently frozen body is loaded; if its inputs are always the same, its features come from the cache, or are
        computed and cached.

        Raises:
            NetworkError: the network does not fit the images, or the code of the user's own network has changed since
                the study was started.
            WeightsError: the pretrained weights are unavailable or do not fit.
        """
        recipe = task.members[0].recipe
        if names_class(recipe.network.name):
            check_loaded(recipe.network.name, task.members[0].code)
        seen = training_images or images
        if _measures_images(task, seen):
            seen = leave_out_fold(seen, task.data)
        plain = cls(
            images,
            images.shape_HWC,
            images.class_names,
            DTYPES[numeric],
            folders,
            seen,
            for_colour=_repeats_grey(recipe, images.shape_HWC),
            place=place,
        )
        if not is_body_frozen(recipe):
            return plain
        body = plain._load_frozen_body(recipe)
        with_body = replace(plain, body=body, num_features=body.num_features)
        if not caches_features(recipe) or isinstance(task, ProbeTask):
            return with_body
        key = body_key(recipe, plain.shape_HWC, len(plain.class_names)) + (" in colour" if plain.for_colour else "")
        inputs: Inputs | PreparedInputs = with_body.make_inputs([recipe], seed=0)
        if place.prepared:
            key, inputs = f"{key} on {place.device.type}", with_body.prepare_inputs([recipe], [0], [0])
        features = open_features(
            key, images, inputs, numeric, plain.training_images.fingerprint, describe_code(recipe.network.name)
        )
        return replace(with_body, images=features.images, body=None, features=features)

    def _load_frozen_body(self, recipe: Recipe) -> FrozenBody | FrozenLayers:
        """Load a body that is never trained; it does not depend on a replicate's seed."""
        shape = self._augmented_shape(recipe)
        layers = all_layers(recipe, self.shape_HWC, len(self.class_names))
        if isinstance(recipe.network, OutsideNetwork):
            body = build_body(recipe.network, shape)
            state = self._carry_over(recipe, first_state(body, layers, recipe.initializer, 0), tied=body.tied())
            return FrozenBody(body, self._put(state), self.dtype)
        num_body = count_recipe_body(recipe, layers)
        state = self._carry_over(recipe, initialize(layers, shape, recipe.initializer, 0), num_body)
        num_features = math.prod(trace(layers[:num_body], shape)[-1].output_shape)
        return FrozenLayers(layers[:num_body], self._put(state), num_features, self.dtype)

    def layers_of(self, recipe: Recipe) -> tuple[Layer, ...]:
        """Return the layer records of a member's trained network, head included."""
        return trained_layers(recipe, self.shape_HWC, len(self.class_names))

    def first_state(self, recipe: Recipe, seed: int) -> State:
        """Initialize a member's parameters, as a function of the replicate's seed, and load transferred weights."""
        num_classes = len(self.class_names)
        shape = self._augmented_shape(recipe)
        if isinstance(recipe.network, OutsideNetwork):
            if self.num_features is None:
                return self._first_module_state(recipe, shape, seed)
            return initialize(self.layers_of(recipe), (1, 1, self.num_features), recipe.initializer, seed)
        layers = all_layers(recipe, self.shape_HWC, num_classes)
        state = whiten(initialize(layers, shape, recipe.initializer, seed), layers, self.training_images, recipe)
        num_body = count_recipe_body(recipe, layers)
        if is_body_frozen(recipe):
            return _renumber(state, -num_body)
        return self._carry_over(recipe, state, num_body)

    def _first_module_state(self, recipe: Recipe, shape: tuple[int, int, int], seed: int) -> State:
        assert isinstance(recipe.network, OutsideNetwork)
        body = build_body(recipe.network, shape, seed)
        state = first_state(body, self.layers_of(recipe), recipe.initializer, seed)
        return self._carry_over(recipe, state, tied=body.tied())

    def _carry_over(
        self, recipe: Recipe, state: State, num_body_layers: int = 0, tied: Mapping[str, str] | None = None
    ) -> State:
        if recipe.transfer is None:
            return state
        return load_weights(recipe.network, recipe.transfer, state, self.folders, num_body_layers, tied)

    def build_network(self, recipes: Sequence[Recipe], states: Sequence[State], body_frozen: bool = False) -> Network:
        """Build the network of members with these states, which are copied.

        In epochs in which a body is frozen it is in evaluation mode, without gradients.
        """
        first = recipes[0]
        states = [self._put(state) for state in states]
        if isinstance(first.network, OutsideNetwork) and self.num_features is None:
            body = build_body(first.network, self._augmented_shape(first))
            return ModuleNetwork(body, self.layers_of(first), states[0], self.dtype, body_frozen)
        layers = [self.layers_of(recipe) for recipe in recipes]
        num_frozen = count_recipe_body(first, layers[0]) if body_frozen else 0
        return FusedNetwork(layers, states, self.dtype, frozen_layers=num_frozen)

    def _put(self, state: State) -> State:
        return {name: tensor.detach().to(self.place.device) for name, tensor in state.items()}

    def body_names(self, recipe: Recipe, parameters: Mapping[str, nn.Parameter]) -> frozenset[str]:
        """Return which of a member's parameters belong to a body that is trained."""
        if is_body_frozen(recipe):
            return frozenset()
        if isinstance(recipe.network, OutsideNetwork):
            return frozenset(name for name in parameters if not name.startswith(HEAD))
        num_body = count_recipe_body(recipe, self.layers_of(recipe))
        return frozenset(name for name in parameters if int(name.partition(".")[0]) < num_body)

    def make_inputs(self, recipes: Sequence[Recipe], seed: int) -> Inputs:
        """Return the inputs of the members' networks."""
        return Inputs(self.images, recipes, seed, self.dtype, self.body, self.training_images, self.for_colour)

    def prepare_inputs(
        self, recipes: Sequence[Recipe], replicate_of_K: Sequence[int], seeds: Sequence[int]
    ) -> PreparedInputs:
        """Return the same for images prepared on a device, for members of one or several replicates."""
        return PreparedInputs(
            open_on_device(self.images, self.place),
            self.images,
            recipes,
            replicate_of_K,
            seeds,
            self.dtype,
            self.place,
            self.body,
            self.training_images,
            self.for_colour,
        )

    def name_for_saving(self, recipe: Recipe, state: State) -> State:
        """Return a state under the whole network's names, without a frozen body's own weights."""
        if is_body_frozen(recipe):
            if isinstance(recipe.network, OutsideNetwork):
                return {HEAD + name: tensor.cpu().contiguous() for name, tensor in state.items()}
            state = _renumber(state, self._count_body(recipe))
        return {name: tensor.cpu().contiguous() for name, tensor in state.items()}

    def take_saved(self, recipe: Recipe, saved: State) -> State:
        """Undo `name_for_saving`."""
        if not is_body_frozen(recipe):
            return saved
        if isinstance(recipe.network, OutsideNetwork):
            return {name.removeprefix(HEAD): tensor for name, tensor in saved.items()}
        return _renumber(saved, -self._count_body(recipe))

    def _augmented_shape(self, recipe: Recipe) -> tuple[int, int, int]:
        height, width, channels = trace_augmentation(recipe.augmentation, self.shape_HWC)
        return height, width, channels

    def _count_body(self, recipe: Recipe) -> int:
        return count_recipe_body(recipe, all_layers(recipe, self.shape_HWC, len(self.class_names)))


def _repeats_grey(recipe: Recipe, image_shape_HWC: tuple[int, int, int]) -> bool:
    """Return whether grayscale images are used with ImageNet statistics and a body for colour images."""
    network, (height, width, channels) = recipe.network, trace_augmentation(recipe.augmentation, image_shape_HWC)
    if channels != 1 or not isinstance(network, OutsideNetwork) or not normalizes_as_imagenet(recipe.augmentation):
        return False
    return not names_class(network.name) or build_body(network, (height, width, channels)).repeat_grey


def _measures_images(task: CohortTask | ExamTask | ProbeTask, images: Images) -> bool:
    """Return whether a task uses statistics of all training images' pixels: to normalise or to whiten."""
    recipes = [member.recipe for member in task.members]
    if any(needs_statistics(recipe.augmentation) for recipe in recipes):
        return True
    if isinstance(task, ExamTask):
        return False
    layers = (all_layers(recipe, images.shape_HWC, len(images.class_names)) for recipe in recipes)
    return any(isinstance(first, Whiten) for first, *_ in layers)


def _renumber(state: State, offset: int) -> State:
    """Shift the layer numbers at the start of names; names with negative numbers are dropped."""
    moved = {}
    for name, tensor in state.items():
        number, _, rest = name.partition(".")
        if int(number) + offset >= 0:
            moved[f"{int(number) + offset}.{rest}"] = tensor
    return moved
