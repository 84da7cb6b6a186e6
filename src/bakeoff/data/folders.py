"""Lists image folders: class folders, or training, validation and test folders that hold them. Opens no image."""

from __future__ import annotations

import itertools
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
    format_paths,
    make_listing,
)
from bakeoff.data.source import show_text
from bakeoff.errors import DataError, FolderLayoutError, ImagesNotFoundError
from bakeoff.system import stat_entry

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
"""File name suffixes of images; other files are only counted."""

_SUFFIX_SET = frozenset(SUFFIXES)

IGNORED_FOLDERS = frozenset({"__MACOSX", "__pycache__", "@eaDir"})
"""Folders left behind by archivers and file servers; hidden folders are ignored as well."""

MAX_PATH_SHOWN = 300
"""Maximum length of a path in a message."""

MAX_FILES = 5_000_000
"""Maximum number of entries below a folder; more is likely a mistake, such as the root of a disk."""


@dataclass
class _Found:
    """What a walk over folders collects.

    Attributes:
        places: each folder's part and class, by its device and inode; None: it contains parts or classes.
        repeated: links to folders that are listed elsewhere.
    """

    root: str
    places: dict[tuple[int, int], tuple[Part, str] | None] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    num_entries: int = 0
    files: list[ImageFile] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def list_folder(root: Path, chosen: tuple[str, ...] | None = None) -> Listing:
    """List every image below a folder with its class and part.

    Args:
        root: contains class folders (`cat/`, `dog/`), or `train/` and optionally `val/` and `test/` (`training`,
            `valid`, `validation`, `testing` too, in any case), which contain class folders. Images in subfolders of a
            class folder belong to the class.
        chosen: the classes the study uses.

    Raises:
        DataError: unreadable, no class folders, a class folder without images, or as in `make_listing`.
    """
    found = _Found(str(root))
    folders, loose = _list_level(str(root))
    parts, levels = _name_parts(root, folders), list[tuple[Part, os.DirEntry[str]]]()
    found.places[_identify(str(root))] = None
    if parts[0][1] is not None:
        unused = [entry.name for entry in folders if entry.name.lower() not in PARTS]
        found.notes += [f"folders beside the train folder are not used: {format_paths(unused)}"] if unused else []
    for part, folder in parts:
        classes, loose_inside = (folders, loose) if folder is None else _list_level(folder.path)
        if part == "test" and not classes and loose_inside:
            found.notes.append(
                f"{show_text(folder.name if folder else '')} has {len(loose_inside):,} images and no class folders: "
                f"it is not used, and a fraction of the training images becomes the test split"
            )
            continue
        _check_level(folder.path if folder else str(root), classes, loose_inside, found)
        found.places[_identify(folder.path if folder else str(root))] = None
        levels += [(part, entry) for entry in classes]
    for part, entry in levels:
        _enter(entry.path, part, clean_class_name(entry.name), found)
    for part, entry in levels:
        _list_class(found, entry, part)
    if found.repeated:
        found.notes.append(f"links to folders listed elsewhere are not followed: {format_paths(found.repeated)}")
    if found.others:
        found.notes.append(_format_others(found.others))
    return make_listing(str(root), found.files, found.rejected, found.notes, chosen=chosen)


def _list_level(folder: str) -> tuple[list[os.DirEntry[str]], list[str]]:
    """Return the direct subfolders, sorted, and the names of the images in a folder."""
    folders, images = [], []
    for entry in _scan(folder):
        if _is_folder(entry):
            folders.append(entry)
        elif _is_image_name(entry.name):
            images.append(entry.name)
    return sorted(folders, key=lambda entry: entry.name), sorted(images)


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = (each for each in entries if not each.name.startswith(".") and each.name not in IGNORED_FOLDERS)
            return list(itertools.islice(visible, MAX_FILES + 1))
    except OSError as error:
        raise _refuse_folder(folder, error) from error


def _refuse_folder(folder: str, error: OSError) -> DataError:
    return ImagesNotFoundError(f"The folder {_shorten(folder)} cannot be read: {error.strerror or error}.")


def _shorten(path: str) -> str:
    """Return a path for a message, truncated if it is very long."""
    shown = show_text(path)
    return shown if len(shown) <= MAX_PATH_SHOWN else f"{shown[:MAX_PATH_SHOWN]}..."


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; False for a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIX_SET


def _name_parts(root: Path, folders: Sequence[os.DirEntry[str]]) -> list[tuple[Part, os.DirEntry[str] | None]]:
    """Return the folder of every part; None, for the root itself, if its folders are the classes."""
    found: dict[Part, os.DirEntry[str]] = {}
    for entry in folders:
        part = PARTS.get(entry.name.lower())
        if part is None:
            continue
        if part in found:
            raise FolderLayoutError(
                f"{show_text(root)} has two {part} folders, {found[part].name} and {entry.name}. Merge them."
            )
        found[part] = entry
    if not found:
        return [("train", None)]
    if "train" not in found:
        names = " and ".join(entry.name for entry in found.values())
        raise FolderLayoutError(
            f"{show_text(root)} has {names} but no train folder. Put the training classes below train, or, if "
            f"{names} is a class, give its folder another name."
        )
    order: tuple[Part, ...] = ("train", "validation", "test")
    return [(part, found[part]) for part in order if part in found]


