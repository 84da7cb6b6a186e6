"""Files of features of frozen bodies: their names, their parts, and how parts are joined. No torch.

A file is computed part by part, by any worker: batches lie at constant boundaries, so the numbers do not depend on who
computes which part. Finished parts are kept through a kill; the last one is followed by joining them into one file,
which all heads memory-map.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff import __version__
from bakeoff.catalog.augmentation.records import needs_statistics
from bakeoff.catalog.networks.outside import is_outside, names_class
from bakeoff.catalog.networks.user_code import hash_code
from bakeoff.catalog.recipe import Recipe
from bakeoff.catalog.shape import body_key, caches_features, count_feature_draws
from bakeoff.data.cache import Images
from bakeoff.data.registry import Split
from bakeoff.engine.batches import split_view
from bakeoff.messages import ENGINE_VERSION, CohortTask, DataView, FeatureFile, FeaturesTask, FinalTestTask, Member
from bakeoff.system import remove
from bakeoff.workspace import Folders, check_members, write_whole

FEATURES_VERSION = 3
"""Part of every key. Increase it when a change alters what bodies compute beyond rounding."""

FEATURE_BATCH = 128
"""Images per forward pass. A constant: features must not depend on which task computes them."""

PART_IMAGES, PART_IMAGES_ON_GPU = 2 * FEATURE_BATCH, 32 * FEATURE_BATCH
"""Images per part: seconds of work, so that little is lost by a kill and all workers end at about the same time."""

Features = npt.NDArray[np.float32]
Stored = tuple[Features, float]
"""Features [n, 1, 1, F], a read-only memory map, and the seconds taken to compute them, summed over their parts."""


def list_feature_files(
    task: CohortTask | FinalTestTask, images: Images, device: str, *, split: Split = "train"
) -> tuple[FeatureFile, ...]:
    """Return the files of features that a task reads of these images; none if a body runs on every batch, or none is.

    The first holds all images as they are evaluated; the others, for training, the augmented versions in their order.

    Args:
        task: its members share a frozen body and the images that reach it.
        images: one split of the task's source.
        device: the kind of device.
        split: which split it is, `train` or `test`.

    Raises:
        DataError: the training images cannot be split.
    """
    if not caches_features(task.members[0].recipe):
        return ()
    return tuple(name_feature_file(task, images, device, split, draw) for draw in range(1 + _count_draws(task)))


def name_feature_file(
    task: CohortTask | FinalTestTask | FeaturesTask, images: Images, device: str, split: Split, draw: int
) -> FeatureFile:
    """Return one file of features: of all images as they are evaluated, or augmented as in epoch `draw`, if not 0."""
    return FeatureFile(
        key=_compute_key(task, images, device, draw),
        split=split,
        draw=draw,
        num_rows=len(images.labels) if draw == 0 else len(split_view(images, task.data)[0]),
        part_rows=PART_IMAGES if device == "cpu" else PART_IMAGES_ON_GPU,
    )


def _count_draws(task: CohortTask | FinalTestTask) -> int:
    """Return how many augmented versions of the training images the members use."""
    if isinstance(task, FinalTestTask):
        return 0
    return max(count_feature_draws(member.recipe) for member in task.members)


def _compute_key(task: CohortTask | FinalTestTask | FeaturesTask, images: Images, device: str, draw: int) -> str:
    """Return a hash of everything that determines a file of features."""
    member, view = task.members[0], task.data
    facts = {
        "version": FEATURES_VERSION,
        "body": body_key(_forget_draws(member.recipe), images.shape_HWC, len(images.class_names)),
        "images": images.fingerprint,
        "numeric": task.numeric,
        "device": device,
        "code": describe_code(member),
    }
    if needs_statistics(member.recipe.augmentation):
        facts["statistics"] = [view.fingerprint, *_name_fold(view)]
    if draw:
        facts["draw"] = [draw, view.validation, view.seed, *_name_fold(view)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _forget_draws(recipe: Recipe) -> Recipe:
    """Return the recipe without the number of draws: none of them depends on how many there are."""
    assert recipe.transfer is not None
    return recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update={"feature_draws": None})})


def _name_fold(view: DataView) -> list[int]:
    """Return what determines the held-out fold, which is no part of the training images; empty without folds."""
    return [] if view.folds is None or view.fold is None else [view.folds, view.fold, view.seed]


def describe_code(member: Member) -> dict[str, str]:
    """Return the code that determines a network's features: library versions, and the hash of the user's own code."""
    network = member.recipe.network.name
    facts = {"bakeoff": __version__, "engine": str(ENGINE_VERSION), "torch": _find_version("torch")}
    if is_outside(network):
        facts |= {library: _find_version(library) for library in ("torchvision", "timm")}
    if names_class(network):
        facts["code"] = member.code or hash_code(network) or ""
    return facts


def _find_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def load_features(folders: Folders, file: FeatureFile) -> Stored | None:
    """Memory-map stored features; None if they are missing, incomplete or damaged."""
    path = folders.feature_rows(file.key)
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        facts = json.loads(folders.feature_facts(file.key).read_text(encoding="utf-8"))
        seconds, checksum = float(facts["seconds"]), facts.get("crc32")
        if not isinstance(rows, np.memmap) or not math.isfinite(seconds):
            return None
        whole = rows.ndim == 4 and rows.shape[:3] == (file.num_rows, 1, 1) and rows.dtype == np.float32
        is_sound = checksum is None or checksum == _compute_checksum(path, rows.offset, path.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return (rows, seconds) if whole and is_sound else None


@lru_cache(maxsize=256)
def _compute_checksum(path: Path, offset: int, changed_at: int) -> int:
    """Return the checksum of a file's rows, once per process and version of the file.

    Read, not memory-mapped: a failing disk is an error when reading, but kills the process when mapped.
    """
    checksum = 0
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(2**22):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def save_part(folders: Folders, file: FeatureFile, start: int, rows_NF: Features, seconds: float) -> None:
    """Write one part, flushed to disk and with a checksum.

    Raises:
        ValueError: it has more or fewer rows than the part.
        StorageError: it cannot be written.
    """
    if len(rows_NF) != _count_rows(file, start):
        raise ValueError(f"features of {len(rows_NF)} images, needed {_count_rows(file, start)}")
    contiguous_NF = np.ascontiguousarray(rows_NF, dtype="<f4")

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.savez(stream, features=contiguous_NF, seconds=np.float64(seconds))

    write_whole(folders.feature_part(file.key, start), write)


def _count_rows(file: FeatureFile, start: int) -> int:
    return min(file.part_rows, file.num_rows - start)


def list_missing_parts(folders: Folders, file: FeatureFile) -> list[int]:
    """Return the first row of every part that is missing or damaged. Reads all parts, whose checksums are checked."""
    return [start for start in file.starts if _load_part(folders, file, start) is None]


def _load_part(folders: Folders, file: FeatureFile, start: int) -> Stored | None:
    path = folders.feature_part(file.key, start)
    try:
        check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            rows_NF, seconds = arrays["features"], float(arrays["seconds"])
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    whole = rows_NF.ndim == 2 and len(rows_NF) == _count_rows(file, start) and rows_NF.dtype == np.float32
    return (rows_NF, seconds) if whole else None


def join_parts(folders: Folders, file: FeatureFile) -> bool:
    """Join all parts into one file and remove them; return whether all were there and sound.

    Raises:
        StorageError: the file cannot be written.
    """
    total, checksum = 0.0, 0

    def write(temporary: Path) -> None:
        # Written, not memory-mapped: a full disk is an error when writing, but kills the process when mapped.
        nonlocal total, checksum
        with temporary.open("wb") as stream:
            for start in file.starts:
                part = _load_part(folders, file, start)
                if part is None:
                    raise _DamagedPart
                rows_NF, seconds = part
                if start == 0:
                    shape = (file.num_rows, 1, 1, rows_NF.shape[1])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(rows_NF.data)
                checksum = zlib.crc32(rows_NF.data, checksum)
                total += seconds

    try:
        write_whole(folders.feature_rows(file.key), write)
    except _DamagedPart:
        return False
    content = json.dumps({"seconds": total, "images": file.num_rows, "crc32": checksum})
    write_whole(folders.feature_facts(file.key), partial(Path.write_text, data=content, encoding="utf-8"))
    for start in file.starts:
        remove(folders.feature_part(file.key, start))
    return True


class _DamagedPart(Exception):
    pass
