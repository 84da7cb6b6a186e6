"""Builds, separates and saves a network's body and head: layers only, or a head of layers on a torch module.

Only `Parts.of` decides between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from bakeoff.catalog.augmentation.records import trace_augmentation
from bakeoff.catalog.networks.layers import AnyLayer
from bakeoff.catalog.networks.shapes import trace
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import Shape, all_layers, count_recipe_body, freezes_norm, is_body_frozen, trained_layers
from bakeoff.data.store import Images
from bakeoff.engine.fused.build import FusedNetwork, State, initialize
from bakeoff.engine.fused.module_network import BODY, HEAD, FrozenBody, FrozenLayers, ModuleNetwork, first_state
from bakeoff.engine.fused.modules import Body, build_body
from bakeoff.engine.weights import load_weights
from bakeoff.engine.whitening import whiten
from bakeoff.workspace import Folders

Network = FusedNetwork | ModuleNetwork


@dataclass(frozen=True)
class Parts:
    """The parts of a recipe's network whose body and head are both layers: the first layers are the body.

    Attributes:
        recipe: the choices.
        image_shape_HWC: shape of the images before augmentation.
        num_classes: number of classes.
        folders: the workspace, with weights of earlier trials and files.
        num_features: number of features of a permanently frozen body; None without one.
    """

    recipe: Recipe
    image_shape_HWC: Shape
    num_classes: int
    folders: Folders
    num_features: int | None = None

    @classmethod
    def of(
        cls, recipe: Recipe, image_shape_HWC: Shape, num_classes: int, folders: Folders, num_features: int | None = None
    ) -> Parts:
        """Return the parts of a recipe's network, whatever its body is."""
        kind = ModuleParts if recipe.network.has_module else Parts
        return kind(recipe, image_shape_HWC, num_classes, folders, num_features)

    def load_frozen(self, device: torch.device, dtype: torch.dtype) -> FrozenBody | FrozenLayers:
        """Load a body that is never trained; it does not depend on a replicate's seed.

        Raises:
            NetworkError: the network does not fit the images.
            WeightsError: the pretrained weights are unavailable or do not fit.
        """
        body, state = self._layers[: self._num_body], self.load_frozen_state()
        num_features = math.prod(trace(body, self.shape_HWC)[-1].output_shape)
        return FrozenLayers(body, move(state, device), num_features, dtype)

    def load_frozen_state(self) -> State:
        """Return the weights of a body that is never trained, under the whole network's names; errors as above."""
        first = initialize(self._layers, self.shape_HWC, self.recipe.initializer, 0)
        state = self._transfer_weights(first, self._num_body)
        return {name: tensor for name, tensor in state.items() if int(name.partition(".")[0]) < self._num_body}

    def draw(self, seed: int, training_images: Images) -> State:
        """Initialize the trained parameters, as a function of the seed, and load transferred weights."""
        drawn = initialize(self._layers, self.shape_HWC, self.recipe.initializer, seed)
        state = whiten(drawn, self._layers, training_images, self.recipe)
        if is_body_frozen(self.recipe):
            return _renumber(state, -self._num_body)
        return self._transfer_weights(state, self._num_body)

    def build(
        self, layers: Sequence[tuple[AnyLayer, ...]], states: Sequence[State], dtype: torch.dtype, body_frozen: bool
    ) -> Network:
        """Build the network of members with these trained layers and states.

        In epochs in which a body is frozen it is in evaluation mode, without gradients.
        """
        norms_frozen = freezes_norm(self.recipe)
        # The heads of a body that stays frozen are all of the layers, and have no body to count.
        num_body = self._count_body(layers[0]) if body_frozen or norms_frozen else 0
        return FusedNetwork(
            layers,
            states,
            dtype,
            frozen_layers=num_body if body_frozen else 0,
            frozen_norms=num_body if norms_frozen else 0,
        )

    def name_body(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of a trained network's parameters belong to its body."""
        if is_body_frozen(self.recipe):
            return frozenset()
        num_body = self._count_body(self._trained)
        return frozenset(name for name in names if int(name.partition(".")[0]) < num_body)

    def name_for_saving(self, state: State) -> State:
        """Return the trained parameters under the whole network's names."""
        return _renumber(state, self._num_body) if is_body_frozen(self.recipe) else state

    def take_saved(self, saved: State) -> State:
        """Undo `name_for_saving`."""
        return _renumber(saved, -self._num_body) if is_body_frozen(self.recipe) else saved

    def repeats_grey(self) -> bool:
        """Return whether the body repeats grayscale images to three channels."""
        return False

    @property
    def shape_HWC(self) -> Shape:
        """Shape of the network's input."""
        height, width, channels = trace_augmentation(self.recipe.augmentation, self.image_shape_HWC)
        return height, width, channels

    @property
    def _layers(self) -> tuple[AnyLayer, ...]:
        return all_layers(self.recipe, self.image_shape_HWC, self.num_classes)

    @property
    def _trained(self) -> tuple[AnyLayer, ...]:
        return trained_layers(self.recipe, self.image_shape_HWC, self.num_classes)

    @property
    def _num_body(self) -> int:
        return self._count_body(self._layers)

    def _count_body(self, layers: tuple[AnyLayer, ...]) -> int:
        return count_recipe_body(self.recipe, layers)

    def _transfer_weights(self, state: State, num_body_layers: int = 0, tied: Mapping[str, str] | None = None) -> State:
        if self.recipe.transfer is None:
            return state
        return load_weights(self.recipe.network, self.recipe.transfer, state, self.folders, num_body_layers, tied)


class ModuleParts(Parts):
    """The parts of a network with a torch module as body and a head of layers."""

    def load_frozen(self, device: torch.device, dtype: torch.dtype) -> FrozenBody:
        """Load a body that is never trained."""
        body = build_body(self.recipe.network, self.shape_HWC)
        return FrozenBody(body, move(self._load_body(body), device), dtype)

    def load_frozen_state(self) -> State:
        """Return the weights of a body that is never trained, under the whole network's names."""
        return self._load_body(build_body(self.recipe.network, self.shape_HWC))

    def _load_body(self, body: Body) -> State:
        state = self._transfer_weights(first_state(body, self._layers, self.recipe.initializer, 0), tied=body.tied())
        return {name: tensor for name, tensor in state.items() if name.startswith(BODY)}

    def draw(self, seed: int, training_images: Images) -> State:
        """Initialize the head's parameters, and the body's if it is trained."""
        if self.num_features is not None:
            return initialize(self._trained, (1, 1, self.num_features), self.recipe.initializer, seed)
        body = build_body(self.recipe.network, self.shape_HWC, seed)
        return self._transfer_weights(first_state(body, self._trained, self.recipe.initializer, seed), tied=body.tied())

    def build(
        self, layers: Sequence[tuple[AnyLayer, ...]], states: Sequence[State], dtype: torch.dtype, body_frozen: bool
    ) -> Network:
        """Build the one member's network, or the fused heads on the features of a frozen body."""
        if self.num_features is not None:
            return FusedNetwork(layers, states, dtype)
        body = build_body(self.recipe.network, self.shape_HWC)
        return ModuleNetwork(body, layers[0], states[0], dtype, body_frozen, freezes_norm(self.recipe))

    def name_body(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of a trained network's parameters belong to its body."""
        if is_body_frozen(self.recipe):
            return frozenset()
        return frozenset(name for name in names if not name.startswith(HEAD))

    def name_for_saving(self, state: State) -> State:
        """Return the trained parameters under the whole network's names."""
        frozen = is_body_frozen(self.recipe)
        return {HEAD + name: tensor for name, tensor in state.items()} if frozen else state

    def take_saved(self, saved: State) -> State:
        """Undo `name_for_saving`."""
        frozen = is_body_frozen(self.recipe)
        return {name.removeprefix(HEAD): tensor for name, tensor in saved.items()} if frozen else saved

    def repeats_grey(self) -> bool:
        """Return whether the body repeats grayscale images to three channels."""
        return build_body(self.recipe.network, self.shape_HWC).repeat_grey


def move(state: State, device: torch.device) -> State:
    """Return a state on a device, without gradients."""
    return {name: tensor.detach().to(device) for name, tensor in state.items()}


def _renumber(state: State, offset: int) -> State:
    """Shift the layer numbers at the start of names; names with negative numbers are dropped."""
    moved = {}
    for name, tensor in state.items():
        number, _, rest = name.partition(".")
        if int(number) + offset >= 0:
            moved[f"{int(number) + offset}.{rest}"] = tensor
    return moved
