"""Assembles the parts of a task: images or features, frozen body, networks.

A permanently frozen body is not part of the trained network: it preprocesses images for the heads. If nothing random
comes before it, or a few draws are to be used in turn, its features are computed before training.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from bakeoff.catalog.augmentation.records import needs_statistics, normalizes_as_imagenet, trace_augmentation
from bakeoff.catalog.networks.layers import Layer, Whiten
from bakeoff.catalog.networks.outside import names_class
from bakeoff.catalog.networks.user_code import check_loaded
from bakeoff.catalog.numeric_modes import Numeric
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import (
    all_layers,
    caches_features,
    is_body_frozen,
    trained_layers,
)
from bakeoff.data.store import Images
from bakeoff.engine.batches import leave_out_fold, split_view
from bakeoff.engine.device_context import CPU, DeviceContext
from bakeoff.engine.feature_files import FEATURE_BATCH, list_feature_files, save_part
from bakeoff.engine.features import Features, open_features
from bakeoff.engine.fused.build import FusedNetwork, State
from bakeoff.engine.inputs import Body, Indices, Inputs
from bakeoff.engine.parts import Network, Parts, move
from bakeoff.engine.prepared import PreparedInputs, open_on_device
from bakeoff.messages import CohortTask, DataView, FeatureFile, FeaturesTask, FinalTestTask, ProbeTask
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
        task: CohortTask | FinalTestTask | FeaturesTask | ProbeTask,
        images: Images,
        folders: Folders,
        numeric: Numeric,
        training_images: Images | None = None,
        context: DeviceContext = CPU,
        *,
        keeps_features: bool = True,
    ) -> Assembly:
        """Prepare what a task's members need from these images.

        A permanently frozen body is loaded, or its features are read if they are computed before training, unless
        `keeps_features` is false.

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
            in_turn=isinstance(task, CohortTask | FinalTestTask) and task.in_turn,
        )
        if not is_body_frozen(recipe):
            return plain
        if keeps_features and caches_features(recipe) and isinstance(task, CohortTask | FinalTestTask):
            return plain._read_features(task)
        return plain._load_body(recipe)

    def _load_body(self, recipe: Recipe) -> Assembly:
        body = self._parts(recipe).load_frozen(self.context.device, self.dtype)
        return replace(self, body=body, num_features=body.num_features)

    def _read_features(self, task: CohortTask | FinalTestTask) -> Assembly:
        """Return this assembly on the features of its frozen body, which is only loaded if they are missing."""
        recipe, bodies = task.members[0].recipe, list[Assembly]()
        files = list_feature_files(task, self.images, self.context.device.type)

        def compute(file: FeatureFile, start: int) -> None:
            if not bodies:
                bodies.append(self._load_body(recipe))
            bodies[0].compute_part(recipe, task.data, file, start)

        train = split_view(self.images, task.data)[0] if len(files) > 1 else np.empty(0, np.int64)
        features = open_features(files, self.images, train, self.folders, compute)
        return replace(self, images=features.images, num_features=features.num_features, features=features)

    def compute_part(self, recipe: Recipe, view: DataView, file: FeatureFile, start: int) -> None:
        """Pass one part of the images through the body, and store their features.

        Args:
            recipe: with the body and the augmentation.
            view: the split and the seed of augmented images.
            file: the file, which the part belongs to.
            start: the part's first row.

        Raises:
            StorageError: they cannot be written.
        """
        rows = np.arange(file.num_rows) if file.draw == 0 else split_view(self.images, view)[0]
        part, started = rows[start : start + file.part_rows], time.perf_counter()
        with torch.no_grad():
            batches = [values.flatten(1).float().cpu() for values in self._pass(recipe, view.seed, part, file.draw)]
        seconds = time.perf_counter() - started
        save_part(self.folders, file, start, torch.cat(batches).numpy(), seconds)

    def _pass(self, recipe: Recipe, seed: int, part: Indices, draw: int) -> Iterator[Tensor]:
        """Yield the features of images as they are evaluated, or augmented as in epoch `draw`, batch by batch."""
        if self.context.prepared:
            prepared = self.prepare_inputs([recipe], [0], [seed])
            if draw == 0:
                return prepared.evaluate(part, FEATURE_BATCH)
            return (batch.inputs for batch in prepared.train([part], FEATURE_BATCH, draw))
        inputs = self.make_inputs([recipe], seed)
        if draw == 0:
            return inputs.evaluate(part, FEATURE_BATCH)
        return (batch.inputs for batch in inputs.train(part, FEATURE_BATCH, draw))

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
        draws = None if self.features is None else self.features.draws
        return Inputs(self.images, recipes, seed, self.dtype, self.body, self.training_images, self.for_colour, draws)

    def prepare_inputs(
        self, recipes: Sequence[Recipe], replicate_of_K: Sequence[int], seeds: Sequence[int]
    ) -> PreparedInputs:
        """Return the same for images prepared on a device, for members of one or several replicates."""
        draws = None if self.features is None else self.features.draws
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
            draws,
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


def _measures_images(task: CohortTask | FinalTestTask | FeaturesTask | ProbeTask, images: Images) -> bool:
    """Return whether a task uses statistics of all training images' pixels: to normalise or to whiten."""
    recipes = [member.recipe for member in task.members]
    if any(needs_statistics(recipe.augmentation) for recipe in recipes):
        return True
    if isinstance(task, FinalTestTask | FeaturesTask):
        return False
    layers = (all_layers(recipe, images.shape_HWC, len(images.class_names)) for recipe in recipes)
    return any(isinstance(first, Whiten) for first, *_ in layers)
