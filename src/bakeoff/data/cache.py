"""The cache of decoded images: written once and atomically, memory-mapped by every process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.decode import Decoded
from bakeoff.data.locate import CACHE_VARIABLE
from bakeoff.errors import ImageCacheError
from bakeoff.system import rename

PIXELS_FILE = "pixels.npy"
JOURNAL_FILE = "chunks.json"
"""A line per finished chunk of images, while a folder is being written: what became of each file, and a hash."""

_LABELS_FILE = "labels.npy"
_VALIDATION_FILE = "own_validation.npy"
_GROUPS_FILE = "groups.npy"
_NAMES_FILE = "files.json"
_META_FILE = "meta.json"


@dataclass(frozen=True, kw_only=True)
class Images:
    """One decoded split.

    Attributes:
        pixels: uint8 [n, H, W, C], 0..255; a read-only memory map shared by all processes.
        labels: int64 [n], 0..num_classes - 1; read-only.
        class_names: one name per label.
        fingerprint: SHA-256 (hex) over pixels, labels and class names, and over `own_validation` and `groups` if there
            are any.
        own_validation: int64, sorted: indices of the images that the source reserves for validation (a `val` folder, a
            manifest's split column); None if there are none. They are among `pixels` and `labels`.
        notes: what users should know about these images: skipped files and why, changed sizes.
        groups: int64 [n], the number of every image's group, whose images are on one side of every split; None if every
            image stands alone.
        files: the path of every image, relative to its folder or as in the manifest; None for a registered dataset, and
            where it was not stored.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    fingerprint: str
    own_validation: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] | None = None
    files: tuple[str, ...] | None = None

    @property
    def num_groups(self) -> int:
        """The number of groups; 0 if every image stands alone."""
        return 0 if self.groups is None else len(np.unique(self.groups))

    @property
    def shape_HWC(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.pixels.shape
        return (height, width, channels)


def load_images(folder: Path) -> Images | None:
    """Memory-map the images stored in `folder`; None if they are missing or incomplete."""
    try:
        meta = json.loads((folder / _META_FILE).read_text(encoding="utf-8"))
        pixels = np.load(folder / PIXELS_FILE, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / _LABELS_FILE, allow_pickle=False)
        own = np.load(folder / _VALIDATION_FILE, allow_pickle=False) if meta.get("has_own_validation") else None
        if list(pixels.shape) != meta["shape"] or labels.shape != pixels.shape[:1]:
            return None
        groups = np.load(folder / _GROUPS_FILE, allow_pickle=False) if meta.get("has_groups") else None
        files = json.loads((folder / _NAMES_FILE).read_text(encoding="utf-8")) if meta.get("has_files") else None
        for array in (labels, own, groups):
            if array is not None:
                array.flags.writeable = False
        return Images(
            pixels=pixels,
            labels=labels,
            class_names=tuple(meta["class_names"]),
            fingerprint=meta["fingerprint"],
            own_validation=own,
            notes=tuple(meta.get("notes", ())),
            groups=groups,
            files=None if files is None else tuple(files),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def store_once(folder: Path, label: str, decode: Callable[[Path], Decoded]) -> Images:
    """Decode into `folder` unless another process does so first.

    Args:
        folder: where the images belong.
        label: their name in messages.
        decode: called with a folder into which it may write `PIXELS_FILE` itself. The folder is empty, or holds what
            a killed process left there: the same images.

    Raises:
        DataError: the cache cannot be written or read back, or whatever `decode` raises.
    """
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            images = load_images(folder)
            if images is not None:
                return images
            temporary = folder.with_name(f"{folder.name}.part-kept")
            _remove_leftovers(folder, temporary)
            _write(folder, temporary, decode)
    except OSError as error:
        raise ImageCacheError(
            f"The decoded images of {label} cannot be written to {folder.parent}: {error}. "
            f"Set {CACHE_VARIABLE} to a folder you can write."
        ) from error
    images = load_images(folder)
    if images is None:
        raise ImageCacheError(f"The decoded images in {folder} cannot be read back. Remove that folder and run again.")
    return images


def _remove_leftovers(folder: Path, kept: Path) -> None:
    """Remove a damaged earlier decoding, and unfinished ones but `kept`. The lock must be held."""
    for path in (folder, *folder.parent.glob(f"{folder.name}.part-*")):
        if path != kept:
            shutil.rmtree(path, ignore_errors=True)


def _write(folder: Path, temporary: Path, decode: Callable[[Path], Decoded]) -> None:
    """Write one split under a temporary name, then rename it, so that `folder` is complete or absent.

    If the process is killed or interrupted, what is finished stays, for the next attempt. The lock must be held.
    """
    temporary.mkdir(exist_ok=True)
    try:
        _write_parts(temporary, decode)  # its map of the pixels is closed: Windows renames no folder with open files
        rename(temporary, folder)
    except Exception:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_parts(folder: Path, decode: Callable[[Path], Decoded]) -> None:
    decoded = decode(folder)
    if not _is_map_of(decoded.pixels, folder / PIXELS_FILE):
        _save_array(folder / PIXELS_FILE, decoded.pixels)
    _save_array(folder / _LABELS_FILE, decoded.labels)
    if decoded.own_validation is not None:
        _save_array(folder / _VALIDATION_FILE, decoded.own_validation)
    if decoded.groups is not None:
        _save_array(folder / _GROUPS_FILE, decoded.groups)
    if decoded.files is not None:
        (folder / _NAMES_FILE).write_text(json.dumps(decoded.files), encoding="utf-8")
    meta = {
        "shape": decoded.pixels.shape,
        "class_names": decoded.class_names,
        "fingerprint": compute_fingerprint(decoded),
        "has_own_validation": decoded.own_validation is not None,
        "has_groups": decoded.groups is not None,
        "has_files": decoded.files is not None,
        "notes": decoded.notes,
    }
    (folder / _META_FILE).write_text(json.dumps(meta, indent=1), encoding="utf-8")
    (folder / JOURNAL_FILE).unlink(missing_ok=True)


def _is_map_of(array: npt.NDArray[np.uint8], path: Path) -> bool:
    return isinstance(array, np.memmap) and path.exists() and os.path.samefile(str(array.filename), path)


def _save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


def compute_fingerprint(decoded: Decoded) -> str:
    """Return the SHA-256 (hex) over shape, class names, pixels and labels (as little-endian int64).

    The indices in `own_validation` are included only if the source reserves images for validation, and the numbers of
    groups only if images share any.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([decoded.pixels.shape, decoded.class_names]).encode())
    digest.update(np.ascontiguousarray(decoded.pixels).data)
    digest.update(np.ascontiguousarray(decoded.labels, dtype="<i8").data)
    if decoded.own_validation is not None:
        digest.update(b"own validation")
        digest.update(np.ascontiguousarray(decoded.own_validation, dtype="<i8").data)
    if decoded.groups is not None:
        digest.update(b"groups")
        digest.update(np.ascontiguousarray(decoded.groups, dtype="<i8").data)
    return digest.hexdigest()
