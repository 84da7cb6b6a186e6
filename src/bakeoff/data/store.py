"""Opens images: every split is decoded once into the cache and memory-mapped by every process.

The training and the test split are stored separately. Opening one never reads or decodes the other: `open_test` is for
the final test only.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from bakeoff.data.cache import Images, compute_fingerprint, load_images, store_once
from bakeoff.data.content import Stamp, check_unchanged, hash_contents
from bakeoff.data.decode import Decoded, decode_split
from bakeoff.data.download import obtain_dataset
from bakeoff.data.files import describe_files, find_decoded_files, open_files
from bakeoff.data.listing import SUBSET_SEED, check_chosen, draw_share
from bakeoff.data.locate import Located, cache_folder, find_home, find_split
from bakeoff.data.registry import DatasetRecord, EmbeddedLayout, Split, find_dataset
from bakeoff.data.source import DataSource, SourceFacts, as_source
from bakeoff.errors import DataError

__all__ = [
    "Images",
    "compute_fingerprint",
    "describe",
    "find_decoded",
    "find_or_download",
    "open_test",
    "open_training",
]

# Part of every key: increase it when decoding changes, so that outdated images in the cache are not used.
DECODER_VERSION = 1


def open_training(source: DataSource | str, data_dir: Path | None = None) -> Images:
    """Open the training split (from which validation is drawn); find, download and decode it if necessary.

    The test split is neither read nor decoded. If a folder or manifest has none, one is set aside by class and path,
    and its files are not opened.

    Args:
        source: what to open; a bare string is a registered dataset's name.
        data_dir: a folder to search first.

    Raises:
        DataError: unknown name or class, not found and not downloadable, damaged, or the cache is not writable.
    """
    return _open_split(as_source(source), "train", data_dir)


def open_test(source: DataSource | str, data_dir: Path | None = None) -> Images:
    """Open the test split. For the final test only: nothing that trains, stops, searches or selects may call this.

    `classes` applies to it, `subset` does not. Images of a folder or manifest are converted to the size and channels
    of the training images. Arguments and errors are as in `open_training`.
    """
    return _open_split(as_source(source), "test", data_dir)


def describe(source: DataSource | str, data_dir: Path | None = None) -> SourceFacts | None:
    """Return what is known about a source's training split without decoding anything.

    Registered datasets are described by the registry, so they need not be present; with `classes` the number of images
    is then a proportional estimate. Folders and manifests are described by their decoded images if these are in the
    cache; otherwise None, also if they do not exist: opening them reports the error.

    Raises:
        DataError: an unknown dataset, or an unknown class of a registered one.
    """
    source = as_source(source)
    if source.registered is None:
        return describe_files(source, data_dir)
    record = find_dataset(source.registered)
    if source.classes is not None:
        check_chosen(record.name, source.classes, record.class_names)
    class_names = source.classes or record.class_names
    share = len(class_names) / record.num_classes * (source.subset or 1.0)
    return SourceFacts(
        shape_HWC=record.image_shape_HWC,
        num_classes=len(class_names),
        class_names=class_names,
        num_train=round(record.num_train * share),
    )


def find_decoded(source: DataSource | str, split: Split, data_dir: Path | None = None) -> Images | None:
    """Open a split if this machine has already decoded it, else return None. Decodes and downloads nothing.

    Callers may request the test split only after its final test.
    """
    source = as_source(source)
    try:
        if source.registered is None:
            return find_decoded_files(source, split, data_dir)
        record = find_dataset(source.registered)
        root = find_home(record, data_dir)
        located = None if root is None else find_split(record, split, root)
        names = None if located is None else _name_folders(record, source, split, located, read=False)
        return None if names is None else load_images(names[1])
    except DataError:
        return None


def _open_split(source: DataSource, split: Split, data_dir: Path | None) -> Images:
    if source.registered is None:
        return open_files(source, split, data_dir)
    record = find_dataset(source.registered)
    if source.classes is not None:
        check_chosen(record.name, source.classes, record.class_names)
    return _open_registered(record, source, split, data_dir)


def _open_registered(record: DatasetRecord, source: DataSource, split: Split, data_dir: Path | None) -> Images:
    located = find_or_download(record, split, data_dir)
    names = _name_folders(record, source, split, located)
    assert names is not None, "files that may be read have a hash"
    folder, part = names
    if part == folder:
        return load_images(folder) or store_once(folder, record.name, lambda _: _decode(record, split, located))
    images = load_images(part)
    if images is not None:
        return images
    whole = _open_registered(record, DataSource(name=record.name), split, data_dir)
    subset = _subset_of(source, split)
    return store_once(part, record.name, lambda _: take_part(record.name, whole, source.classes, subset))


def _decode(record: DatasetRecord, split: Split, located: Located) -> Decoded:
    stamps = _stamp(located)
    decoded = decode_split(record, split, located)
    check_unchanged(stamps, record.name)
    return decoded


def _name_folders(
    record: DatasetRecord, source: DataSource, split: Split, located: Located, *, read: bool = True
) -> tuple[Path, Path] | None:
    """Return where a whole split and where its selected part are stored; equal if everything is selected.

    Without `read`, None if all files would have to be read for the first time.
    """
    key, subset = _compute_key(record, split, located, read=read), _subset_of(source, split)
    if key is None:
        return None
    decoded = cache_folder() / "decoded"
    whole = decoded / f"{record.name}-{split}-{key}"
    if source.classes is None and subset is None:
        return whole, whole
    part_key = _shorten_hash([key, source.classes, subset, SUBSET_SEED])
    return whole, decoded / f"{record.name}-{split}-part-{part_key}"


def _subset_of(source: DataSource, split: Split) -> float | None:
    return source.subset if split == "train" else None


def take_part(name: str, images: Images, classes: tuple[str, ...] | None, subset: float | None) -> Decoded:
    """Select classes, relabelled in order, and a stratified fraction of their images; None: all.

    Raises:
        DataError: an unknown class.
    """
    class_names = images.class_names if classes is None else classes
    check_chosen(name, class_names, images.class_names)
    new_labels = np.full(len(images.class_names), -1, dtype=np.int64)
    new_labels[[images.class_names.index(class_name) for class_name in class_names]] = np.arange(len(class_names))
    labels = new_labels[images.labels]
    kept = np.flatnonzero(labels >= 0)
    if subset is not None:
        kept = kept[draw_share([class_names[label] for label in labels[kept]], subset, SUBSET_SEED)]
    return Decoded(pixels=images.pixels[kept], labels=labels[kept], class_names=class_names)


def find_or_download(record: DatasetRecord, split: Split, data_dir: Path | None) -> Located:
    """Find one split's files, downloading what is missing.

    Raises:
        DataError: not found and not downloadable.
    """
    root = find_home(record, data_dir)
    located = None if root is None else find_split(record, split, root)
    if located is None:
        root, _ = obtain_dataset(record, data_dir)
        located = find_split(record, split, root)
    if located is None:
        raise DataError(f"{record.name}: the {split} files in {root} vanished after they were downloaded; run again.")
    return located


def _compute_key(record: DatasetRecord, split: Split, located: Located, *, read: bool) -> str | None:
    """Return a short hash of the decoder's input: the content of every file, or the package's version."""
    contents = hash_contents(_stamp(located), read=read)
    if contents is None:
        return None
    facts: list[object] = [DECODER_VERSION, record.name, split, contents]
    if isinstance(record.layout, EmbeddedLayout) and record.layout.package is not None:
        facts.append(_find_version(record.layout.package))
    return _shorten_hash(facts)


def _stamp(located: Located) -> list[Stamp]:
    try:
        return [Stamp.of(str(path), path.stat()) for path in located.sources]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror or error}.") from error


def _shorten_hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _find_version(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(f"These images come with {package}, which is missing: pip install {package}.") from error
