"""Previews a folder or manifest before decoding: its classes and counts, and a few of its training images."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.files import list_source
from bakeoff.data.group_draws import count_class_groups, number_groups
from bakeoff.data.listing import ImageFile
from bakeoff.data.source import DataSource

MOST_IMAGES = 6
"""Number of images to open, spread evenly so that they cover several classes."""


@dataclass(frozen=True, kw_only=True)
class Peek:
    """What is known about a source's training images without decoding all of them.

    Attributes:
        class_counts: training images of every class, including own validation images.
        num_own_validation: images that the source reserves for validation.
        shape_HWC: shape of the opened images; None if they differ or none can be read.
        decode_seconds: estimated time to decode all images.
        class_groups: groups of every class; None if every image stands alone. `num_groups`: in all; then 0.
    """

    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    num_own_validation: int
    shape_HWC: tuple[int, int, int] | None
    decode_seconds: float
    class_groups: tuple[int, ...] | None = None
    num_groups: int = 0


def peek(source: DataSource, data_dir: Path | None = None) -> Peek:
    """List a folder or manifest and open a few of its training images; the test split stays closed.

    Raises:
        DataError: not found, or its files do not form a classification task.
    """
    listing = list_source(source, data_dir)
    files = listing.select("train", "validation")
    counts = Counter(file.class_name for file in files)
    shape, seconds = _open_some(files, source)
    groups = number_groups([file.group for file in files])
    return Peek(
        class_names=listing.class_names,
        class_counts=tuple(counts[name] for name in listing.class_names),
        num_own_validation=len(listing.select("validation")),
        shape_HWC=shape,
        decode_seconds=seconds * len(files),
        class_groups=None if groups is None else _count_groups(files, groups, listing.class_names),
        num_groups=0 if groups is None else int(groups.max()) + 1,
    )


def _count_groups(
    files: tuple[ImageFile, ...], groups: npt.NDArray[np.int64], class_names: tuple[str, ...]
) -> tuple[int, ...]:
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers[file.class_name] for file in files], dtype=np.int64)
    return tuple(count_class_groups(labels, groups, len(class_names)).tolist())


def _open_some(files: tuple[ImageFile, ...], source: DataSource) -> tuple[tuple[int, int, int] | None, float]:
    """Return the common shape of a few images, and the seconds that decoding one takes."""
    # Imported late: Pillow is needed only to open images.
    from bakeoff.data.pictures import PictureError, read_picture, silence_pillow

    sizes, channels = set[tuple[int, int]](), 1
    started = time.perf_counter()
    step = max(1, len(files) // MOST_IMAGES)
    chosen = files[::step][:MOST_IMAGES]
    with silence_pillow():
        for file in chosen:
            try:
                pixels = read_picture(file.path, source.size_HW, source.colour).pixels_HWC
            except PictureError:
                continue
            sizes.add(pixels.shape[:2])
            channels = max(channels, pixels.shape[2])
    seconds = (time.perf_counter() - started) / max(1, len(chosen))
    if len(sizes) != 1:
        return None, seconds
    height, width = sizes.pop()
    return (height, width, channels), seconds
