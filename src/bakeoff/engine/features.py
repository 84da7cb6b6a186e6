"""Features of a frozen body as a cohort uses them: computed before training, memory-mapped by all heads.

Shape legend: N images, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from bakeoff.data.store import Images
from bakeoff.engine.feature_files import Stored, join_parts, list_missing_parts, load_features
from bakeoff.errors import ImageCacheError, StorageError
from bakeoff.messages import FeatureFile
from bakeoff.workspace import Folders

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Features of augmented training images, in a few versions that epochs use in turn.

    Attributes:
        versions: float32 [n, 1, 1, F] each, read-only memory maps: one row per training image.
        row_of_N: the row of every image of the source.
    """

    versions: tuple[npt.NDArray[np.float32], ...]
    row_of_N: Indices

    def number(self, epoch: int) -> int:
        """Return which version an epoch uses; epochs are counted from 1."""
        return (epoch - 1) % len(self.versions)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features as a cohort uses them.

    Attributes:
        images: pixels float32 [n, 1, 1, F], a read-only memory map; everything else is that of the images.
        key: the key of the file; with draws, of the first of them.
        seconds: time taken to compute them, now or earlier, summed over the workers. With draws, these and the
            features for evaluation, which other replicates use too.
        draws: those of augmented training images; None if nothing is random.
    """

    images: Images
    key: str
    seconds: float
    draws: Draws | None = None

    @property
    def num_features(self) -> int:
        """The number of features."""
        return self.images.shape_HWC[2]


def open_features(
    files: Sequence[FeatureFile],
    images: Images,
    train: Indices,
    folders: Folders,
    compute: Callable[[FeatureFile, int], None],
) -> Features:
    """Return the images' features in the shape of images, and those of augmented ones.

    The driver has them computed before. If they are missing, they are computed here; processes that need the same ones
    wait for the first of them.

    Args:
        files: the files, see `list_feature_files`.
        images: the images.
        train: the indices of the training images, in the order of the augmented ones.
        folders: the workspace.
        compute: computes and stores one part.

    Raises:
        DataError: what was computed cannot be read back.
        StorageError: it cannot be written.
    """
    (rows, seconds), *others = [load_features(folders, file) or _compute(file, folders, compute) for file in files]
    draws = None
    if others:
        row_of_N = np.full(len(images.labels), -1)
        row_of_N[train] = np.arange(len(train))
        draws = Draws(versions=tuple(version for version, _ in others), row_of_N=row_of_N)
    # Images are uint8 everywhere else; code that gathers from these checks the dtype.
    return Features(
        images=replace(images, pixels=cast("npt.NDArray[np.uint8]", rows)),
        key=files[min(1, len(others))].key,
        seconds=seconds + sum(own for _, own in others),
        draws=draws,
    )


def _compute(file: FeatureFile, folders: Folders, compute: Callable[[FeatureFile, int], None]) -> Stored:
    folder = folders.feature_rows(file.key).parent
    lock = FileLock(folder / "features.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    with lock:
        stored = load_features(folders, file)
        if stored is None:
            for start in list_missing_parts(folders, file):
                compute(file, start)
            join_parts(folders, file)
            stored = load_features(folders, file)
    if stored is None:
        raise ImageCacheError(f"the features in {folder} cannot be read back: remove that folder and run again.")
    return stored
