"""Datasets from elsewhere: copied once into a folder of image files with a manifest, then read like any manifest.

`hf:OWNER/NAME[:CONFIG][@REVISION]` is a dataset of the Hugging Face hub, `torchvision:NAME` one of
`torchvision.datasets`. The copy lies in a data folder, below `imported/`; it is complete or absent.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from bakeoff.data.locate import download_folder, search_folders
from bakeoff.data.source import HUB, TORCHVISION, show_text
from bakeoff.errors import ImageCacheError
from bakeoff.system import rename

MANIFEST_FILE = "manifest.csv"
_ORIGIN_FILE = "origin.json"
_FILES_PER_FOLDER = 5_000
_SUFFIXES = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8", ".jpg"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"BM", ".bmp"),
)


class ImportWriter:
    """Writes images and their manifest into a folder, which appears only when all of them are written.

    Args:
        folder: where the dataset belongs.
        origin: where the images come from, kept beside them.
    """

    def __init__(self, folder: Path, origin: dict[str, str]) -> None:
        self._folder, self._origin, self._num_images = folder, dict(origin), 0
        self._temporary = folder.with_name(f"{folder.name}.part-{os.getpid()}")

    def __enter__(self) -> ImportWriter:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        self._table = (self._temporary / MANIFEST_FILE).open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._table)
        self._rows.writerow(("path", "label", "split"))
        return self

    def add(self, content: bytes, label: str, part: str) -> None:
        """Write one image file.

        Args:
            content: the bytes of an image file of any common format.
            label: its class.
            part: train, validation or test.
        """
        suffix = next((suffix for start, suffix in _SUFFIXES if content.startswith(start)), ".img")
        path = Path("images", f"{self._num_images // _FILES_PER_FOLDER:03}", f"{self._num_images:07}{suffix}")
        (self._temporary / path).parent.mkdir(parents=True, exist_ok=True)
        (self._temporary / path).write_bytes(content)
        self._rows.writerow((path.as_posix(), label, part))
        self._num_images += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        try:
            if error is None:
                (self._temporary / _ORIGIN_FILE).write_text(json.dumps(self._origin, indent=1), encoding="utf-8")
                rename(self._temporary, self._folder)
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)


def find_imported(name: str, data_dir: Path | None) -> Path | None:
    """Return the manifest of a dataset that has been copied to this machine; None if it has not."""
    places = (_name_folder(name, root) / MANIFEST_FILE for root in search_folders(data_dir))
    return next((place for place in places if place.is_file()), None)


def obtain_imported(name: str, data_dir: Path | None) -> tuple[Path, bool]:
    """Find a dataset from elsewhere, or download and copy it.

    Args:
        name: `hf:OWNER/NAME...` or `torchvision:NAME`.
        data_dir: searched first, and the target of downloads; None: the cache.

    Returns:
        Its manifest, and whether it was downloaded now.

    Raises:
        DataError: not found or not downloadable, not images with labels, or the folder cannot be written.
    """
    from filelock import FileLock  # imported late: only downloads need it

    found = find_imported(name, data_dir)
    if found is not None:
        return found, False
    folder = _name_folder(name, download_folder(data_dir))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _choose_importer(name)(name, folder)
    except OSError as error:
        raise ImageCacheError(f"{name}: cannot be written to {folder.parent}: {error}. Choose --data-dir.") from error
    return folder / MANIFEST_FILE, True


def read_origin(manifest: Path) -> dict[str, str]:
    """Return where an imported dataset comes from: `from`, and `revision` for the hub; empty for other manifests."""
    try:
        origin: Any = json.loads((manifest.parent / _ORIGIN_FILE).read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in origin.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _choose_importer(name: str) -> Callable[[str, Path], None]:
    if name.startswith(HUB):
        from bakeoff.data.hub import import_from_hub

        return import_from_hub
    from bakeoff.data.torchvision_datasets import import_from_torchvision

    assert name.startswith(TORCHVISION), name
    return import_from_torchvision


def _name_folder(name: str, root: Path) -> Path:
    return root / "imported" / re.sub(r"[^A-Za-z0-9._@-]+", "-", show_text(name))
