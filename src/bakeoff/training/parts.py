"""How body and head of a network are made, told apart and kept: of layers alone, or layers above a torch module.

Which of the two a recipe's network is, is asked in `Parts.of` and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from bakeoff.data.store import Images
from bakeoff.networks.build import FusedNetwork, State, initialize
from bakeoff.networks.layers import AnyLayer
from bakeoff.networks.module_network import HEAD, FrozenBody, FrozenLayers, ModuleNetwork, first_state
from bakeoff.networks.modules import build_body
from bakeoff.networks.shapes import trace
from bakeoff.training.augmentation.records import trace_augmentation
from bakeoff.training.folders import Folders
from bakeoff.training.recipe import Recipe
from bakeoff.training.shape import Shape, all_layers, count_recipe_body, is_body_frozen, trained_layers
from bakeoff.training.weights import load_weights
from bakeoff.training.whitening import whiten

Network = FusedNetwork | ModuleNetwork


@dataclass(frozen=True)
class Parts:
    """The parts of one recipe's network, whose body and head are both layers: the first ones are the body.

    Attributes:
        recipe: the choices.
        image_shape_HWC: of the images before augmentation.
        num_classes: of the images.
        folders: where weights of earlier trials and of files lie.
        num_features: that a body which is frozen for good hands to the head; None where none is.
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
        """Load a body that is never trained; nothing of it depends on a replicate's seed.

        Raises:
            NetworkError: the network does not fit the images.
            WeightsError: the weights it starts from cannot be had or do not fit.
        """
        body = self._layers[: self._num_body]
        state = self._carry_over(initialize(self._layers, self.shape_HWC, self.recipe.initializer, 0), self._num_body)
        num_features = math.prod(trace(body, self.shape_HWC)[-1].output_shape)
        return FrozenLayers(body, move(state, device), num_features, dtype)

    def draw(self, seed: int, training_images: Images) -> State:
        """Draw the first parameters of what is trained, a function of the seed; carry over what a transfer brings."""
        drawn = initialize(self._layers, self.shape_HWC, self.recipe.initializer, seed)
        state = whiten(drawn, self._layers, training_images, self.recipe)
        if is_body_frozen(self.recipe):
            return _renumber(state, -self._num_body)
        return self._carry_over(state, self._num_body)

    def build(
        self, layers: Sequence[tuple[AnyLayer, ...]], states: Sequence[State], dtype: torch.dtype, body_frozen: bool
    ) -> Network:
        """Build the network of members whose trained layers and states are given.

        A body that is trained in other epochs stands still where it is frozen: evaluated, not differentiated.
        """
        return FusedNetwork(layers, states, dtype, frozen_layers=self._count_body(layers[0]) if body_frozen else 0)

    def name_body(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of a trained network's parameters belong to its body."""
        if is_body_frozen(self.recipe):
            return frozenset()
        num_body = self._count_body(self._trained)
        return frozenset(name for name in names if int(name.partition(".")[0]) < num_body)

    def name_for_saving(self, state: State) -> State:
        """Return the state of what is trained under the names that the whole network gives it."""
        return _renumber(state, self._num_body) if is_body_frozen(self.recipe) else state

    def take_saved(self, saved: State) -> State:
        """Undo `name_for_saving`."""
        return _renumber(saved, -self._num_body) if is_body_frozen(self.recipe) else saved

    def repeats_grey(self) -> bool:
        """Tell whether the body repeats grey images to three channels."""
        return False

    @property
    def shape_HWC(self) -> Shape:
        """Of the images that the network gets."""
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

    def _carry_over(self, state: State, num_body_layers: int = 0, tied: Mapping[str, str] | None = None) -> State:
        if self.recipe.transfer is None:
            return state
        return load_weights(self.recipe.network, self.recipe.transfer, state, self.folders, num_body_layers, tied)


class ModuleParts(Parts):
    """The parts of a network whose body is a torch module under a head of layers."""

    def load_frozen(self, device: torch.device, dtype: torch.dtype) -> FrozenBody:
        """Load a body that is never trained."""
        body = build_body(self.recipe.network, self.shape_HWC)
        state = self._carry_over(first_state(body, self._layers, self.recipe.initializer, 0), tied=body.tied())
        return FrozenBody(body, move(state, device), dtype)

    def draw(self, seed: int, training_images: Images) -> State:
        """Draw the first parameters of the head, and of the body where it is trained."""
        if self.num_features is not None:
            return initialize(self._trained, (1, 1, self.num_features), self.recipe.initializer, seed)
        body = build_body(self.recipe.network, self.shape_HWC, seed)
        return self._carry_over(first_state(body, self._trained, self.recipe.initializer, seed), tied=body.tied())

    def build(
        self, layers: Sequence[tuple[AnyLayer, ...]], states: Sequence[State], dtype: torch.dtype, body_frozen: bool
    ) -> Network:
        """Build the one member's network, or the fused heads on the features of a frozen body."""
        if self.num_features is not None:
            return FusedNetwork(layers, states, dtype)
        return ModuleNetwork(build_body(self.recipe.network, self.shape_HWC), layers[0], states[0], dtype, body_frozen)

    def name_body(self, names: Iterable[str]) -> frozenset[str]:
        """Return which of a trained network's parameters belong to its body."""
        if is_body_frozen(self.recipe):
            return frozenset()
        return frozenset(name for name in names if not name.startswith(HEAD))

    def name_for_saving(self, state: State) -> State:
        """Return the state of what is trained under the names that the whole network gives it."""
        frozen = is_body_frozen(self.recipe)
        return {HEAD + name: tensor for name, tensor in state.items()} if frozen else state

    def take_saved(self, saved: State) -> State:
        """Undo `name_for_saving`."""
        frozen = is_body_frozen(self.recipe)
        return {name.removeprefix(HEAD): tensor for name, tensor in saved.items()} if frozen else saved

    def repeats_grey(self) -> bool:
        """Tell whether the body repeats grey images to three channels."""
        return build_body(self.recipe.network, self.shape_HWC).repeat_grey


def move(state: State, device: torch.device) -> State:
    """Return a state on a device, without gradients."""
    return {name: tensor.detach().to(device) for name, tensor in state.items()}


def _renumber(state: State, offset: int) -> State:
    """Move the layer numbers that names begin with; what falls below 0 is left out."""
    moved = {}
    for name, tensor in state.items():
        number, _, rest = name.partition(".")
        if int(number) + offset >= 0:
            moved[f"{int(number) + offset}.{rest}"] = tensor
    return moved
