"""Locates a dataset's files: which folders are searched, in which order, for which layouts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bakeoff.data.registry import CifarLayout, DatasetRecord, EmbeddedLayout, EmnistLayout, IdxLayout, Split

DATA_VARIABLE = "BAKEOFF_DATA"
CACHE_VARIABLE = "BAKEOFF_CACHE"


@dataclass(frozen=True, kw_only=True)
class Located:
    """The files of one split of one dataset.

    Attributes:
        root: the data folder in which they were found; None for embedded images.
        files: images and labels (IDX), or the record files in order (CIFAR), or one archive (CIFAR, EMNIST).
        names_file: a text file of class names beside them, if any.
    """

    root: Path | None
    files: tuple[Path, ...]
    names_file: Path | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return all files that decoding reads."""
        return self.files if self.names_file is None else (*self.files, self.names_file)


def cache_folder() -> Path:
    """Return the folder for downloads and decoded images: `BAKEOFF_CACHE` or the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("bakeoff")


def download_folder(data_dir: Path | None) -> Path:
    """Return the folder for downloads: `data_dir` if given, else the cache."""
    return data_dir if data_dir is not None else cache_folder() / "downloads"


def search_folders(data_dir: Path | None) -> tuple[Path, ...]:
    """Return the data folders in search order: `data_dir`, `BAKEOFF_DATA`, the cache."""
    variable = os.environ.get(DATA_VARIABLE)
    folders = [data_dir, Path(variable).expanduser() if variable else None, download_folder(None)]
    return tuple(dict.fromkeys(folder for folder in folders if folder is not None))


def list_places(path: Path, data_dir: Path | None) -> tuple[Path, ...]:
    """Return where a folder or manifest is searched for: itself, or below the current folder and the data folders."""
    return (path,) if path.is_absolute() else (Path.cwd() / path, *(root / path for root in search_folders(data_dir)))


def find_home(record: DatasetRecord, data_dir: Path | None) -> Path | None:
    """Return the first data folder that holds the whole training split, or None. No file is opened.

    The test split is searched for in the same folder only: splits from two different sources must not be combined.
    """
    for root in search_folders(data_dir):
        if find_split(record, "train", root) is not None:
            return root
    return None


def find_pickled(record: DatasetRecord, data_dir: Path | None) -> Path | None:
    """Return a folder that holds the pickled version of the dataset, which bakeoff does not read, or None."""
    if not isinstance(record.layout, CifarLayout):
        return None
    folders = [root / record.layout.pickled_folder for root in search_folders(data_dir)]
    return next((folder for folder in folders if folder.is_dir()), None)


def find_split(record: DatasetRecord, split: Split, root: Path) -> Located | None:
    """Find the files of one split below one data folder, or return None when one is missing."""
    match record.layout:
        case EmbeddedLayout():
            return Located(root=None, files=())
        case IdxLayout() as layout:
            names = layout.train if split == "train" else layout.test
            return _find_idx(root, layout.folder, names)
        case EmnistLayout() as layout:
            return _find_emnist(layout, split, root)
        case CifarLayout() as layout:
            return _find_cifar(layout, split, root)


def _find_idx(root: Path, folder: str, names: tuple[str, str]) -> Located | None:
    """Find images and labels, raw or gzipped, in one folder."""
    files = []
    for name in names:
        candidates = (root / folder / name, root / folder / f"{name}.gz")
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            return None
        files.append(found)
    return Located(root=root, files=tuple(files))


def _find_emnist(layout: EmnistLayout, split: Split, root: Path) -> Located | None:
    for folder in layout.folders:
        located = _find_idx(root, folder, layout.name_files(split))
        if located is not None:
            return located
    archive = next((root / path for path in layout.archives if (root / path).is_file()), None)
    return None if archive is None else Located(root=root, files=(archive,))


def _find_cifar(layout: CifarLayout, split: Split, root: Path) -> Located | None:
    folder = root / layout.folder
    files = tuple(folder / name for name in (layout.train if split == "train" else layout.test))
    if all(path.is_file() for path in files):
        names_file = folder / layout.names_file if layout.names_file else None
        return Located(root=root, files=files, names_file=names_file if names_file and names_file.is_file() else None)
    archive = root / layout.archive
    return Located(root=root, files=(archive,)) if archive.is_file() else None
