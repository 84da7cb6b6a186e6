"""Augments batches: every image with its own draws, a function of (seed, epoch, image).

Shape legend: N images, H rows, W columns, C channels, D draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.records import AUGMENTATIONS, AnyAugmentation, AugmentationRecord
from bakeoff.catalog.augmentation.steps import Normalize
from bakeoff.engine.augment import geometry, intensity
from bakeoff.engine.augment.draws import uniform
from bakeoff.registry import bind


@dataclass(frozen=True)
class _Step:
    """One step of a recipe, and the number of earlier steps with the same name."""

    choice: AnyAugmentation
    occurrence: int


class Augmenter:
    """Turns stored images into a network's inputs: applies the steps of one recipe, in order.

    Args:
        choices: the steps, first to last, checked by `records.trace_augmentation`.
        seed: the replicate's seed; arms of one replicate that share a step share its draws.
        data_statistics: mean and standard deviation per channel of the training images, values in [0, 1]; required
            if `records.needs_statistics`.
        for_colour: whether the network expects colour images, so that grey ones are repeated.
    """

    def __init__(
        self,
        choices: Sequence[AnyAugmentation],
        seed: int,
        data_statistics: intensity.Statistics | None = None,
        for_colour: bool = False,
    ) -> None:
        names = [choice.name for choice in choices]
        self._steps = [_Step(choice, names[:i].count(choice.name)) for i, choice in enumerate(choices)]
        self._seed = seed
        self._data_statistics, self._for_colour = data_statistics, for_colour

    def train(
        self, pixels_NHWC: npt.NDArray[np.uint8] | Tensor, image_numbers_N: npt.NDArray[np.int64], epoch: int
    ) -> Tensor:
        """Return the batch augmented for training in this epoch.

        Args:
            pixels_NHWC: stored images, uint8, not modified; the results are computed on a tensor's device.
            image_numbers_N: their positions in the dataset, which determine their draws.
            epoch: counted from 1.

        Returns:
            float32 images_NCHW in channels-last memory, in [0, 1] unless a step normalizes them. An image does not
            depend on the rest of the batch (blur, colour and sizes: up to rounding).
        """
        images_NHWC = _as_tensor(pixels_NHWC)
        for step in self._steps:
            choice = step.choice
            record = AUGMENTATIONS.find(choice.name)
            if not record.train:
                images_NHWC = self._apply_fixed(choice, images_NHWC)
                continue
            draws_ND = self._draw(step, record, image_numbers_N, epoch)
            images_NHWC = bind(record.train)(choice, images_NHWC, draws_ND)
        return _finish(images_NHWC)

    def _draw(
        self, step: _Step, record: AugmentationRecord, image_numbers_N: npt.NDArray[np.int64], epoch: int
    ) -> npt.NDArray[np.float64]:
        """Return the images' random numbers for this epoch; for alternating steps they shift by 1/2 every epoch."""
        name, num_draws = record.name, record.num_draws
        if record.draws_once:
            first_ND = uniform(self._seed, 1, image_numbers_N, name, step.occurrence, num_draws)
            alternated_ND: npt.NDArray[np.float64] = (first_ND + 0.5 * (epoch - 1)) % 1.0
            return alternated_ND
        return uniform(self._seed, epoch, image_numbers_N, name, step.occurrence, num_draws)

    def evaluate(self, pixels_NHWC: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Return the batch prepared for evaluation: only resizing, padding, central crops and normalization.

        Args:
            pixels_NHWC: as in `train`.

        Returns:
            As in `train`.
        """
        images_NHWC = _as_tensor(pixels_NHWC)
        for step in self._steps:
            images_NHWC = self._apply_fixed(step.choice, images_NHWC)
        return _finish(images_NHWC)

    def _apply_fixed(self, choice: AnyAugmentation, images_NHWC: Tensor) -> Tensor:
        if isinstance(choice, Normalize):
            return intensity.normalize(choice, images_NHWC, self._data_statistics, self._for_colour)
        path = AUGMENTATIONS.find(choice.name).evaluate
        changed: Tensor = bind(path)(choice, images_NHWC) if path else images_NHWC
        return changed


def _as_tensor(pixels_NHWC: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    return pixels_NHWC if isinstance(pixels_NHWC, Tensor) else torch.from_numpy(pixels_NHWC)


def _finish(images_NHWC: Tensor) -> Tensor:
    """Return float32 images_NCHW, channels-last in memory, also by the strides of a single channel."""
    scaled = geometry.scale_to_unit(images_NHWC).contiguous()
    return scaled.view(-1).view(scaled.shape).permute(0, 3, 1, 2)
