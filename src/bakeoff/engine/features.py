"""Features of a frozen body: computed once for all images, cached, and memory-mapped by all heads that use them.

Shape legend: N images, F features.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor

from bakeoff import __version__
from bakeoff.catalog.networks.outside import is_outside, names_class
from bakeoff.catalog.networks.user_code import hash_loaded
from bakeoff.data.locate import CACHE_VARIABLE, cache_folder
from bakeoff.data.store import Images
from bakeoff.errors import ImageCacheError
from bakeoff.messages import ENGINE_VERSION

FEATURES_VERSION = 2
"""Part of every key. Increase it when a change alters what bodies compute beyond rounding."""

FEATURE_BATCH = 128
"""Images per forward pass. A constant: features must not depend on which trial computes them."""

Indices = npt.NDArray[np.int64]
_Stored = tuple[npt.NDArray[np.float32], float]
"""Features, and the seconds taken to compute them."""


class FeatureInputs(Protocol):
    """Computes a head's inputs from images."""

    def evaluate(self, indices: Indices, batch_size: int) -> Iterator[Tensor]:
        """Yield the features of the images at `indices`, batch by batch, (N, F) or (N, F, 1, 1)."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features as a cohort uses them.

    Attributes:
        images: pixels float32 [n, 1, 1, F], a read-only memory map; everything else is that of the images.
        key: the cache key.
        seconds: time taken to compute them, now or earlier; wall time of one process.
    """

    images: Images
    key: str
    seconds: float


def describe_code(network: str) -> str:
    """Return the code that determines a network's features: library versions, and the hash of the user's own code.

    Args:
        network: its name in the recipe.

    Raises:
        NetworkError: the user's own module cannot be imported.
    """
    facts = {"bakeoff": __version__, "engine": str(ENGINE_VERSION), "torch": torch.__version__}
    if is_outside(network):
        facts |= {library: _find_version(library) for library in ("torchvision", "timm")}
    if names_class(network):
        facts["code"] = hash_loaded(network) or ""
    return json.dumps(facts, sort_keys=True)


def _find_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def compute_key(body: str, fingerprint: str, numeric: str, training_fingerprint: str, code: str) -> str:
    """Return the cache key of features: a short hash of everything that determines them.

    Args:
        body: identifies the network, its weights (or the seed of random ones) and the preprocessing.
        fingerprint: hash of the images.
        numeric: the numeric mode.
        training_fingerprint: hash of the training images, whose mean and sd may be used to normalise.
        code: the code, see `describe_code`.
    """
    facts = [FEATURES_VERSION, body, fingerprint, numeric, training_fingerprint, code]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def open_features(
    body: str,
    images: Images,
    inputs: FeatureInputs,
    numeric: str,
    training_fingerprint: str | None = None,
    code: str = "",
) -> Features:
    """Return the images' features in the shape of images, from the cache, or computed now and cached.

    Processes that need the same features wait for the first of them. Files are written atomically.

    Args:
        body: see `compute_key`.
        images: the images, each of which passes through the body once.
        inputs: computes the features; used only if they are not cached.
        numeric: the numeric mode.
        training_fingerprint: hash of the training images, if these are not `images`.
        code: see `compute_key`.

    Raises:
        DataError: the cache cannot be written or read back.
    """
    key = compute_key(body, images.fingerprint, numeric, training_fingerprint or images.fingerprint, code)
    path = cache_folder() / "features" / f"{key}.npy"
    num_images = len(images.labels)
    features, seconds = _load(path, num_images) or _compute_once(path, num_images, inputs)
    # Images are uint8 everywhere else; code that gathers from these checks the dtype.
    return Features(images=replace(images, pixels=cast("npt.NDArray[np.uint8]", features)), key=key, seconds=seconds)


def compute_features(batches: Iterable[Tensor], path: Path, num_images: int) -> None:
    """Write features, batch by batch, as one array float32 [n, 1, 1, F] (npy).

    Raises:
        ValueError: the batches hold more or fewer images than `num_images`.
    """
    done = 0
    # Written, not memory-mapped: a full disk is an error when writing, but kills the process when mapped.
    with torch.no_grad(), path.open("wb") as stream:
        for batch in batches:
            values_NF = np.ascontiguousarray(batch.flatten(1).float().cpu().numpy(), dtype="<f4")
            if done == 0:
                shape = (num_images, 1, 1, values_NF.shape[1])
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(values_NF.data)
            done += len(values_NF)
        stream.flush()
        os.fsync(stream.fileno())
    if done != num_images:
        raise ValueError(f"features of {done} images, needed {num_images}")


def _load(path: Path, num_images: int) -> _Stored | None:
    """Memory-map the stored features; None if they are missing or incomplete."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        seconds = float(json.loads(_name_times(path).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    whole = features.ndim == 4 and features.shape[:3] == (num_images, 1, 1) and features.dtype == np.float32
    return (features, seconds) if whole else None


def _name_times(path: Path) -> Path:
    """Return the path of the file that records the computation time."""
    return path.with_suffix(".json")


def _compute_once(path: Path, num_images: int, inputs: FeatureInputs) -> _Stored:
    """Compute into `path` under a lock, unless another process has done so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            stored = _load(path, num_images)
            if stored is not None:
                return stored
            for leftover in path.parent.glob(f"{path.name}.part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            _compute_whole(path, num_images, inputs)
    except OSError as error:
        raise ImageCacheError(
            f"the features of a frozen body cannot be stored in {path.parent}: {error}. "
            f"Set {CACHE_VARIABLE} to a writable folder with room for the features of {num_images:,} images."
        ) from error
    stored = _load(path, num_images)
    if stored is None:
        raise ImageCacheError(f"the features in {path} cannot be read back: remove that file and run again.")
    return stored


def _compute_whole(path: Path, num_images: int, inputs: FeatureInputs) -> None:
    """Compute under a temporary name, then rename, so that `path` is complete or absent. The lock must be held."""
    temporary = Path(tempfile.mkdtemp(prefix=f"{path.name}.part-", dir=path.parent))
    times = _name_times(path)
    started = time.perf_counter()
    try:
        batches = inputs.evaluate(np.arange(num_images), FEATURE_BATCH)
        compute_features(batches, temporary / path.name, num_images)
        content = json.dumps({"seconds": time.perf_counter() - started, "images": num_images})
        (temporary / times.name).write_text(content, encoding="utf-8")
        os.replace(temporary / times.name, times)
        os.replace(temporary / path.name, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
