"""Audits a source over all its splits, once for every content: signatures, duplicates, and what they are images of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bakeoff.data.audit import signatures as signing
from bakeoff.data.audit.near import Duplicates, find_duplicates
from bakeoff.data.audit.signatures import Signatures, load_signatures, save_signatures
from bakeoff.data.cache import Images
from bakeoff.data.content import hash_contents
from bakeoff.data.listing import ImageFile, Listing, Part
from bakeoff.data.locate import cache_folder
from bakeoff.data.parallel import count_workers, map_in_order
from bakeoff.system import rename

if TYPE_CHECKING:
    from bakeoff.data.pictures import Picture

Say = Callable[[str], None]

_CHUNK_FILES = 128
_SMALL_BYTES = 1 << 14
"""A smaller file holds no large image; its header is not read beforehand."""

LARGE = 20_000
"""Number of images from which the progress of an audit is reported."""

_REPORT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What is known about the n images of a source.

    Attributes:
        where: the folder, manifest or dataset.
        names: path or number of every image, for people.
        classes, parts: class and split of every image.
        identities: inode and device of every file; None for a registered dataset.
        duplicates: which images are duplicates.
        sizes: uint16 [n, 3]: height, width and channels; 0 if the image cannot be read.
        is_constant: bool [n]: whether all pixels are equal.
        stored: the file of its signatures.
    """

    where: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    identities: tuple[tuple[int, int], ...] | None
    duplicates: Duplicates
    sizes: npt.NDArray[np.uint16]
    is_constant: npt.NDArray[np.bool_]
    stored: Path

    def load_signatures(self) -> Signatures | None:
        """Return the signatures of all images; None if the cache has lost them."""
        return load_signatures(self.stored)


def audit_listing(listing: Listing, *, read: bool = True, say: Say | None = None) -> Audit | None:
    """Audit the files of a folder or manifest as listed, before any choice among them applies.

    Args:
        listing: all files of all parts.
        read: if False, return None unless this content has been audited.
        say: reports the progress with many images.

    Raises:
        OSError: the cache cannot be written.
    """
    from bakeoff.data.pictures import describe_decoder

    contents = hash_contents((file.stamp for file in listing.files), read=read)
    if contents is None:
        return None
    stem = _name_entry([contents, describe_decoder()])
    known = _load(stem) or (_compute(stem, lambda: _sign_files(listing.files, say)) if read else None)
    if known is None:
        return None
    duplicates, sizes, is_constant = known
    return Audit(
        where=listing.root,
        names=tuple(file.shown for file in listing.files),
        classes=tuple(file.class_name for file in listing.files),
        parts=tuple(file.part for file in listing.files),
        identities=tuple(file.stamp.number for file in listing.files),
        duplicates=duplicates,
        sizes=sizes,
        is_constant=is_constant,
        stored=_name_signatures(stem),
    )


def audit_images(name: str, training: Images, test: Images | None, say: Say | None = None) -> Audit:
    """Audit the decoded images of a registered dataset.

    Args:
        name: the dataset.
        training: its whole training split.
        test: its whole test split; None if its files are not there.
        say: reports the progress with many images.

    Raises:
        OSError: the cache cannot be written.
    """
    splits: list[tuple[Part, Images]] = [("train", training)]
    if test is not None:
        splits.append(("test", test))
    stem = _name_entry([images.fingerprint for _, images in splits])

    def sign() -> Signatures:
        num_images = sum(len(images.labels) for _, images in splits)
        if say is not None and num_images >= LARGE:
            say(_announce(name, num_images))
        return Signatures.join(signing.sign_images(images.pixels) for _, images in splits)

    duplicates, sizes, is_constant = _load(stem) or _compute(stem, sign)
    return Audit(
        where=name,
        names=tuple(f"{part} image {number}" for part, images in splits for number in range(len(images.labels))),
        classes=tuple(images.class_names[label] for _, images in splits for label in images.labels.tolist()),
        parts=tuple(part for part, images in splits for _ in range(len(images.labels))),
        identities=None,
        duplicates=duplicates,
        sizes=sizes,
        is_constant=is_constant,
        stored=_name_signatures(stem),
    )


def select_classes(audit: Audit, classes: tuple[str, ...] | None) -> Audit:
    """Return the audit of the images of some classes; None: all. Sets of duplicates lose their other images."""
    if classes is None or set(classes) >= set(audit.classes):
        return audit
    chosen = np.flatnonzero([name in set(classes) for name in audit.classes])
    return select_images(audit, chosen)


def select_images(audit: Audit, chosen: npt.NDArray[np.int64]) -> Audit:
    """Return the audit of some images, ascending. Sets of duplicates lose their other images."""
    exact, near = audit.duplicates.exact, audit.duplicates.near
    # First image of every set -> its first chosen one, in the new numbers; their count: it has lost all.
    firsts = np.full(len(exact), len(chosen), dtype=np.int64)
    np.minimum.at(firsts, exact[chosen], np.arange(len(chosen)))
    pairs = firsts[near]
    kept = (pairs < len(chosen)).all(axis=1)
    return replace(
        audit,
        names=tuple(audit.names[n] for n in chosen),
        classes=tuple(audit.classes[n] for n in chosen),
        parts=tuple(audit.parts[n] for n in chosen),
        identities=None if audit.identities is None else tuple(audit.identities[n] for n in chosen),
        duplicates=Duplicates(
            exact=firsts[exact[chosen]],
            near=np.sort(pairs[kept], axis=1).reshape(-1, 2),
            changes=audit.duplicates.changes[kept],
        ),
        sizes=audit.sizes[chosen],
        is_constant=audit.is_constant[chosen],
    )


