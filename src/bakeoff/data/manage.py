"""Implements `bakeoff data get|verify|show` for a dataset's name, a folder or a manifest."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from bakeoff.data import registry
from bakeoff.data.archives import is_archive
from bakeoff.data.check_files import SPLITS, FileCheck, verify_files
from bakeoff.data.decode import decode_split
from bakeoff.data.download import check_checksum, obtain_dataset
from bakeoff.data.files import list_source, locate_path, obtain_files
from bakeoff.data.locate import Located, find_home, find_split, search_folders
from bakeoff.data.peek import measure_sizes
from bakeoff.data.registry import CifarLayout, DatasetRecord, EmbeddedLayout, PublishedFile, Split, find_dataset
from bakeoff.data.sizes import SizeFacts
from bakeoff.data.source import HUB, TORCHVISION, DataSource, show_text
from bakeoff.data.store import find_decoded, open_training
from bakeoff.errors import DataError, GroupsError, ImagesNotFoundError, UnknownDatasetError, nearest

_PIXELS_AT_ONCE = 1 << 24
_MOST_ENTRIES = 1_000


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """Where a dataset is.

    Attributes:
        name: the dataset.
        folder: the data folder that holds it; None for images inside an installed package.
        files: all files that are read.
        downloaded: the newly downloaded ones.
    """

    name: str
    folder: Path | None
    files: tuple[Path, ...]
    downloaded: tuple[Path, ...]


def find_source(given: DataSource | str, data_dir: Path | None = None) -> DataSource:
    """Return the source named by a command-line argument: a registered dataset, else a folder, else a manifest.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(given, DataSource):
        return given
    if registry.DATASETS.get(given) is not None or given.startswith((HUB, TORCHVISION)):
        return DataSource(name=given)
    places = [Path(given).expanduser(), *(root / given for root in search_folders(data_dir))]
    with contextlib.suppress(OSError, ValueError):
        for place in places:
            if place.is_dir() or (is_archive(place) and place.is_file()):
                return DataSource(folder=given)
            if place.is_file():
                return DataSource(manifest=given)
    try:
        return DataSource(name=find_dataset(given).name)
    except DataError as error:
        here = _list_folders(Path(given).expanduser().parent)
        absent = f"There is no folder or manifest with this name either.{nearest(given, here)}"
        raise UnknownDatasetError(f"{error} {absent}") from error


def _list_folders(parent: Path) -> list[str]:
    """Return the folders beside one that does not exist, as they would be named."""
    try:
        return sorted(str(each) for each in islice(parent.iterdir(), _MOST_ENTRIES) if each.is_dir())
    except (OSError, ValueError):
        return []


def get(source: DataSource | str, data_dir: Path | None = None) -> Obtained:
    """Find a dataset, and download what is missing. Folders and manifests are never downloaded.

    Args:
        source: a registered dataset's name, a folder or a manifest.
        data_dir: searched first, and the target of downloads; None: the cache.

    Raises:
        DataError: unknown name, or not found and not downloadable.
    """
    source = find_source(source, data_dir)
    if source.registered is None:
        path, is_new = obtain_files(source, data_dir)
        return Obtained(name=source.label, folder=path, files=(), downloaded=(path,) if is_new else ())
    record = find_dataset(source.registered)
    if isinstance(record.layout, EmbeddedLayout):
        return Obtained(name=record.name, folder=None, files=(), downloaded=())
    root, downloaded = obtain_dataset(record, data_dir)
    return Obtained(name=record.name, folder=root, files=_list_files(record, root), downloaded=downloaded)


def _list_files(record: DatasetRecord, root: Path) -> tuple[Path, ...]:
    found = [find_split(record, split, root) for split in SPLITS]
    return tuple(dict.fromkeys(path for located in found if located is not None for path in located.sources))


