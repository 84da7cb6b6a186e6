"""The pictures in a report: read once from the decoded images, then stored in the workspace.

A report can thus be made where the images are missing. Pictures are stored under a hash of which images they show, so
another selection has another file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, find_decoded
from bakeoff.report.evidence import BlockEvidence
from bakeoff.stats.measure import Split
from bakeoff.workspace import Folders, write_whole

MOST_PIXELS = 96
"""Longest side of a stored picture, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """Pictures of one block.

    Attributes:
        key: a hash of which images these are, and how they are stored.
        indices: their numbers in the source split, ascending.
        pixels: uint8 [n, H, W, 1 or 3], no side longer than MOST_PIXELS.
        files: their paths in their folder or manifest; None for registered datasets, and where they were not stored.
    """

    key: str
    indices: tuple[int, ...]
    pixels: npt.NDArray[np.uint8] = field(compare=False, repr=False)
    files: tuple[str, ...] | None = None

    def name(self, index: int) -> str:
        """Return the path of the image with this number; empty if it is not known."""
        return "" if self.files is None else self.files[self.indices.index(index)]


def gather_thumbnails(
    evidence: Iterable[BlockEvidence],
    sources: Mapping[str, DataSource],
    fingerprints: Mapping[tuple[str, Split], frozenset[str]],
    folders: Folders,
    data_dir: Path | None = None,
) -> dict[str, Thumbnails]:
    """Return the pictures of every block's worst mistakes, by block; blocks without pictures are left out.

    They are read from the workspace, or else from images decoded on this machine. Nothing is decoded or downloaded.

    Args:
        evidence: the mistakes, by block.
        sources: block -> its images.
        fingerprints: (block, split of the predictions) -> fingerprints of the images, from the ledger. A test split is
            used only if it is in here, that is, if its final test was run.
        folders: the workspace.
        data_dir: searched first for images.
    """
    found = {}
    for each in evidence:
        labels = {mistake.index: confusion.true for confusion in each.confusions for mistake in confusion.mistakes}
        known = fingerprints.get((each.block, each.split), frozenset())
        taken = take_thumbnails(labels, sources[each.block], each.split, known, folders, data_dir)
        if taken is not None:
            found[each.block] = taken
    return found


def take_thumbnails(
    labels: Mapping[int, int],
    source: DataSource,
    predicted: Split,
    known: frozenset[str],
    folders: Folders,
    data_dir: Path | None = None,
) -> Thumbnails | None:
    """Return pictures of some images of one source, from the workspace or as decoded on this machine; None without.

    Args:
        labels: number of each image -> its class, by which the images are checked.
        source: where they are from.
        predicted: the split of the predictions: `test`, or another, which is part of the training images.
        known: fingerprints of the images that the ledger has for that split.
        folders: the workspace.
        data_dir: searched first for images.
    """
    if not labels or len(known) != 1 or "" in known:
        return None
    (fingerprint,) = known
    split: Literal["train", "test"] = "test" if predicted == "test" else "train"
    facts = [fingerprint, split, sorted(labels), MOST_PIXELS]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    taken = _read_kept(folders.pictures(key), len(labels))
    if taken is None:
        images = find_decoded(source, split, data_dir)
        taken = None if images is None or images.fingerprint != fingerprint else _take(images, labels)
    if taken is None:
        return None
    pixels, files = taken
    return Thumbnails(key=key, indices=tuple(sorted(labels)), pixels=pixels, files=files)


def keep_thumbnails(found: Iterable[Thumbnails], folders: Folders) -> None:
    """Write pictures to the workspace that it does not store yet.

    Raises:
        OSError: it cannot be written.
    """
    for thumbnails in found:
        path = folders.pictures(thumbnails.key)
        if _read_kept(path, len(thumbnails.indices)) is None:
            write_whole(path, lambda temporary, kept=thumbnails: _write(temporary, kept))  # type: ignore[misc]


def _write(path: Path, thumbnails: Thumbnails) -> None:
    arrays: dict[str, Any] = {"indices": np.asarray(thumbnails.indices), "pixels": thumbnails.pixels}
    if thumbnails.files is not None:
        # As bytes: a NumPy text loses what a name ends with, and cannot hold every name.
        arrays["files"] = np.frombuffer(json.dumps(thumbnails.files).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


_Taken = tuple[npt.NDArray[np.uint8], tuple[str, ...] | None]
"""Pixels, and the paths of the images if they are known."""


def _read_kept(path: Path, num_pictures: int) -> _Taken | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels: npt.NDArray[np.uint8] = arrays["pixels"]
            files = json.loads(arrays["files"].tobytes()) if "files" in arrays else None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    is_whole = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] in (1, 3)
    if not is_whole or len(pixels) != num_pictures:
        return None
    if isinstance(files, list) and len(files) == num_pictures and all(isinstance(name, str) for name in files):
        return pixels, tuple(files)
    return pixels, None


def _take(images: Images, labels: Mapping[int, int]) -> _Taken | None:
    """Return the pixels and paths of the images with these numbers, if their classes match."""
    indices = sorted(labels)
    if indices[-1] >= len(images.labels):
        return None
    if [int(label) for label in images.labels[indices]] != [labels[index] for index in indices]:
        return None
    files = None if images.files is None else tuple(images.files[index] for index in indices)
    return shrink(np.asarray(images.pixels[indices])), files


def shrink(pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return images as they are stored: no side longer than MOST_PIXELS."""
    _, height, width, channels = pixels_NHWC.shape
    longest = max(height, width)
    if longest <= MOST_PIXELS:
        return pixels_NHWC
    from PIL import Image  # imported only when needed

    size = (max(1, width * MOST_PIXELS // longest), max(1, height * MOST_PIXELS // longest))
    small = [
        np.asarray(Image.fromarray(each[:, :, 0] if channels == 1 else each).resize(size, Image.Resampling.LANCZOS))
        for each in pixels_NHWC
    ]
    return np.stack(small).reshape(len(small), size[1], size[0], channels)
