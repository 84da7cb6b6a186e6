"""Writes a dataset of torchvision as image files with a manifest: a program, `python -m ... NAME FOLDER`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from bakeoff.data.imported import ImportWriter
from bakeoff.data.source import TORCHVISION
from bakeoff.data.torchvision_datasets import find_parts
from bakeoff.engine.fused.vision import import_torchvision


def write_dataset(name: str, folder: Path) -> None:
    """Download a dataset and write all of its parts; the downloaded files are removed afterwards.

    Args:
        name: `torchvision:NAME`.
        folder: where images and manifest belong.

    Raises:
        DataError: an unknown name.
        RuntimeError, OSError: torchvision's reasons.
    """
    parts, torchvision = find_parts(name), import_torchvision()
    make = getattr(torchvision.datasets, name.removeprefix(TORCHVISION))
    downloads = folder.with_name(f"{folder.name}.downloads")
    origin = {"from": name, "revision": f"torchvision {torchvision.__version__}"}
    with ImportWriter(folder, origin) as writer:
        for part, arguments in parts.items():
            dataset = make(root=str(downloads), download=True, **arguments)
            for number in range(len(dataset)):
                image, label = dataset[number]
                writer.add(_encode(image), _name_class(dataset, label), part)
    shutil.rmtree(downloads, ignore_errors=True)


def _encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _name_class(dataset: Any, label: Any) -> str:
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    return str(names[label] if names else label)


def main(arguments: list[str]) -> int:
    """Write the dataset named by the arguments; print one line for an error, and return 1."""
    name, folder = arguments
    try:
        write_dataset(name, Path(folder))
    except Exception as error:  # torchvision raises many kinds; the caller shows the line
        print(" ".join(f"{type(error).__name__}: {error}".split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