def _announce(name: str, num_images: int) -> str:
    return f"{name}: auditing {num_images:,} images for duplicates, once for this content"


def _name_place(files: Sequence[ImageFile]) -> str:
    try:
        return os.path.commonpath([files[0].path, files[-1].path])
    except ValueError:  # on two drives
        return os.path.dirname(files[0].path)


LARGE_SIDE = 512
REDUCED_SIDE = 160
"""A photograph of 2 megapixels takes 95 ms to sign at its full size, and its signature is that of a thumbnail."""


def _sign_files(files: Sequence[ImageFile], say: Say | None) -> Signatures:
    """Decode every file at its own size and sign it, on all cores."""
    from bakeoff.data.pictures import silence_pillow

    if say is not None and len(files) >= LARGE:
        say(_announce(_name_place(files), len(files)))
    size = max(1, min(_CHUNK_FILES, len(files) // (4 * count_workers())))
    with silence_pillow():
        chunks = map_in_order(_sign_chunk, [files[start : start + size] for start in range(0, len(files), size)])
        return Signatures.join(_report(chunks, len(files), say))


def _report(chunks: Iterator[Signatures], num_files: int, say: Say | None) -> Iterator[Signatures]:
    done, reported = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if say is not None and time.monotonic() - reported >= _REPORT_SECONDS:
            reported = time.monotonic()
            say(f"audited {done:,} of {num_files:,} images")


def _sign_chunk(files: Sequence[ImageFile]) -> Signatures:
    """Sign a few files; images of one shape together. Large ones are read at a reduced size: signatures are small."""
    from bakeoff.data.pictures import PictureError

    by_shape: dict[tuple[int, ...], list[tuple[int, npt.NDArray[np.uint8]]]] = {}
    sizes_HW: dict[int, tuple[int, int]] = {}
    signed: list[tuple[list[int], Signatures]] = []
    for number, file in enumerate(files):
        try:
            if file.num_bytes == 0:
                raise PictureError("empty")
            picture = _read_reduced(file)
        except PictureError:
            signed.append(([number], signing.sign_unreadable()))
            continue
        sizes_HW[number] = picture.original_HW
        by_shape.setdefault(picture.pixels_HWC.shape, []).append((number, picture.pixels_HWC))
    for members in by_shape.values():
        signed.append(([n for n, _ in members], signing.sign_images(np.stack([pixels for _, pixels in members]))))
    order = np.argsort([number for numbers, _ in signed for number in numbers])
    found = Signatures.join(each for _, each in signed).take(order)
    for number, size_HW in sizes_HW.items():
        found.sizes[number, :2] = np.minimum(size_HW, 65_535)
    return found


def _read_reduced(file: ImageFile) -> Picture:
    """Decode an image file; one with a side above `LARGE_SIDE` with its longer side at `REDUCED_SIDE`."""
    from bakeoff.data.pictures import read_picture, read_size

    height, width = (0, 0) if file.num_bytes < _SMALL_BYTES else read_size(file.path)
    longest = max(height, width)
    if longest <= LARGE_SIDE:
        return read_picture(file.path)
    reduced = (max(1, round(height * REDUCED_SIDE / longest)), max(1, round(width * REDUCED_SIDE / longest)))
    return read_picture(file.path, reduced)


Known = tuple[Duplicates, npt.NDArray[np.uint16], npt.NDArray[np.bool_]]


def _name_entry(facts: object) -> Path:
    key = hashlib.sha256(json.dumps([signing.VERSION, facts]).encode()).hexdigest()[:32]
    return cache_folder() / "audits" / key


def _name_signatures(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}-signatures.npz")


def _compute(stem: Path, sign: Callable[[], Signatures]) -> Known:
    """Audit images, and store the result: what every start needs apart from the signatures, which are large."""
    signatures = sign()
    duplicates = find_duplicates(signatures)
    _write(_name_signatures(stem), lambda path: save_signatures(path, signatures))

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(
                file,
                exact=duplicates.exact,
                near=duplicates.near,
                changes=duplicates.changes,
                sizes=signatures.sizes,
                is_constant=signatures.is_constant,
            )

    _write(stem.with_name(f"{stem.name}.npz"), save)
    return duplicates, signatures.sizes, signatures.is_constant


def _load(stem: Path) -> Known | None:
    if not _name_signatures(stem).is_file():
        return None
    try:
        with (
            stem.with_name(f"{stem.name}.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            duplicates = Duplicates(exact=arrays["exact"], near=arrays["near"], changes=arrays["changes"])
            return duplicates, arrays["sizes"], arrays["is_constant"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, save: Callable[[Path], None]) -> None:
    temporary = path.with_name(f"{path.name}.part-{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save(temporary)
        rename(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