def verify(source: DataSource | str, data_dir: Path | None = None) -> list[FileCheck]:
    """Check every file of a dataset; downloads and stores nothing.

    Archives and `.gz` files as published are checked against the published checksum. Extracted files have none, so
    their structure, counts and label range are checked, one result per split. Both splits are read here, only to check
    their integrity: nothing of the test split is stored. For a folder or manifest every image is decoded.

    Raises:
        DataError: unknown name, or the dataset was not found.
    """
    source = find_source(source, data_dir)
    if source.registered is None:
        return verify_files(source, data_dir)
    record = find_dataset(source.registered)
    root = find_home(record, data_dir)
    if root is None:
        folders = ", ".join(str(folder) for folder in search_folders(data_dir))
        raise ImagesNotFoundError(
            f"{record.name} was not found in any of {folders}. Get it with: bakeoff data get {record.name}"
        )
    published = {root / file.path: file for file in record.files}
    checks = [_check_published(path, published[path]) for path in _list_files(record, root) if path in published]
    return checks + [_check_split(record, split, root) for split in SPLITS]


def _check_published(path: Path, file: PublishedFile) -> FileCheck:
    return _run_check(str(path), "checksum", lambda: _describe_checksum(path, file))


def _describe_checksum(path: Path, file: PublishedFile) -> str:
    check_checksum(path, file)
    return f"{file.checksum.replace(':', ' ')}, as published"


def _check_split(record: DatasetRecord, split: Split, root: Path) -> FileCheck:
    located = find_split(record, split, root)
    if located is None:
        where = f"{record.name} ({split})"
        detail = f"not in {root}, which has the training files. Get it with: bakeoff data get {record.name}"
        return FileCheck(file=where, check="content", ok=False, detail=detail)
    return _run_check(_name_files(record, split, located), "content", lambda: _describe_content(record, split, located))


def _name_files(record: DatasetRecord, split: Split, located: Located) -> str:
    if not located.files:
        return f"{record.name} ({split})"
    if isinstance(record.layout, CifarLayout) and located.files[0].name == record.layout.archive:
        return f"{located.files[0]} ({split})"
    return ", ".join([str(located.files[0]), *(path.name for path in located.files[1:])])


def _describe_content(record: DatasetRecord, split: Split, located: Located) -> str:
    decoded = decode_split(record, split, located)
    counts = np.bincount(decoded.labels, minlength=record.num_classes)
    return (
        f"{len(decoded.labels):,} {split} images of {_format_shape(record)}, "
        f"{record.num_classes} classes of {counts.min():,} to {counts.max():,}"
    )


def _run_check(file: str, check: str, say: Callable[[], str]) -> FileCheck:
    try:
        return FileCheck(file=file, check=check, ok=True, detail=say())
    except DataError as error:
        return FileCheck(file=file, check=check, ok=False, detail=str(error))


