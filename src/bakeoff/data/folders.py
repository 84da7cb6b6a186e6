"""Lists image folders: class folders, or training, validation and test folders that hold them. Opens no image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bakeoff.data.content import Stamp
from bakeoff.data.listing import (
    PARTS,
    ImageFile,
    Listing,
    Part,
    Rejected,
    clean_class_name,
    make_listing,
    spell_paths,
)
from bakeoff.data.source import show_text
from bakeoff.errors import DataError

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
)
"""Names that end so are images; other files are counted and left alone."""

IGNORED_FOLDERS = frozenset({"__MACOSX", "__pycache__", "@eaDir"})
"""What archivers and file servers leave behind; hidden folders are ignored as well."""


@dataclass
class _Found:
    """What a walk gathers."""

    root: str
    files: list[ImageFile] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def list_folder(root: Path, chosen: tuple[str, ...] | None = None) -> Listing:
    """List every image below a folder with its class and part.

    Args:
        root: holds class folders (`cat/`, `dog/`), or `train/` and where they exist `val/` and `test/` (`training`,
            `valid`, `validation`, `testing` too, in any case), which hold class folders. Images in folders inside a
            class folder belong to the class.
        chosen: the classes a study takes.

    Raises:
        DataError: unreadable, no class folders, a class folder without images, or what `make_listing` refuses.
    """
    found = _Found(str(root))
    folders, loose = _list_level(str(root))
    parts = _name_parts(root, folders)
    if parts[0][1] is not None:
        unused = [entry.name for entry in folders if entry.name.lower() not in PARTS]
        found.notes += [f"folders beside the train folder are not used: {spell_paths(unused)}"] if unused else []
    for part, folder in parts:
        classes, loose_inside = (folders, loose) if folder is None else _list_level(folder.path)
        if part == "test" and not classes and loose_inside:
            found.notes.append(
                f"{show_text(folder.name if folder else '')} has {len(loose_inside):,} images and no class folders: "
                f"it is not used, and a share of the training images is the test split"
            )
            continue
        _check_level(folder.path if folder else str(root), classes, loose_inside, found)
        for entry in classes:
            _list_class(found, entry, part)
    if found.others:
        found.notes.append(_spell_others(found.others))
    return make_listing(str(root), found.files, found.rejected, found.notes, chosen=chosen)


def _list_level(folder: str) -> tuple[list[os.DirEntry[str]], list[str]]:
    """Return the folders directly below, sorted, and the names of the images there."""
    folders, images = [], []
    for entry in _scan(folder):
        if entry.is_dir():
            folders.append(entry)
        elif _is_image_name(entry.name):
            images.append(entry.name)
    return sorted(folders, key=lambda entry: entry.name), sorted(images)


def _scan(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name not in IGNORED_FOLDERS:
                    yield entry
    except OSError as error:
        raise DataError(f"The folder {show_text(folder)} cannot be read: {error.strerror}.") from error


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _name_parts(root: Path, folders: Sequence[os.DirEntry[str]]) -> list[tuple[Part, os.DirEntry[str] | None]]:
    """Return the folder of every part; the root itself, as None, where its folders are the classes."""
    found: dict[Part, os.DirEntry[str]] = {}
    for entry in folders:
        part = PARTS.get(entry.name.lower())
        if part is None:
            continue
        if part in found:
            raise DataError(
                f"{show_text(root)} has two {part} folders, {found[part].name} and {entry.name}. Make them one."
            )
        found[part] = entry
    if not found:
        return [("train", None)]
    if "train" not in found:
        names = " and ".join(entry.name for entry in found.values())
        raise DataError(
            f"{show_text(root)} has {names} but no train folder. Put the training classes below train, or, where "
            f"{names} is a class, give its folder another name."
        )
    order: tuple[Part, ...] = ("train", "validation", "test")
    return [(part, found[part]) for part in order if part in found]


def _check_level(folder: str, classes: Sequence[os.DirEntry[str]], loose: Sequence[str], found: _Found) -> None:
    where = show_text(folder)
    if not classes:
        held = f"it holds {len(loose):,} images directly" if loose else "it holds no folders"
        raise DataError(
            f"{where} has no class folders: {held}. Put the images of every class into a folder of its own."
        )
    if folder == found.root and len(classes) == 1:
        raise DataError(
            f"{where} has one class folder only, {show_text(classes[0].name)}; two or more are needed. Where the "
            f"classes are inside it, name that folder."
        )
    if loose:
        found.notes.append(f"{len(loose):,} images beside the class folders are left out: {spell_paths(loose)}")


def _list_class(found: _Found, folder: os.DirEntry[str], part: Part) -> None:
    class_name = clean_class_name(folder.name)
    num_before = len(found.files) + len(found.rejected)
    for entry in _walk(folder.path, frozenset(), found):
        shown = os.path.relpath(entry.path, found.root)
        try:
            if not entry.is_file():
                found.rejected.append(Rejected(shown, _say_why_no_file(entry), part))
                continue
            status = entry.stat()
        except OSError as error:
            found.rejected.append(Rejected(shown, error.strerror or "cannot be read", part))
            continue
        found.files.append(ImageFile(entry.path, shown, class_name, part, Stamp.of(entry.path, status)))
    if len(found.files) + len(found.rejected) == num_before and part == "train":
        raise DataError(
            f"{show_text(folder.path)} has no images, but counts as a class. Add images, or move the folder elsewhere."
        )


def _say_why_no_file(entry: os.DirEntry[str]) -> str:
    return "broken link" if entry.is_symlink() else "not a file"


def _walk(folder: str, above: frozenset[tuple[int, int]], found: _Found) -> Iterator[os.DirEntry[str]]:
    """Yield every image name below, however deep; a link back to a folder above is not followed."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        found.notes.append(f"the link {show_text(os.path.relpath(folder, found.root))} leads back up: not followed")
        return
    for entry in _scan(folder):
        if entry.is_dir():
            yield from _walk(entry.path, above | {identity}, found)
        elif _is_image_name(entry.name):
            yield entry
        else:
            found.others[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1


def _spell_others(others: Counter[str]) -> str:
    counted = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{show_text(suffix)} {count:,}" for suffix, count in counted[:5])
    more = f" and {len(others) - 5} other kinds" if len(others) > 5 else ""
    return f"{others.total():,} files are no images and are left out: {kinds}{more}"
