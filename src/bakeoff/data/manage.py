"""What `bakeoff data get|verify|show NAME` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.decode import decode_split
from bakeoff.data.download import check_checksum, obtain_dataset
from bakeoff.data.locate import Located, find_home, find_split, search_folders
from bakeoff.data.registry import CifarLayout, DatasetRecord, EmbeddedLayout, PublishedFile, Split, find_dataset
from bakeoff.data.store import open_training
from bakeoff.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """Where a dataset is.

    Attributes:
        name: the dataset.
        folder: the data folder that holds it; None for images inside an installed package.
        files: every file that is read.
        downloaded: those that were downloaded just now.
    """

    name: str
    folder: Path | None
    files: tuple[Path, ...]
    downloaded: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """What was found out about one file, or about the files of one split.

    Attributes:
        file: path, or the dataset's name for embedded images.
        check: `checksum` (against the published one) or `content` (structure, counts, label range).
        ok: whether it passed.
        detail: the checksum, the counts, or what is wrong and the remedy.
    """

    file: str
    check: str
    ok: bool
    detail: str


def get(name: str, data_dir: Path | None = None) -> Obtained:
    """Find a dataset, or download what is missing of it.

    Args:
        name: a registered dataset's name.
        data_dir: searched first, and where downloads go; None means the cache.

    Raises:
        DataError: unknown name, or not found and not to be downloaded.
    """
    record = find_dataset(name)
    if isinstance(record.layout, EmbeddedLayout):
        return Obtained(name=name, folder=None, files=(), downloaded=())
    root, downloaded = obtain_dataset(record, data_dir)
    return Obtained(name=name, folder=root, files=_list_files(record, root), downloaded=downloaded)


def _list_files(record: DatasetRecord, root: Path) -> tuple[Path, ...]:
    found = [find_split(record, split, root) for split in SPLITS]
    return tuple(dict.fromkeys(path for located in found if located is not None for path in located.sources))


def verify(name: str, data_dir: Path | None = None) -> list[FileCheck]:
    """Check every file of a dataset; downloads and stores nothing.

    Archives and `.gz` files as published are checked against the published checksum. Extracted files have none, so
    their structure, counts and label range are checked, one result per split. Both splits are read here, for their
    integrity only: nothing of the test split reaches the store.

    Raises:
        DataError: unknown name, or the dataset is nowhere.
    """
    record = find_dataset(name)
    root = find_home(record, data_dir)
    if root is None:
        folders = ", ".join(str(folder) for folder in search_folders(data_dir))
        raise DataError(f"{name} is in none of {folders}. Get it with: bakeoff data get {name}")
    published = {root / file.path: file for file in record.files}
    checks = [_check_published(path, published[path]) for path in _list_files(record, root) if path in published]
    return checks + [_check_split(record, split, root) for split in SPLITS]


def _check_published(path: Path, file: PublishedFile) -> FileCheck:
    return _run_check(str(path), "checksum", lambda: _say_checksum(path, file))


def _say_checksum(path: Path, file: PublishedFile) -> str:
    check_checksum(path, file)
    return f"{file.checksum.replace(':', ' ')}, as published"


def _check_split(record: DatasetRecord, split: Split, root: Path) -> FileCheck:
    located = find_split(record, split, root)
    if located is None:
        where = f"{record.name} ({split})"
        detail = f"not in {root}, which has the training files. Get it with: bakeoff data get {record.name}"
        return FileCheck(file=where, check="content", ok=False, detail=detail)
    return _run_check(_name_files(record, split, located), "content", lambda: _say_content(record, split, located))


def _name_files(record: DatasetRecord, split: Split, located: Located) -> str:
    if not located.files:
        return f"{record.name} ({split})"
    if isinstance(record.layout, CifarLayout) and located.files[0].name == record.layout.archive:
        return f"{located.files[0]} ({split})"
    return ", ".join([str(located.files[0]), *(path.name for path in located.files[1:])])


def _say_content(record: DatasetRecord, split: Split, located: Located) -> str:
    decoded = decode_split(record, split, located)
    counts = np.bincount(decoded.labels, minlength=record.num_classes)
    return (
        f"{len(decoded.labels):,} {split} images of {_spell_shape(record)}, "
        f"{record.num_classes} classes of {counts.min():,} to {counts.max():,}"
    )


def _run_check(file: str, check: str, say: Callable[[], str]) -> FileCheck:
    try:
        return FileCheck(file=file, check=check, ok=True, detail=say())
    except DataError as error:
        return FileCheck(file=file, check=check, ok=False, detail=str(error))


def _spell_shape(record: DatasetRecord) -> str:
    return "x".join(str(size) for size in record.image_shape_HWC)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `show` tells of a dataset. Counts, mean and sd are of the training split; the test split stays shut.

    Attributes:
        name: the dataset.
        summary: one line.
        source: a citation.
        folder: where it was found; None for embedded images.
        image_shape_HWC: height, width, channels.
        num_train: images in the training split.
        num_test: images in the test split, as published.
        train_images_per_class: by class name.
        pixel_mean: per channel, pixels scaled to [0, 1].
        pixel_sd: the same, population sd.
        fingerprint: SHA-256 (hex) of the decoded training split.
    """

    name: str
    summary: str
    source: str
    folder: str | None
    image_shape_HWC: tuple[int, int, int]
    num_train: int
    num_test: int
    train_images_per_class: dict[str, int]
    pixel_mean: tuple[float, ...]
    pixel_sd: tuple[float, ...]
    fingerprint: str


def show(name: str, data_dir: Path | None = None) -> dict[str, object]:
    """Return the facts of a dataset (see `Facts`) as a dictionary that JSON can hold. Downloads it when it is nowhere.

    Raises:
        DataError: as in `open_training`.
    """
    record = find_dataset(name)
    images = open_training(name, data_dir)
    home = None if isinstance(record.layout, EmbeddedLayout) else find_home(record, data_dir)
    counts = np.bincount(images.labels, minlength=record.num_classes)
    mean, sd = measure_pixels(images.pixels)
    facts = Facts(
        name=name,
        summary=record.summary,
        source=record.source,
        folder=None if home is None else str(home),
        image_shape_HWC=record.image_shape_HWC,
        num_train=record.num_train,
        num_test=record.num_test,
        train_images_per_class=dict(zip(images.class_names, counts.tolist(), strict=True)),
        pixel_mean=mean,
        pixel_sd=sd,
        fingerprint=images.fingerprint,
    )
    return asdict(facts)


def measure_pixels(pixels: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population sd of every channel, of pixels [n, H, W, C] scaled to [0, 1].

    Computed from the histogram of each channel, so exactly and without a floating-point copy of the images.
    """
    values = np.arange(256) / 255
    means, sds = [], []
    for channel in range(pixels.shape[-1]):
        weights = np.bincount(pixels[..., channel].ravel(), minlength=256) / pixels[..., channel].size
        mean = float(weights @ values)
        means.append(mean)
        sds.append(float(np.sqrt(weights @ (values - mean) ** 2)))
    return tuple(means), tuple(sds)
