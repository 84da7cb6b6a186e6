"""Finds and lists image folders and manifests, and decodes them once into the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakeoff.data.archives import is_archive, unpack
from bakeoff.data.audit.audits import Audit, Say, audit_listing
from bakeoff.data.audit.policy import apply_policy
from bakeoff.data.cache import Images, load_images, store_once
from bakeoff.data.content import check_unchanged, hash_contents
from bakeoff.data.decode import Decoded
from bakeoff.data.folders import list_folder
from bakeoff.data.grouping import check_groups, describe_groups, group_listing
from bakeoff.data.imported import find_imported, obtain_imported, read_origin
from bakeoff.data.listing import (
    SUBSET_SEED,
    TEST_SEED,
    ImageFile,
    Listing,
    Rejected,
    set_test_aside,
    take_classes,
    take_subset,
)
from bakeoff.data.locate import CACHE_VARIABLE, cache_folder, list_places
from bakeoff.data.manifest import list_manifest
from bakeoff.data.registry import Split
from bakeoff.data.source import Colour, DataSource, SourceFacts, show_text
from bakeoff.errors import DataError, ImageCacheError, ImagesNotFoundError

# Part of every key: increase it when decoding changes, so that outdated images in the cache are not used.
DECODER_VERSION = 1
RESIZER_VERSION = 2
"""In place of it for images that are brought to a size."""


def locate_path(source: DataSource, data_dir: Path | None = None) -> Path:
    """Find a source's folder (or archive) or manifest: absolute, below the current folder, or below a data folder.

    Raises:
        DataError: not found, not downloaded yet, or a folder where a manifest is expected or the reverse.
    """
    if source.name is not None:
        imported = find_imported(source.name, data_dir)
        if imported is None:
            raise ImagesNotFoundError(f"{source.label} is not here yet. Get it with: bakeoff data get {source.label}")
        return imported
    kind = source.kind
    given = Path(source.path or "").expanduser()
    places = list_places(given, data_dir)
    try:
        found = next((place for place in places if place.exists()), None)
    except (OSError, ValueError) as error:
        raise ImagesNotFoundError(
            f"The {kind} {show_text(given)} cannot be searched for: {show_text(error)}."
        ) from error
    if found is None:
        where = ", ".join(show_text(place) for place in places)
        raise ImagesNotFoundError(f"There is no {kind} {show_text(given)}. Looked for: {where}.")
    is_folder = found.is_dir() or is_archive(found)
    if is_folder != (kind == "folder"):
        other = "manifest" if kind == "folder" else "folder"
        raise ImagesNotFoundError(f"{show_text(found)} is not a {kind}; give it as {other} instead.")
    return found


def obtain_files(source: DataSource, data_dir: Path | None = None) -> tuple[Path, bool]:
    """Find a source's folder or manifest; download a dataset from elsewhere that is not here yet.

    Returns:
        The folder or manifest, and whether it was downloaded now.

    Raises:
        DataError: not found or not downloadable.
    """
    if source.name is None:
        return locate_path(source, data_dir), False
    return obtain_imported(source.name, data_dir)


@dataclass
class _Known:
    """What has been listed and audited within `list_once`."""

    listed: dict[tuple[DataSource, Path | None], tuple[Listing, bool]] = field(default_factory=dict)
    whole: dict[tuple[str | None, str | None, Path | None, tuple[str, ...] | None], Listing] = field(
        default_factory=dict
    )
    audits: dict[int, tuple[Listing, Audit]] = field(default_factory=dict)


_KNOWN: ContextVar[_Known | None] = ContextVar("known", default=None)


@contextmanager
def list_once() -> Iterator[None]:
    """List every source once within this context: large folders take seconds."""
    token = _KNOWN.set(_Known())
    try:
        yield
    finally:
        _KNOWN.reset(token)


def list_source(source: DataSource, data_dir: Path | None = None, *, audited: bool = False) -> Listing:
    """List a folder's or manifest's images, applying its policy on duplicates, test split, classes and subset.

    Args:
        source: the folder or manifest.
        data_dir: a folder to search first.
        audited: audit its images if this content has not been audited yet, which opens all of them. Otherwise no image
            is opened, and the policy on duplicates is applied only if they are known.

    Raises:
        DataError: not found, or its files do not form a classification task; says why.
    """
    known = _KNOWN.get()
    if known is None:
        return _list_source(source, data_dir, audited)
    key = (source, data_dir)
    if key not in known.listed or (audited and not known.listed[key][1]):
        known.listed[key] = (_list_source(source, data_dir, audited), audited)
    return known.listed[key][0]


def list_whole(source: DataSource, data_dir: Path | None = None) -> Listing:
    """List all images of a folder or manifest with their declared groups, before any choice among them applies.

    Raises:
        DataError: as in `list_source`.
    """
    known = _KNOWN.get()
    if known is None:
        return _list_whole(source, data_dir)
    key = (source.path, source.group, data_dir, source.classes)
    if key not in known.whole:
        known.whole[key] = _list_whole(source, data_dir)
    return known.whole[key]


def _list_whole(source: DataSource, data_dir: Path | None) -> Listing:
    path = locate_path(source, data_dir)
    if source.folder is not None:
        listing = list_folder(unpack(path) if is_archive(path) else path, source.classes)
    else:
        listing = list_manifest(path, source.classes)
    if source.name is not None:
        revision = read_origin(path).get("revision", "unknown")
        listing = replace(listing, notes=(f"copied from {source.label}, revision {revision}", *listing.notes))
    return listing if source.group is None else group_listing(listing, source.group)


def audit_files(listing: Listing, *, read: bool = True, say: Say | None = None) -> Audit | None:
    """Audit the files of a listing as in `audit_listing`.

    Raises:
        DataError: the cache cannot be written.
    """
    known = _KNOWN.get()
    if known is not None and id(listing) in known.audits:
        return known.audits[id(listing)][1]
    try:
        audit = audit_listing(listing, read=read, say=say)
        if known is not None and audit is not None:
            known.audits[id(listing)] = (listing, audit)  # the listing is kept, so that no other gets its id
        return audit
    except OSError as error:
        raise ImageCacheError(
            f"The audit of {show_text(listing.root)} cannot be written to {cache_folder()}: {error}. Set "
            f"{CACHE_VARIABLE} to a folder you can write."
        ) from error


def _list_source(source: DataSource, data_dir: Path | None, audited: bool) -> Listing:
    listing = list_whole(source, data_dir)
    is_declared = any(file.group for file in listing.files)
    if source.policy != "allow":
        audit = audit_files(listing, read=audited)
        listing = listing if audit is None else apply_policy(listing, audit, source.policy, source.classes)
    check_groups(take_classes(listing, source.classes), may_span=source.policy == "allow")
    # Before classes and subset: the test split must not depend on them.
    listing = set_test_aside(listing, source.test)
    listing = take_subset(take_classes(listing, source.classes), source.subset)
    return replace(listing, notes=(*listing.notes, *describe_groups(listing, source.group, is_declared=is_declared)))


def open_files(source: DataSource, split: Split, data_dir: Path | None) -> Images:
    """Open one split of a folder or manifest; see `open_training` and `open_test`."""
    obtain_files(source, data_dir)
    listing = list_source(source, data_dir, audited=True)
    if split == "train":
        return _open_listed(source, listing, "train", None)
    return _open_listed(source, listing, "test", _open_listed(source, listing, "train", None).shape_HWC)


def find_decoded_files(source: DataSource, split: Split, data_dir: Path | None) -> Images | None:
    """Open one split of a folder or manifest if it is already decoded, else return None.

    Raises:
        DataError: not found, or its files do not form a classification task.
    """
    listing = list_source(source, data_dir)
    training = _find_listed(source, listing, "train", None)
    if split == "train" or training is None:
        return training
    return _find_listed(source, listing, "test", training.shape_HWC)


def describe_files(source: DataSource, data_dir: Path | None) -> SourceFacts | None:
    """Return the facts of a folder's or manifest's training split if it is already decoded, else None."""
    try:
        listing = list_source(source, data_dir)
        images = _find_listed(source, listing, "train", None)
    except DataError:
        return None
    if images is None:
        return None
    return SourceFacts(
        shape_HWC=images.shape_HWC,
        num_classes=len(images.class_names),
        class_names=images.class_names,
        num_train=len(images.labels),
        num_groups=images.num_groups,
    )


def _find_listed(
    source: DataSource, listing: Listing, split: Split, shape_HWC: tuple[int, int, int] | None
) -> Images | None:
    folder = _name_folder(source, listing, split, shape_HWC, read=False)
    images = None if folder is None else load_images(folder)
    return None if images is None else _name_images(images, listing, split)


def _open_listed(source: DataSource, listing: Listing, split: Split, shape_HWC: tuple[int, int, int] | None) -> Images:
    """Open one split; `shape_HWC` is the shape that test images are converted to."""
    folder = _name_folder(source, listing, split, shape_HWC)
    assert folder is not None, "files that may be read have a hash"
    images = load_images(folder)
    if images is not None:
        return _name_images(images, listing, split)
    return store_once(folder, source.label, lambda target: _decode(source, listing, split, shape_HWC, target))


def _name_images(images: Images, listing: Listing, split: Split) -> Images:
    """Add the files' names to images that were stored without, if none of the files was left out."""
    files, _ = select_split(listing, split)
    if images.files is not None or len(files) != len(images.labels):
        return images
    return replace(images, files=tuple(file.shown for file in files))


