"""Copies datasets of torchvision into image files, in a process of its own: only that process imports torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bakeoff.data.source import TORCHVISION, show_text
from bakeoff.errors import DownloadError, UnknownDatasetError, nearest

PartArguments: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Part (train, validation, test) -> the arguments that select it."""


def _split(*names: str, argument: str = "split") -> PartArguments:
    parts = {"trainval": "train", "valid": "validation", "val": "validation"}
    return {parts.get(name, name): {argument: name} for name in names}


DATASETS: Mapping[str, PartArguments] = {
    "Caltech101": {"train": {}},
    "Caltech256": {"train": {}},
    "Country211": _split("train", "valid", "test"),
    "DTD": _split("train", "val", "test"),
    "EuroSAT": {"train": {}},
    "FGVCAircraft": _split("train", "val", "test"),
    "Flowers102": _split("train", "val", "test"),
    "Food101": _split("train", "test"),
    "GTSRB": _split("train", "test"),
    "Imagenette": {"train": {"split": "train", "size": "320px"}, "test": {"split": "val", "size": "320px"}},
    "KMNIST": {"train": {"train": True}, "test": {"train": False}},
    "OxfordIIITPet": _split("trainval", "test"),
    "PCAM": _split("train", "val", "test"),
    "RenderedSST2": _split("train", "val", "test"),
    "SEMEION": {"train": {}},
    "STL10": _split("train", "test"),
    "SUN397": {"train": {}},
    "SVHN": _split("train", "test"),
    "USPS": {"train": {"train": True}, "test": {"train": False}},
}
"""The classification datasets of torchvision that it downloads and reads without unpickling, and their parts.

MNIST, Fashion-MNIST, EMNIST and CIFAR are registered datasets of bakeoff.
"""


def find_parts(name: str) -> PartArguments:
    """Return the parts of `torchvision:NAME` and the arguments that select them.

    Raises:
        DataError: not one of `DATASETS`; names the closest.
    """
    given = name.removeprefix(TORCHVISION)
    if given in DATASETS:
        return DATASETS[given]
    raise UnknownDatasetError(
        f"torchvision's dataset '{show_text(given)}' is not one that can be read.{nearest(given, tuple(DATASETS))} "
        f"Known: {', '.join(DATASETS)}."
    )


def import_from_torchvision(name: str, folder: Path) -> None:
    """Download a dataset with torchvision and write its images, losslessly, into a folder.

    Raises:
        DataError: unknown, not downloadable, or damaged; the reason is torchvision's.
        OSError: the folder cannot be written.
    """
    find_parts(name)
    command = [sys.executable, "-X", "utf8", "-m", "bakeoff.engine.torchvision_datasets", name, str(folder)]
    finished = subprocess.run(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    )
    if finished.returncode or not folder.is_dir():
        lines = finished.stderr.strip().splitlines() or ["no reason given"]
        raise DownloadError(f"{name} cannot be fetched: {show_text(lines[-1][:300])}")
