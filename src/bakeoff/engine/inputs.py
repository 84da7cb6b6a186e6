"""The inputs of a cohort's members: images gathered, augmented, mixed, and passed through a frozen body.

Members with equal settings share one copy; otherwise each has its own copy of the same images in the same order.

Shape legend: K members, N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.records import AugmentationChoice, needs_statistics
from bakeoff.catalog.mixing import MixChoice
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.manage import measure_pixels
from bakeoff.data.prefetch import read_ahead
from bakeoff.data.store import Images
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.engine.augment.mix_images import Mixed, mix
from bakeoff.engine.features import Draws

Indices = npt.NDArray[np.int64]
Body = Callable[[Tensor], Tensor]
"""Maps images_NCHW in the arithmetic's dtype to float32 features_NF; nothing in it is trained."""

_Step = tuple[tuple[AugmentationChoice, ...], MixChoice | None]


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: (N, C, H, W) for all members, or (K, N, C, H, W), one per member; channels-last. (S, N, C, H, W) for
            adjacent members of S replicates.
        labels_N: for all members, or (K, N).
        mixed: how the images were mixed, if they were: weights (N,) or (K, N).
    """

    inputs: Tensor
    labels_N: Tensor
    mixed: Mixed | None = None


class Inputs:
    """The only path from stored images to network inputs.

    Args:
        images: pixels (uint8), or features computed once (float32), which are passed on unchanged.
        recipes: one per member.
        seed: the replicate's seed, for the augmentation.
        dtype: the dtype of the arithmetic.
        body: a frozen body applied to every image, or None.
        training_images: the images whose mean and sd `normalize` uses; by default `images`.
        for_colour: whether the network expects colour images, so that grayscale ones are repeated.
        draws: for features, those of augmented training images; None if training uses the same as evaluation.
    """

    def __init__(
        self,
        images: Images,
        recipes: Sequence[Recipe],
        seed: int,
        dtype: torch.dtype,
        body: Body | None = None,
        training_images: Images | None = None,
        for_colour: bool = False,
        draws: Draws | None = None,
    ) -> None:
        self._draws = draws
        self.images, self.seed, self.dtype, self.body = images, seed, dtype, body
        self.mirrored = [recipe.evaluate == "mirrored" for recipe in recipes]
        asked: list[_Step] = [(recipe.augmentation, recipe.mix) for recipe in recipes]
        self._steps = list(dict.fromkeys(asked))
        self._step_of = [self._steps.index(step) for step in asked]
        needed = any(needs_statistics(recipe.augmentation) for recipe in recipes) and images.pixels.dtype == np.uint8
        statistics = measure_training(training_images or images) if needed else None
        self._augmenters = [Augmenter(augmentation, seed, statistics, for_colour) for augmentation, _ in self._steps]

    def train(self, order: Indices, batch_size: int, epoch: int) -> Iterator[Batch]:
        """Yield the images at `order` in consecutive batches, augmented and mixed; the last may be smaller.

        Draws are a function of (seed, epoch, image), so a resumed epoch sees the same images.
        """
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            read_ahead(self.images.pixels, order[start + batch_size : start + 2 * batch_size])
            labels_N = torch.from_numpy(self.images.labels[numbers])
            if self.images.pixels.dtype != np.uint8:
                yield Batch(self._take_training_features(numbers, epoch), labels_N)
                continue
            pixels_NHWC = self.images.pixels[numbers]
            made = [self._prepare(number, pixels_NHWC, labels_N, numbers, epoch) for number in range(len(self._steps))]
            yield Batch(self._stack([inputs for inputs, _ in made]), labels_N, self._stack_mixed(made, labels_N))

    def evaluate(self, indices: Indices, batch_size: int) -> Iterator[Tensor]:
        """Yield the inputs of the images at `indices` for evaluation: nothing random, no mixing."""
        for start in range(0, len(indices), batch_size):
            numbers = indices[start : start + batch_size]
            if self.images.pixels.dtype != np.uint8:
                yield self._take_features(numbers)
                continue
            pixels_NHWC = self.images.pixels[numbers]
            yield self._stack([self._encode(augmenter.evaluate(pixels_NHWC)) for augmenter in self._augmenters])

    def _prepare(
        self, number: int, pixels_NHWC: npt.NDArray[np.uint8], labels_N: Tensor, numbers: Indices, epoch: int
    ) -> tuple[Tensor, Mixed | None]:
        images_NCHW = self._augmenters[number].train(pixels_NHWC, numbers, epoch)
        choice = self._steps[number][1]
        mixed = None
        if choice is not None:
            images_NCHW, mixed = mix(images_NCHW, labels_N, choice, self.seed, epoch, numbers)
        return self._encode(images_NCHW), mixed

    def _encode(self, images_NCHW: Tensor) -> Tensor:
        images_NCHW = images_NCHW.to(self.dtype)
        if self.body is None:
            return images_NCHW
        return self.body(images_NCHW).to(self.dtype)[:, :, None, None]

    def _take_training_features(self, numbers: Indices, epoch: int) -> Tensor:
        if self._draws is None:
            return self._take_features(numbers)
        version = self._draws.versions[self._draws.number(epoch)]
        return torch.from_numpy(version[self._draws.row_of_N[numbers]]).permute(0, 3, 1, 2).to(self.dtype)

    def _take_features(self, numbers: Indices) -> Tensor:
        return torch.from_numpy(self.images.pixels[numbers]).permute(0, 3, 1, 2).to(self.dtype)

    def _stack(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the inputs shared by all members, or one per member."""
        return inputs[0] if len(inputs) == 1 else torch.stack([inputs[number] for number in self._step_of])

    def _stack_mixed(self, made: Sequence[tuple[Tensor, Mixed | None]], labels_N: Tensor) -> Mixed | None:
        """Stack the members' mixing weights: partners are the same for all, and an unmixed image has weight 1."""
        found = [mixed for _, mixed in made]
        if len(found) == 1 or all(mixed is None for mixed in found):
            return found[0]
        partner_labels_N = next(mixed.partner_labels_N for mixed in found if mixed is not None)
        shares = [torch.ones(len(labels_N)) if mixed is None else mixed.share_N for mixed in found]
        return Mixed(partner_labels_N, torch.stack([shares[number] for number in self._step_of]))


_MEASURED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {}


def measure_training(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and sd per channel of all training images, computed once per process."""
    if images.fingerprint not in _MEASURED:
        _MEASURED[images.fingerprint] = measure_pixels(images.pixels)
    return _MEASURED[images.fingerprint]