def _decode(
    source: DataSource, listing: Listing, split: Split, shape_HWC: tuple[int, int, int] | None, target: Path
) -> Decoded:
    # Imported late: Pillow is not needed for plans and reports.
    from bakeoff.data.collect import Wanted, collect_images

    files, rejected = select_split(listing, split)
    colour: Colour | None = source.colour
    if shape_HWC is not None:
        colour = "grey" if shape_HWC[2] == 1 else "rgb"
    wanted = Wanted(
        where=listing.root,
        class_names=listing.class_names,
        size_HW=source.size_HW,
        colour=colour,
        fit=source.fit,
        fit_HW=None if shape_HWC is None else shape_HWC[:2],
        is_test=split == "test",
    )
    decoded = collect_images(files, rejected, wanted, target)
    check_unchanged((file.stamp for file in files), source.label)
    notes = (*listing.notes, *decoded.notes) if split == "train" else decoded.notes
    return replace(decoded, notes=notes)


def select_split(listing: Listing, split: Split) -> tuple[tuple[ImageFile, ...], tuple[Rejected, ...]]:
    """Return the files of one split, and those known to be missing. Own validation images belong to training."""
    files = listing.select("test") if split == "test" else listing.select("train", "validation")
    rejected = tuple(item for item in listing.rejected if (item.part == "test") == (split == "test"))
    return files, rejected


def _name_folder(
    source: DataSource, listing: Listing, split: Split, shape_HWC: tuple[int, int, int] | None, *, read: bool = True
) -> Path | None:
    """Return where one split is stored: a readable name and a hash of everything that decoding depends on.

    Without `read`, None if all files would have to be read for the first time.
    """
    from bakeoff.data.pictures import describe_decoder

    files, rejected = select_split(listing, split)
    contents = hash_contents((file.stamp for file in files), read=read)
    if contents is None:
        return None
    is_resized = source.size_HW is not None or shape_HWC is not None
    version = RESIZER_VERSION if is_resized else DECODER_VERSION
    form = [source.size_HW, source.colour, shape_HWC]
    facts: list[object] = [
        [version, describe_decoder(), split, TEST_SEED, SUBSET_SEED],
        [listing.class_names, listing.notes],
        [*form, source.fit] if is_resized else form,
        [contents, *((file.shown, file.class_name, file.part) for file in files)],
        [(item.shown, item.reason) for item in rejected],
    ]
    if any(file.group for file in files):
        facts.append([file.group for file in files])
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "_", source.label).strip(".")[:40] or "images"
    return cache_folder() / "decoded" / f"{slug}-{split}-{key}"
