"""Augmentation of a batch: every image by its own draws, a function of (seed, epoch, image).

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
class _Place:
    """One step of a recipe and how many of the same name stand before it."""

    choice: AnyAugmentation
    occurrence: int


class Augmenter:
    """Turns stored images into what a network sees: the steps of one recipe, in order.

    Args:
        choices: the steps, first to last. They fit the images: `records.trace_augmentation` says so.
        seed: the replicate's seed; arms of one replicate that share a step share its draws.
        data_statistics: mean and standard deviation per channel of the training images, values in [0, 1]; needed
            where `records.needs_statistics` says so.
        for_colour: whether the network is one for colour images, to which grey ones are repeated.
    """

    def __init__(
        self,
        choices: Sequence[AnyAugmentation],
        seed: int,
        data_statistics: intensity.Statistics | None = None,
        for_colour: bool = False,
    ) -> None:
        names = [choice.name for choice in choices]
        self._places = [_Place(choice, names[:i].count(choice.name)) for i, choice in enumerate(choices)]
        self._seed = seed
        self._data_statistics, self._for_colour = data_statistics, for_colour

    def train(
        self, pixels_NHWC: npt.NDArray[np.uint8] | Tensor, image_numbers_N: npt.NDArray[np.int64], epoch: int
    ) -> Tensor:
        """Return the batch as training sees it in this epoch.

        Args:
            pixels_NHWC: stored images, uint8; a tensor's device is where all is computed. They are not changed.
            image_numbers_N: their positions in the data set, which their draws depend on.
            epoch: counted from 1.

        Returns:
            float32 images_NCHW in channels-last memory, in [0, 1] unless a step normalizes them. An image depends on
            nothing else in the batch (blur, colour and sizes: to rounding).
        """
        images_NHWC = _as_tensor(pixels_NHWC)
        for place in self._places:
            choice = place.choice
            record = AUGMENTATIONS.find(choice.name)
            if not record.train:
                images_NHWC = self._apply_fixed(choice, images_NHWC)
                continue
            draws_ND = self._draw(place, record, image_numbers_N, epoch)
            images_NHWC = bind(record.train)(choice, images_NHWC, draws_ND)
        return _finish(images_NHWC)

    def _draw(
        self, place: _Place, record: AugmentationRecord, image_numbers_N: npt.NDArray[np.int64], epoch: int
    ) -> npt.NDArray[np.float64]:
        """Return an image's numbers for this epoch; what alternates has them move by half from epoch to epoch."""
        name, num_draws = record.name, record.num_draws
        if record.draws_once:
            first_ND = uniform(self._seed, 1, image_numbers_N, name, place.occurrence, num_draws)
            alternated_ND: npt.NDArray[np.float64] = (first_ND + 0.5 * (epoch - 1)) % 1.0
            return alternated_ND
        return uniform(self._seed, epoch, image_numbers_N, name, place.occurrence, num_draws)

    def evaluate(self, pixels_NHWC: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Return the batch as evaluation sees it: sizes, borders, middle crops and normalization only.

        Args:
            pixels_NHWC: as in `train`.

        Returns:
            As in `train`.
        """
        images_NHWC = _as_tensor(pixels_NHWC)
        for place in self._places:
            images_NHWC = self._apply_fixed(place.choice, images_NHWC)
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
    """Return float32 images_NCHW, channels-last in memory; the strides of a single channel say so too."""
    scaled = geometry.scale_to_unit(images_NHWC).contiguous()
    return scaled.view(-1).view(scaled.shape).permute(0, 3, 1, 2)
