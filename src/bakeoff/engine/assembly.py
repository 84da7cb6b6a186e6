"""Assembles the parts of a task: images or features, frozen body, networks.

A permanently frozen body is not part of the trained network: it preprocesses images for the heads. If nothing random
comes before it, its features are computed once, and the heads train on these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from bakeoff.catalog.augmentation.records import needs_statistics, normalizes_as_imagenet, trace_augmentation
from bakeoff.catalog.networks.layers import Layer, Whiten
from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.networks.user_code import check_loaded
from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import (
    all_layers,
    body_key,
    caches_features,
    is_body_frozen,
    trained_layers,
)
from bakeoff.data.store import Images
from bakeoff.engine.batches import leave_out_fold
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.features import Features, describe_code, open_features
from bakeoff.engine.fused.build import FusedNetwork, State
from bakeoff.engine.inputs import Body, Inputs
from bakeoff.engine.parts import Network, Parts, move
from bakeoff.engine.prepared import PreparedInputs, open_on_device
from bakeoff.messages import CohortTask, FinalTestTask, ProbeTask
from bakeoff.workspace import Folders

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Assembly:
    """The common parts of a task's members.

    Attributes:
        images: the source of inputs: pixels, or the features of a frozen body.
        shape_HWC: shape of the images before augmentation, whatever `images` holds.
        training_images: the images whose mean and sd are used to normalise; with folds, those outside the held-out one.
        num_features: number of features of the shared frozen body; None without one.
        body: that body, if it runs on every batch; None without one, or if `images` holds its features.
        features: those features and their cost; None without them.
        folders: the workspace, with weights of earlier trials and files.
        for_colour: whether grayscale images are repeated for a colour body before ImageNet statistics are applied.
        context: the device of networks and inputs.
        in_turn: whether fused members compute their convolutional layers one by one.
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
    context: DeviceContext = CPU
    in_turn: bool = False

    @classmethod
    def make(
        cls,
        task: CohortTask | FinalTestTask | ProbeTask,
        images: Images,
        folders: Folders,
        numeric: Numeric,
        training_images: Images | None = None,
        context: DeviceContext = CPU,
        *,
        keeps_features: bool = True,
    ) -> Assembly:
        """Prepare what a task's members need from these images.

        A permanently frozen body is loaded; if its inputs are always the same, its features come from the cache, or are
        computed and cached, unless `keeps_features` is false.

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
            for_colour=_repeats_grey(recipe, images.shape_HWC, len(images.class_names), folders),
            context=context,
            in_turn=not isinstance(task, ProbeTask) and task.in_turn,
        )
        if not is_body_frozen(recipe):
            return plain
        body = plain._parts(recipe).load_frozen(context.device, plain.dtype)
        with_body = replace(plain, body=body, num_features=body.num_features)
        if not keeps_features or not caches_features(recipe) or isinstance(task, ProbeTask):
            return with_body
        key = body_key(recipe, plain.shape_HWC, len(plain.class_names)) + (" in colour" if plain.for_colour else "")
        inputs: Inputs | PreparedInputs = with_body.make_inputs([recipe], seed=0)
        if context.prepared:
            key, inputs = f"{key} on {context.device.type}", with_body.prepare_inputs([recipe], [0], [0])
        features = open_features(
            key, images, inputs, numeric, plain.training_images.fingerprint, describe_code(recipe.network.name)
        )
        return replace(with_body, images=features.images, body=None, features=features)

    def layers_of(self, recipe: Recipe) -> tuple[Layer, ...]:
        """Return the layer records of a member's trained network, head included."""
        return trained_layers(recipe, self.shape_HWC, len(self.class_names))

    def first_state(self, recipe: Recipe, seed: int) -> State:
        """Initialize a member's parameters, as a function of the replicate's seed, and load transferred weights."""
        return self._parts(recipe).draw(seed, self.training_images)

    def build_network(self, recipes: Sequence[Recipe], states: Sequence[State], body_frozen: bool = False) -> Network:
        """Build the network of members with these states, which are copied.

        In epochs in which a body is frozen it is in evaluation mode, without gradients.
        """
        layers = [self.layers_of(recipe) for recipe in recipes]
        placed = [move(state, self.context.device) for state in states]
        network = self._parts(recipes[0]).build(layers, placed, self.dtype, body_frozen)
        if isinstance(network, FusedNetwork):
            network.in_turn = self.in_turn
        return network

    def body_names(self, recipe: Recipe, parameters: Mapping[str, nn.Parameter]) -> frozenset[str]:
        """Return which of a member's parameters belong to a body that is trained."""
        return self._parts(recipe).name_body(parameters)

    def make_inputs(self, recipes: Sequence[Recipe], seed: int) -> Inputs:
        """Return the inputs of the members' networks."""
        return Inputs(self.images, recipes, seed, self.dtype, self.body, self.training_images, self.for_colour)

    def prepare_inputs(
        self, recipes: Sequence[Recipe], replicate_of_K: Sequence[int], seeds: Sequence[int]
    ) -> PreparedInputs:
        """Return the same for images prepared on a device, for members of one or several replicates."""
        return PreparedInputs(
            open_on_device(self.images, self.context),
            self.images,
            recipes,
            replicate_of_K,
            seeds,
            self.dtype,
            self.context,
            self.body,
            self.training_images,
            self.for_colour,
        )

    def name_for_saving(self, recipe: Recipe, state: State) -> State:
        """Return a state under the whole network's names, without a frozen body's own weights."""
        named = self._parts(recipe).name_for_saving(state)
        return {name: tensor.cpu().contiguous() for name, tensor in named.items()}

    def take_saved(self, recipe: Recipe, saved: State) -> State:
        """Undo `name_for_saving`."""
        return self._parts(recipe).take_saved(saved)

    def _parts(self, recipe: Recipe) -> Parts:
        return Parts.of(recipe, self.shape_HWC, len(self.class_names), self.folders, self.num_features)


def _repeats_grey(recipe: Recipe, image_shape_HWC: tuple[int, int, int], num_classes: int, folders: Folders) -> bool:
    """Return whether grayscale images are used with ImageNet statistics and a body for colour images."""
    channels = trace_augmentation(recipe.augmentation, image_shape_HWC)[2]
    if channels != 1 or not normalizes_as_imagenet(recipe.augmentation):
        return False
    return Parts.of(recipe, image_shape_HWC, num_classes, folders).repeats_grey()


def _measures_images(task: CohortTask | FinalTestTask | ProbeTask, images: Images) -> bool:
    """Return whether a task uses statistics of all training images' pixels: to normalise or to whiten."""
    recipes = [member.recipe for member in task.members]
    if any(needs_statistics(recipe.augmentation) for recipe in recipes):
        return True
    if isinstance(task, FinalTestTask):
        return False
    layers = (all_layers(recipe, images.shape_HWC, len(images.class_names)) for recipe in recipes)
    return any(isinstance(first, Whiten) for first, *_ in layers)
