"""The pictures a report shows: taken from the decoded images once, then kept in the workspace.

A report must stay makeable where the images are not. So what was chosen is stored under a hash of which images they
are; another choice has another file.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.source import DataSource
from bakeoff.data.store import Images, find_decoded
from bakeoff.report.evidence import BlockEvidence
from bakeoff.stats.measure import Split
from bakeoff.workspace import Folders, write_whole

MOST_PIXELS = 96
"""Longest side of a kept picture, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """Pictures of one block.

    Attributes:
        key: of what was chosen: which images of which split, and how they are kept.
        indices: their numbers in the source split, rising.
        pixels: uint8 [n, H, W, 1 or 3], 0..255, no side longer than MOST_PIXELS.
    """

    key: str
    indices: tuple[int, ...]
    pixels: npt.NDArray[np.uint8] = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which images of a block are to be shown.

    Attributes:
        source: where they are from; `is_test`: of its test split, which may only be asked for after the final test.
        fingerprint: of the whole split, as the ledger has it; no other images are shown.
        labels: number in the split -> true class, as the predictions have it.
    """

    source: DataSource
    is_test: bool
    fingerprint: str
    labels: Mapping[int, int]

    @property
    def key(self) -> str:
        """A hash of what is wanted."""
        facts = [self.fingerprint, "test" if self.is_test else "train", sorted(self.labels), MOST_PIXELS]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def gather_thumbnails(
    evidence: Iterable[BlockEvidence],
    sources: Mapping[str, DataSource],
    fingerprints: Mapping[tuple[str, Split], frozenset[str]],
    folders: Folders,
    data_dir: Path | None = None,
) -> dict[str, Thumbnails]:
    """Find the pictures of every block's worst mistakes, kept or decoded; blocks without any are absent.

    Args:
        evidence: what was chosen, block by block.
        sources: block -> where its images are from.
        fingerprints: (block, split of the predictions) -> the images they were made on, as the ledger has them. A
            block's test split is looked at only if it is here, that is, if its final test was run.
        folders: of the workspace.
        data_dir: searched first for images.
    """
    found = {}
    for each in evidence:
        known = fingerprints.get((each.block, each.split), frozenset())
        labels = {mistake.index: confusion.true for confusion in each.confusions for mistake in confusion.mistakes}
        if not labels or len(known) != 1 or "" in known:
            continue
        (fingerprint,) = known
        wanted = Wanted(
            source=sources[each.block], is_test=each.split == "test", fingerprint=fingerprint, labels=labels
        )
        thumbnails = find_thumbnails(wanted, folders, data_dir)
        if thumbnails is not None:
            found[each.block] = thumbnails
    return found


def find_thumbnails(wanted: Wanted, folders: Folders, data_dir: Path | None) -> Thumbnails | None:
    """Read pictures kept in the workspace, else take them from images this machine has decoded; None without either.

    Nothing is decoded or downloaded, and nothing written.
    """
    indices = tuple(sorted(wanted.labels))
    pixels = _read_kept(folders.pictures(wanted.key), len(indices))
    if pixels is None:
        images = find_decoded(wanted.source, "test" if wanted.is_test else "train", data_dir)
        pixels = None if images is None else _take(images, wanted, indices)
    return None if pixels is None else Thumbnails(key=wanted.key, indices=indices, pixels=pixels)


def keep_thumbnails(found: Iterable[Thumbnails], folders: Folders) -> None:
    """Write to the workspace those pictures that it does not keep yet.

    Raises:
        OSError: it cannot be written.
    """
    for thumbnails in found:
        path = folders.pictures(thumbnails.key)
        if _read_kept(path, len(thumbnails.indices)) is None:
            write_whole(path, lambda temporary, kept=thumbnails: _write(temporary, kept))  # type: ignore[misc]


def _write(path: Path, thumbnails: Thumbnails) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, indices=np.asarray(thumbnails.indices), pixels=thumbnails.pixels)


def _read_kept(path: Path, num_pictures: int) -> npt.NDArray[np.uint8] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels: npt.NDArray[np.uint8] = arrays["pixels"]
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    is_whole = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] in (1, 3)
    return pixels if is_whole and len(pixels) == num_pictures else None


def _take(images: Images, wanted: Wanted, indices: tuple[int, ...]) -> npt.NDArray[np.uint8] | None:
    """Return the pixels of the images asked for, if these are the images that were trained on."""
    if images.fingerprint != wanted.fingerprint or indices[-1] >= len(images.labels):
        return None
    if [int(label) for label in images.labels[list(indices)]] != [wanted.labels[index] for index in indices]:
        return None
    return _shrink(np.asarray(images.pixels[list(indices)]))


def _shrink(pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    _, height, width, channels = pixels_NHWC.shape
    longest = max(height, width)
    if longest <= MOST_PIXELS:
        return pixels_NHWC
    from PIL import Image  # only where pictures are made

    size = (max(1, width * MOST_PIXELS // longest), max(1, height * MOST_PIXELS // longest))
    small = [
        np.asarray(Image.fromarray(each[:, :, 0] if channels == 1 else each).resize(size, Image.Resampling.LANCZOS))
        for each in pixels_NHWC
    ]
    return np.stack(small).reshape(len(small), size[1], size[0], channels)
