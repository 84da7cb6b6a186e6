"""Opens images: every split is decoded once into the cache and memory-mapped by every process.

The training and the test split are stored separately. Opening one never reads or decodes the other: `open_test` is for
the final test only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit.audits import Audit, Say, audit_images
from bakeoff.data.audit.policy import decide
from bakeoff.data.audit.signatures import VERSION as AUDIT_VERSION
from bakeoff.data.cache import Images, compute_fingerprint, load_images, store_once
from bakeoff.data.content import Stamp, check_unchanged, hash_contents
from bakeoff.data.decode import Decoded, decode_split
from bakeoff.data.download import obtain_dataset
from bakeoff.data.files import describe_files, find_decoded_files, open_files
from bakeoff.data.group_draws import number_groups
from bakeoff.data.listing import SUBSET_SEED, check_chosen, draw_share
from bakeoff.data.locate import CACHE_VARIABLE, Located, cache_folder, find_home, find_split
from bakeoff.data.registry import DatasetRecord, EmbeddedLayout, Split, find_dataset
from bakeoff.data.source import DataSource, SourceFacts, as_source
from bakeoff.errors import DataError, ImageCacheError, ImagesChangedError, ImagesNotFoundError, MissingDataPackageError

__all__ = [
    "Images",
    "audit_dataset",
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
        names = None if located is None else _name_folders(record, source, split, located, data_dir, read=False)
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
    names = _name_folders(record, source, split, located, data_dir)
    assert names is not None, "files that may be read have a hash"
    folder, part = names
    if part == folder:
        return load_images(folder) or store_once(folder, record.name, lambda _: _decode(record, split, located))
    images = load_images(part)
    if images is not None:
        return images
    whole = _open_registered(record, DataSource(name=record.name), split, data_dir)
    subset = _subset_of(source, split)
    decided = _decide_duplicates(source, split, data_dir)
    return store_once(part, record.name, lambda _: take_part(record.name, whole, source.classes, subset, decided))


def audit_dataset(name: str, data_dir: Path | None = None, say: Say | None = None) -> Audit:
    """Audit a registered dataset over both splits, or its training split if its test files are not there.

    The test split is read only to be compared.

    Raises:
        DataError: as in `open_training`, or the cache cannot be written.
    """
    record = find_dataset(name)
    whole = DataSource(name=record.name)
    training = _open_split(whole, "train", data_dir)
    root = find_home(record, data_dir)
    has_test = root is not None and find_split(record, "test", root) is not None
    test = _open_split(whole, "test", data_dir) if has_test else None
    try:
        return audit_images(record.name, training, test, say)
    except OSError as error:
        raise ImageCacheError(
            f"The audit of {record.name} cannot be written to {cache_folder()}: {error}. Set {CACHE_VARIABLE} to a "
            f"folder you can write."
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What a policy on duplicates does to the n images of one split: those it keeps, groups, and notes."""

    is_kept: npt.NDArray[np.bool_]
    groups: tuple[str, ...]
    notes: tuple[str, ...]


def _decide_duplicates(source: DataSource, split: Split, data_dir: Path | None) -> _Decided | None:
    """Return what an explicit policy on duplicates does to a registered dataset; None if it does nothing."""
    if source.policy == "allow" or source.registered is None:
        return None
    audit = audit_dataset(source.registered, data_dir)
    decision = decide(audit, source.policy, source.classes)
    groups = [""] * len(audit.names)
    for number, cluster in enumerate(decision.clusters):
        for member in cluster:
            groups[member] = str(number)
    mine = [number for number, part in enumerate(audit.parts) if part == split]
    return _Decided(
        is_kept=~decision.left_out[mine],
        groups=tuple(groups[number] for number in mine),
        notes=decision.notes if split == "train" else (),
    )


def _decode(record: DatasetRecord, split: Split, located: Located) -> Decoded:
    stamps = _stamp(located)
    decoded = decode_split(record, split, located)
    check_unchanged(stamps, record.name)
    return decoded


def _name_folders(
    record: DatasetRecord,
    source: DataSource,
    split: Split,
    located: Located,
    data_dir: Path | None,
    *,
    read: bool = True,
) -> tuple[Path, Path] | None:
    """Return where a whole split and where its selected part are stored; equal if everything is selected.

    Without `read`, None if all files would have to be read for the first time.
    """
    key, subset = _compute_key(record, split, located, read=read), _subset_of(source, split)
    if key is None:
        return None
    decoded = cache_folder() / "decoded"
    whole = decoded / f"{record.name}-{split}-{key}"
    if source.classes is None and subset is None and source.policy == "allow":
        return whole, whole
    facts: list[object] = [key, source.classes, subset, SUBSET_SEED]
    if source.policy != "allow":
        located = find_or_download(record, "test" if split == "train" else "train", data_dir)
        other = _compute_key(record, "test" if split == "train" else "train", located, read=read)
        if other is None:
            return None
        facts += [source.policy, AUDIT_VERSION, other]
    part_key = _shorten_hash(facts)
    return whole, decoded / f"{record.name}-{split}-part-{part_key}"


def _subset_of(source: DataSource, split: Split) -> float | None:
    return source.subset if split == "train" else None


def take_part(
    name: str,
    images: Images,
    classes: tuple[str, ...] | None,
    subset: float | None,
    decided: _Decided | None = None,
) -> Decoded:
    """Select classes, relabelled in order, and a stratified fraction of their images; None: all.

    `decided` is what a policy on duplicates does to the images before a fraction is drawn.

    Raises:
        DataError: an unknown class.
    """
    class_names = images.class_names if classes is None else classes
    check_chosen(name, class_names, images.class_names)
    new_labels = np.full(len(images.class_names), -1, dtype=np.int64)
    new_labels[[images.class_names.index(class_name) for class_name in class_names]] = np.arange(len(class_names))
    labels = new_labels[images.labels]
    kept = np.flatnonzero((labels >= 0) & (True if decided is None else decided.is_kept))
    groups = None if decided is None else number_groups([decided.groups[number] for number in kept])
    if subset is not None:
        drawn = draw_share([class_names[label] for label in labels[kept]], subset, SUBSET_SEED, groups=groups)
        kept = kept[drawn]
        groups = None if decided is None else number_groups([decided.groups[number] for number in kept])
    return Decoded(
        pixels=images.pixels[kept],
        labels=labels[kept],
        class_names=class_names,
        notes=() if decided is None else decided.notes,
        groups=groups,
    )


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
        raise ImagesChangedError(
            f"{record.name}: the {split} files in {root} vanished after they were downloaded; run again."
        )
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
        raise ImagesNotFoundError(f"{error.filename} cannot be read: {error.strerror or error}.") from error


def _shorten_hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _find_version(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDataPackageError(
            f"These images come with {package}, which is missing: pip install {package}."
        ) from error