def _check_level(folder: str, classes: Sequence[os.DirEntry[str]], loose: Sequence[str], found: _Found) -> None:
    where = show_text(folder)
    if not classes:
        held = f"it contains {len(loose):,} images directly" if loose else "it contains no folders"
        raise FolderLayoutError(
            f"{where} has no class folders: {held}. Put the images of each class into a separate folder."
        )
    if folder == found.root and len(classes) == 1:
        raise FolderLayoutError(
            f"{where} has only one class folder, {show_text(classes[0].name)}; two or more are needed. If the classes "
            f"are inside it, name that folder."
        )
    if loose:
        found.notes.append(f"{len(loose):,} images beside the class folders are left out: {format_paths(loose)}")


def _list_class(found: _Found, folder: os.DirEntry[str], part: Part) -> None:
    class_name = clean_class_name(folder.name)
    num_before = len(found.files) + len(found.rejected)
    for entry in _walk(folder.path, part, class_name, found):
        shown = _shorten_to_root(entry.path, found.root)
        try:
            if not entry.is_file():
                found.rejected.append(Rejected(shown, _explain_no_file(entry), part))
                continue
            status = stat_entry(entry)
        except OSError as error:
            found.rejected.append(Rejected(shown, error.strerror or "cannot be read", part))
            continue
        found.files.append(ImageFile(entry.path, shown, class_name, part, Stamp.of(entry.path, status)))
    if len(found.files) + len(found.rejected) == num_before and part == "train":
        raise FolderLayoutError(
            f"{show_text(folder.path)} has no images, but counts as a class. Add images, or move the folder elsewhere."
        )


def _shorten_to_root(path: str, root: str) -> str:
    """Return a path below the root relative to it, with `/` on every system: images are ordered by it.

    `relpath` takes a third of the time that listing takes.
    """
    start = root if root.endswith(os.sep) else root + os.sep
    shown = path[len(start) :] if path.startswith(start) else os.path.relpath(path, root)
    return shown.replace(os.sep, "/")


def _explain_no_file(entry: os.DirEntry[str]) -> str:
    return "broken link" if entry.is_symlink() else "not a file"


def _walk(folder: str, part: Part, class_name: str, found: _Found) -> Iterator[os.DirEntry[str]]:
    """Yield every image name at any depth; each folder once, even if several links lead to it."""
    waiting, links = [folder], list[str]()
    while waiting or links:
        for entry in _scan(waiting.pop()) if waiting else _follow(links.pop(), part, class_name, found):
            found.num_entries += 1
            if found.num_entries > MAX_FILES:
                raise FolderLayoutError(
                    f"{show_text(found.root)} contains more than {MAX_FILES:,} files. Name a smaller folder."
                )
            if not _is_folder(entry):
                if _is_image_name(entry.name):
                    yield entry
                else:
                    found.others[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1
            elif entry.is_symlink():
                # Links last, so that a folder that also lies below the root is listed under its own path.
                links.append(entry.path)
            elif _enter(entry.path, part, class_name, found):
                waiting.append(entry.path)
        links.sort(reverse=True)


def _follow(link: str, part: Part, class_name: str, found: _Found) -> list[os.DirEntry[str]]:
    """Return the content of the folder that a link leads to, unless it is listed elsewhere."""
    if _enter(link, part, class_name, found):
        return _scan(link)
    found.repeated.append(_shorten_to_root(link, found.root))
    return []


def _enter(folder: str, part: Part, class_name: str, found: _Found) -> bool:
    """Return whether a folder is visited for the first time.

    Raises:
        DataError: it belongs to another class or another part as well, or cannot be read.
    """
    identity = _identify(folder)
    if identity not in found.places:
        found.places[identity] = (part, class_name)
        return True
    owner = found.places[identity]
    if owner is not None and owner != (part, class_name):
        raise FolderLayoutError(
            f"{_shorten(folder)} leads to images that are listed as class '{owner[1]}' of the {owner[0]} part too: an "
            f"image has one class and is in one part. Remove one of the two links or folders."
        )
    return False


def _identify(folder: str) -> tuple[int, int]:
    """Return a folder's device and inode, which do not depend on the path by which it is reached."""
    try:
        status = os.stat(folder)
    except OSError as error:
        raise _refuse_folder(folder, error) from error
    return status.st_dev, status.st_ino


def _format_others(others: Counter[str]) -> str:
    counted = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{show_text(suffix)} {count:,}" for suffix, count in counted[:5])
    more = f" and {len(others) - 5} other kinds" if len(others) > 5 else ""
    return f"{others.total():,} files are not images and are left out: {kinds}{more}"
