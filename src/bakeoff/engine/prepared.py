"""Images on a device: stored there if they fit, shuffled, augmented and converted in large chunks.

An epoch is prepared some thousand images at a time, so that every call gives the device much work, and a batch is a
slice. Random draws do not depend on the chunk size: every image has its own.

Shape legend: K members, S replicates among them, R copies that differ, N images, H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.catalog.recipe import Recipe
from bakeoff.data.store import Images
from bakeoff.engine.augment.apply import Augmenter
from bakeoff.engine.augment.mix_images import Mixed, mix
from bakeoff.engine.device_context import DeviceContext
from bakeoff.engine.features import Draws
from bakeoff.engine.inputs import Batch, Body, Indices, measure_training

MOST_IMAGES = 8_192
"""Maximum images per chunk: this keeps a device busy while further draws are computed."""


_OPENED: dict[tuple[object, ...], DeviceImages] = {}


def open_on_device(images: Images, context: DeviceContext) -> DeviceImages:
    """Return images on a device; a process caches those it used last."""
    key = (images.fingerprint, str(getattr(images.pixels, "filename", id(images.pixels))), context.device)
    if key not in _OPENED:
        _OPENED.clear()
        _OPENED[key] = DeviceImages(images, context)
    return _OPENED[key]


def _open_versions(draws: Draws, images: Images, context: DeviceContext) -> list[DeviceImages]:
    """Return features of augmented images on a device; together they take no more of it than images may."""
    each = replace(context, resident_bytes=context.resident_bytes // len(draws.versions))
    versions = (cast("npt.NDArray[np.uint8]", version) for version in draws.versions)
    return [DeviceImages(replace(images, pixels=version), each) for version in versions]


class DeviceImages:
    """Stored images, gathered on a device: from its own memory if they fit, else from the host's.

    Args:
        images: pixels uint8 or features float32.
        context: the device, and how much of its memory images may take.
    """

    def __init__(self, images: Images, context: DeviceContext) -> None:
        self._images, self._device = images, context.device
        self.labels_N = torch.from_numpy(np.array(images.labels)).to(context.device)
        fits = images.pixels.nbytes <= context.resident_bytes
        self._resident = torch.from_numpy(np.array(images.pixels)).to(context.device) if fits else None
        self._reader = None if fits else ThreadPoolExecutor(1, "bakeoff-images")

    def gather(self, pieces: Sequence[Indices]) -> Iterator[Tensor]:
        """Yield the pixels of each chunk, (N, H, W, C), on the device; from the host, one chunk ahead."""
        if self._reader is None:
            for numbers in pieces:
                assert self._resident is not None, "without a reader the images are on the device"
                yield self._resident[torch.from_numpy(numbers).to(self._device)]
            return
        ahead: Future[Tensor] = self._reader.submit(self._read, pieces[0])
        for number in range(len(pieces)):
            ready = ahead.result()
            if number + 1 < len(pieces):
                ahead = self._reader.submit(self._read, pieces[number + 1])
            yield ready.to(self._device, non_blocking=True)

    def _read(self, numbers: Indices) -> Tensor:
        pixels = torch.from_numpy(self._images.pixels[numbers])
        return pixels.pin_memory() if self._device.type == "cuda" else pixels


class PreparedInputs:
    """The counterpart of `inputs.Inputs` on a device, for members of one or several replicates.

    Args:
        images: the images on the device.
        stored: the same images as opened.
        recipes: one per member.
        replicate_of_K: the replicate of each member, 0 .. S-1.
        seeds: one per replicate.
        dtype: the dtype of the arithmetic.
        context: the device.
        body: a frozen body applied to every image, or None.
        training_images: the images whose mean and sd `normalize` uses; by default `stored`.
        for_colour: whether the network expects colour images, so that grayscale ones are repeated.
        draws: for features of a single replicate, those of augmented training images; None if training uses the same
            as evaluation.
    """

    def __init__(
        self,
        images: DeviceImages,
        stored: Images,
        recipes: Sequence[Recipe],
        replicate_of_K: Sequence[int],
        seeds: Sequence[int],
        dtype: torch.dtype,
        context: DeviceContext,
        body: Body | None = None,
        training_images: Images | None = None,
        for_colour: bool = False,
        draws: Draws | None = None,
    ) -> None:
        self._draws = draws
        self._versions = [] if draws is None else _open_versions(draws, stored, context)
        self.images, self.dtype, self._context, self._body = images, dtype, context, body
        self._replicate_of_K, self._seeds = tuple(replicate_of_K), tuple(seeds)
        self._is_pixels = stored.pixels.dtype == np.uint8
        self.mirrored = tuple(recipe.evaluate == "mirrored" for recipe in recipes)
        asked = [
            (number, recipe.augmentation, recipe.mix)
            for number, recipe in zip(self._replicate_of_K, recipes, strict=True)
        ]
        self._steps = list(dict.fromkeys(asked))
        self._step_of_K = [self._steps.index(step) for step in asked]
        needed = self._is_pixels and any(needs_statistics(recipe.augmentation) for recipe in recipes)
        statistics = measure_training(training_images or stored) if needed else None
        self._augmenters = [
            Augmenter(augmentation, self._seeds[number], statistics, for_colour)
            for number, augmentation, _ in self._steps
        ]
        copies = len(self._steps)
        # If all copies serve equally many adjacent members, the network takes the copies as they are.
        each = [k * copies // len(recipes) for k in range(len(recipes))]
        self._even = len(recipes) % copies == 0 and self._step_of_K == each
        self._mixes = any(choice is not None for _, _, choice in self._steps)
        self._copy_index_K = torch.tensor(self._step_of_K, device=context.device)
        self._replicate_index_K = torch.tensor(self._replicate_of_K, device=context.device)
        self._image_bytes = 0

    def train(self, orders: Sequence[Indices], batch_size: int, epoch: int) -> Iterator[Batch]:
        """Yield an epoch's batches, each replicate's images in its own order.

        Args:
            orders: image indices of every replicate, equally many.
            batch_size: images per batch; the last may be smaller.
            epoch: counted from 1.
        """
        self._check(orders)
        size = self._size_piece(orders[0], batch_size)
        labels_SN = self.images.labels_N[torch.from_numpy(np.stack(orders)).to(self._context.device)]
        for number, whole in enumerate(self._prepare(orders, size, epoch)):
            start = number * size
            for first in range(start, start + whole.shape[1], batch_size):
                last = min(first + batch_size, start + whole.shape[1])
                numbers = [order[first:last] for order in orders]
                images, labels = whole[:, first - start : last - start], labels_SN[:, first:last]
                yield self._make_batch(images, labels, numbers, epoch)

    def evaluate(self, orders: Sequence[Indices] | Indices, batch_size: int) -> Iterator[Tensor]:
        """Yield each replicate's images in order for evaluation: nothing random, no mixing."""
        orders = [orders] * len(self._seeds) if isinstance(orders, np.ndarray) else orders
        self._check(orders)
        size = self._size_piece(orders[0], batch_size)
        for whole in self._prepare(orders, size, None):
            for first in range(0, whole.shape[1], batch_size):
                yield self._distribute(whole[:, first : first + batch_size])

    def _check(self, orders: Sequence[Indices]) -> None:
        if len({len(order) for order in orders}) != 1:
            raise ValueError("replicates of one cohort must train on equally many images")

    def _size_piece(self, order: Indices, batch_size: int) -> int:
        """Return how many images to prepare at once: as many whole batches as fit on the device."""
        if not self._image_bytes:
            example = next(iter(self._prepare([order[:1]] * len(self._seeds), 1, None)))
            self._image_bytes = max(1, example.numel() * example.element_size())
        fitting = self._context.piece_bytes // self._image_bytes
        return max(1, min(MOST_IMAGES, fitting) // batch_size) * batch_size

    def _prepare(self, orders: Sequence[Indices], size: int, epoch: int | None) -> Iterator[Tensor]:
        """Yield chunks (R, N, C, H, W) in the arithmetic's dtype, with the copies of an image adjacent in memory."""
        starts = range(0, len(orders[0]), size)
        used = sorted({number for number, _, _ in self._steps})
        source, rows = self._find_rows(orders, epoch)
        streams = {number: source.gather([rows[number][start : start + size] for start in starts]) for number in used}
        for start in starts:
            stored = {number: next(stream) for number, stream in streams.items()}
            made = [
                self._convert(copy, stored[number], orders[number][start : start + size], epoch)
                for copy, (number, _, _) in enumerate(self._steps)
            ]
            yield torch.stack([each.permute(0, 2, 3, 1) for each in made], dim=3).permute(3, 0, 4, 1, 2)

    def _find_rows(self, orders: Sequence[Indices], epoch: int | None) -> tuple[DeviceImages, Sequence[Indices]]:
        """Return where the inputs of an epoch are stored, and the rows of every replicate's images there."""
        if self._draws is None or epoch is None:
            return self.images, orders
        return self._versions[self._draws.number(epoch)], [self._draws.row_of_N[order] for order in orders]

    def _convert(self, copy: int, stored_NHWC: Tensor, numbers: Indices, epoch: int | None) -> Tensor:
        if not self._is_pixels:
            return stored_NHWC.permute(0, 3, 1, 2).to(self.dtype)
        augmenter = self._augmenters[copy]
        if epoch is None:
            return self._encode(augmenter.evaluate(stored_NHWC))
        images_NCHW = augmenter.train(stored_NHWC, numbers, epoch)
        # Images are mixed in full precision and then go through a body batch by batch.
        return images_NCHW if self._mixes else self._encode(images_NCHW)

    def _encode(self, images_NCHW: Tensor) -> Tensor:
        images_NCHW = images_NCHW.to(self.dtype)
        if self._body is None:
            return images_NCHW
        parts = [self._body(part) for part in torch.split(images_NCHW, self._context.evaluation_batch)]
        return torch.cat(parts).to(self.dtype)[:, :, None, None]

    def _make_batch(self, images: Tensor, labels_SN: Tensor, numbers: Sequence[Indices], epoch: int) -> Batch:
        single = len(labels_SN) == 1
        labels_N = labels_SN[0] if single else labels_SN.index_select(0, self._replicate_index_K)
        if not self._mixes:
            return Batch(self._distribute(images), labels_N)
        made = [self._mix(copy, images[copy], labels_SN, numbers, epoch) for copy in range(len(self._steps))]
        inputs = torch.stack([each for each, _ in made])
        partners = torch.stack([mixed.partner_labels_N for _, mixed in made]).index_select(0, self._copy_index_K)
        shares = torch.stack([mixed.share_N for _, mixed in made]).index_select(0, self._copy_index_K)
        return Batch(self._distribute(inputs), labels_N, Mixed(partners[0] if single else partners, shares))

    def _mix(
        self, copy: int, images_NCHW: Tensor, labels_SN: Tensor, numbers: Sequence[Indices], epoch: int
    ) -> tuple[Tensor, Mixed]:
        number, _, choice = self._steps[copy]
        labels_N = labels_SN[number]
        if choice is None:
            alone = Mixed(labels_N.roll(-1, 0), torch.ones(len(labels_N), device=labels_N.device))
            return self._encode(images_NCHW), alone
        mixed_NCHW, mixed = mix(images_NCHW, labels_N, choice, self._seeds[number], epoch, numbers[number])
        return self._encode(mixed_NCHW), mixed

    def _distribute(self, images: Tensor) -> Tensor:
        """Return the inputs shared by all members, or one copy per group of members, or one per member."""
        if len(images) == 1:
            return images[0]
        return images if self._even else images.index_select(0, self._copy_index_K)