def _format_shape(record: DatasetRecord) -> str:
    return "x".join(str(size) for size in record.image_shape_HWC)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that `show` prints. Counts, mean and sd describe the training split; the test split stays closed.

    Attributes:
        name: the dataset, the folder or the manifest.
        summary: one line.
        source: a citation; a folder's or manifest's path.
        folder: where it was found; None for embedded images.
        image_shape_HWC: height, width, channels; None if the images have different sizes, and none is given to bring
            them to: then they are not decoded, and mean, sd and fingerprint are None too.
        num_train: images in the training split, after classes and subset.
        num_own_validation: those of them that the source reserves for validation.
        num_test: images in the test split, as published or listed; None if they would have to be opened.
        train_images_per_class: by class name.
        pixel_mean: per channel, pixels scaled to [0, 1].
        pixel_sd: the same, population sd.
        fingerprint: SHA-256 (hex) of the decoded training split.
        notes: skipped files and why, changed sizes.
        num_groups: groups of these training images, which no split separates; 0 if every image stands alone.
        sizes: the sizes of images that have different ones.
    """

    name: str
    summary: str
    source: str
    folder: str | None
    image_shape_HWC: tuple[int, int, int] | None
    num_train: int
    num_own_validation: int
    num_test: int | None
    train_images_per_class: dict[str, int]
    pixel_mean: tuple[float, ...] | None
    pixel_sd: tuple[float, ...] | None
    fingerprint: str | None
    notes: tuple[str, ...]
    num_groups: int = 0
    sizes: SizeFacts | None = None


def show(source: DataSource | str, data_dir: Path | None = None, group: str | None = None) -> dict[str, object]:
    """Return the facts of a dataset (see `Facts`) as a JSON-compatible dictionary. Downloads it if necessary.

    Args:
        source: a registered dataset's name, a folder or a manifest.
        data_dir: a folder to search first.
        group: what names the groups of a folder's images; see `DataSource.group`.

    Raises:
        DataError: as in `open_training`, or `group` is wrong.
    """
    source = find_source(source, data_dir)
    if group is not None:
        source = _group_source(source, group)
    sizes = _find_sizes(source, data_dir)
    facts = asdict(_describe_mixed(source, sizes, data_dir) if sizes else _describe_opened(source, data_dir))
    if sizes is None:
        del facts["sizes"]
    return facts


def _find_sizes(source: DataSource, data_dir: Path | None) -> SizeFacts | None:
    """Return the sizes of images that cannot be decoded because they have different ones; None for all others."""
    if source.path is None or source.size_HW is not None or find_decoded(source, "train", data_dir) is not None:
        return None
    obtain_files(source, data_dir)
    sizes = measure_sizes(source, data_dir)
    return sizes if sizes is not None and sizes.num_sizes > 1 else None


def _describe_mixed(source: DataSource, sizes: SizeFacts, data_dir: Path | None) -> Facts:
    summary, origin, folder, num_test = _describe_origin(source, data_dir)
    listing = list_source(source, data_dir)
    files = listing.select("train", "validation")
    counts = Counter(file.class_name for file in files)
    return Facts(
        name=source.label,
        summary=summary,
        source=origin,
        folder=folder,
        image_shape_HWC=None,
        num_train=len(files),
        num_own_validation=len(listing.select("validation")),
        num_test=num_test,
        train_images_per_class={name: counts[name] for name in listing.class_names},
        pixel_mean=None,
        pixel_sd=None,
        fingerprint=None,
        notes=listing.notes,
        sizes=sizes,
    )


def _describe_opened(source: DataSource, data_dir: Path | None) -> Facts:
    images = open_training(source, data_dir)
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    mean, sd = measure_pixels(images.pixels)
    summary, origin, folder, num_test = _describe_origin(source, data_dir)
    return Facts(
        name=source.label,
        summary=summary,
        source=origin,
        folder=folder,
        image_shape_HWC=images.shape_HWC,
        num_train=len(images.labels),
        num_own_validation=0 if images.own_validation is None else len(images.own_validation),
        num_test=num_test,
        train_images_per_class=dict(zip(images.class_names, counts.tolist(), strict=True)),
        pixel_mean=mean,
        pixel_sd=sd,
        fingerprint=images.fingerprint,
        notes=images.notes,
        num_groups=images.num_groups,
    )


def _group_source(source: DataSource, group: str) -> DataSource:
    try:
        return DataSource(**{**source.model_dump(), "group": group})
    except ValidationError as error:
        raise GroupsError(f"{error.errors()[0]['msg']}.") from None


def _describe_origin(source: DataSource, data_dir: Path | None) -> tuple[str, str, str | None, int | None]:
    """Return summary, citation or path, folder, and the number of test images."""
    if source.registered is None:
        path = show_text(locate_path(source, data_dir))
        summary = source.label if source.name is not None else f"an image {source.kind} of your own"
        return summary, path, path, len(list_source(source, data_dir).select("test"))
    record = find_dataset(source.registered)
    home = None if isinstance(record.layout, EmbeddedLayout) else find_home(record, data_dir)
    num_test = record.num_test if source.classes is None else None
    return record.summary, record.source, None if home is None else str(home), num_test


def measure_pixels(pixels: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population sd of every channel, for pixels [n, H, W, C] scaled to [0, 1].

    Computed from each channel's histogram: exact, and with a few images at a time in memory.
    """
    values = np.arange(256) / 255
    counts = np.zeros((pixels.shape[-1], 256), dtype=np.int64)
    step = max(1, _PIXELS_AT_ONCE // max(1, math.prod(pixels.shape[1:])))
    for start in range(0, len(pixels), step):
        for channel in range(pixels.shape[-1]):
            counts[channel] += np.bincount(pixels[start : start + step, ..., channel].ravel(), minlength=256)
    means, sds = [], []
    for channel in range(pixels.shape[-1]):
        weights = counts[channel] / pixels[..., channel].size
        mean = float(weights @ values)
        means.append(mean)
        sds.append(float(np.sqrt(weights @ (values - mean) ** 2)))
    return tuple(means), tuple(sds)
