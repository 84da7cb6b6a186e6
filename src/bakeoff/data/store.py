"""Decoded images, shared: every split is decoded once into the cache and memory-mapped by all who use it.

The training and the test split are stored apart. Opening the one never reads, decodes or opens the other: `open_test`
is for the exam only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.decode import Decoded, decode_split
from bakeoff.data.download import obtain_dataset
from bakeoff.data.locate import CACHE_VARIABLE, Located, cache_folder, find_home, find_split
from bakeoff.data.registry import DatasetRecord, EmbeddedLayout, Split, find_dataset
from bakeoff.errors import DataError

# Part of every key: raise it when decoding changes, so that older decoded images are not taken for new ones.
DECODER_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Images:
    """One split, ready to be gathered from.

    Attributes:
        pixels: uint8 [n, H, W, C], 0..255; a read-only memory map shared by all processes.
        labels: int64 [n], 0..num_classes - 1; read-only.
        class_names: one name per label.
        fingerprint: SHA-256 (hex) over pixels, labels and class names.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def shape_HWC(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.pixels.shape
        return (height, width, channels)


def open_training(name: str, data_dir: Path | None = None) -> Images:
    """Open the training split (from which validation is drawn); find, download and decode it where necessary.

    The test split is neither read nor decoded.

    Args:
        name: a registered dataset's name.
        data_dir: a folder to search first.

    Raises:
        DataError: unknown name, not to be found or downloaded, damaged, or the cache cannot be written.
    """
    return _open_split(find_dataset(name), "train", data_dir)


def open_test(name: str, data_dir: Path | None = None) -> Images:
    """Open the test split. For the exam only: nothing that trains, stops, searches or selects may call this.

    Arguments and errors as in `open_training`.
    """
    return _open_split(find_dataset(name), "test", data_dir)


def _open_split(record: DatasetRecord, split: Split, data_dir: Path | None) -> Images:
    located = find_or_download(record, split, data_dir)
    folder = cache_folder() / "decoded" / f"{record.name}-{split}-{_compute_key(record, split, located)}"
    images = _load(folder)
    return images if images is not None else _decode_once(record, split, located, folder)


def find_or_download(record: DatasetRecord, split: Split, data_dir: Path | None) -> Located:
    """Find one split's files, downloading what is missing of the dataset.

    Raises:
        DataError: not found and not to be downloaded.
    """
    root = find_home(record, data_dir)
    located = None if root is None else find_split(record, split, root)
    if located is None:
        root, _ = obtain_dataset(record, data_dir)
        located = find_split(record, split, root)
    if located is None:
        raise DataError(f"{record.name}: the {split} files in {root} vanished after they were downloaded; run again.")
    return located


def _compute_key(record: DatasetRecord, split: Split, located: Located) -> str:
    """Return a short hash of what decoding will read: path, size and time of every file, or the package's version."""
    facts: list[object] = [DECODER_VERSION, record.name, split]
    if isinstance(record.layout, EmbeddedLayout):
        facts.append(_find_version(record.layout.package))
    for path in located.sources:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
        facts.append([str(path.resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _find_version(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(f"These images come with {package}, which is missing: pip install {package}.") from error


def _load(folder: Path) -> Images | None:
    """Map what is stored in `folder`; None when nothing whole is there."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
        if list(pixels.shape) != meta["shape"] or labels.shape != pixels.shape[:1]:
            return None
        labels.flags.writeable = False
        return Images(
            pixels=pixels, labels=labels, class_names=tuple(meta["class_names"]), fingerprint=meta["fingerprint"]
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _decode_once(record: DatasetRecord, split: Split, located: Located, folder: Path) -> Images:
    """Decode into `folder` unless another process does so first."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            images = _load(folder)
            if images is not None:
                return images
            _remove_leftovers(folder)
            _write(decode_split(record, split, located), folder)
    except OSError as error:
        raise DataError(
            f"The decoded images of {record.name} cannot be written to {folder.parent}: {error}. "
            f"Set {CACHE_VARIABLE} to a folder you can write."
        ) from error
    images = _load(folder)
    if images is None:
        raise DataError(f"The decoded images in {folder} cannot be read back. Remove that folder and run again.")
    return images


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left, or a damaged earlier decoding of the same files. The lock must be held."""
    for path in (folder, *folder.parent.glob(f"{folder.name}.part-*")):
        shutil.rmtree(path, ignore_errors=True)


def _write(decoded: Decoded, folder: Path) -> None:
    """Write one split under a temporary name, then rename it, so that `folder` is whole or absent."""
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        _save_array(temporary / "pixels.npy", decoded.pixels)
        _save_array(temporary / "labels.npy", decoded.labels)
        meta = {
            "shape": decoded.pixels.shape,
            "class_names": decoded.class_names,
            "fingerprint": compute_fingerprint(decoded),
        }
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        # mkdtemp makes a private folder; a cache may be shared by a group.
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


def compute_fingerprint(decoded: Decoded) -> str:
    """Return the SHA-256 (hex) over shape, class names, pixels and labels (as little-endian int64)."""
    digest = hashlib.sha256()
    digest.update(json.dumps([decoded.pixels.shape, decoded.class_names]).encode())
    digest.update(np.ascontiguousarray(decoded.pixels).data)
    digest.update(np.ascontiguousarray(decoded.labels, dtype="<i8").data)
    return digest.hexdigest()
