"""CIFAR-10 for all contenders: the real images if they are found, else random ones with the same shape."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bakeoff.data.locate import CACHE_VARIABLE, find_home
from bakeoff.data.registry import find_dataset
from bakeoff.data.store import open_training


def prepare_images(data_dir: Path | None, folder: Path) -> tuple[str, dict[str, Any]]:
    """Store the training images so that every contender can read them.

    Args:
        data_dir: searched first. Nothing is downloaded.
        folder: for temporary files.

    Returns:
        A description of the images, and the part of a job with their paths.
    """
    home = find_home(find_dataset("cifar10"), data_dir)
    if home is None and data_dir is not None:
        raise SystemExit(f"{data_dir} has no CIFAR-10 (cifar-10-batches-bin or cifar-10-binary.tar.gz)")
    words = "CIFAR-10" if home else "random images of CIFAR-10's shape (no CIFAR-10 was found)"
    if home is None:
        home = write_random(folder)
    # Random images and the subsets of a benchmark must not stay in the user's cache.
    os.environ[CACHE_VARIABLE] = str(folder / "cache")
    images = open_training("cifar10", home)
    np.save(folder / "pixels.npy", images.pixels)
    np.save(folder / "labels.npy", images.labels)
    return words, {
        "pixels": str(folder / "pixels.npy"),
        "labels": str(folder / "labels.npy"),
        "data_dir": str(home.absolute()),
    }


def enlarge_images(job: Mapping[str, Any], side: int, count: int, folder: Path) -> dict[str, Any]:
    """Store the first images enlarged, for all contenders: as an array, and as a folder of PNG files for bakeoff.

    Returns:
        The part of a job with their paths.
    """
    pixels, labels = np.load(job["pixels"], mmap_mode="r")[:count], np.load(job["labels"])[:count]
    pictures = [Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR) for image in pixels]
    target = folder / f"enlarged-{side}"
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (target / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        picture.save(target / "images" / str(label) / f"{number}.png", compress_level=1)
    np.save(target / "pixels.npy", np.stack([np.asarray(picture) for picture in pictures]))
    np.save(target / "labels.npy", labels)
    return {
        "pixels": str(target / "pixels.npy"),
        "labels": str(target / "labels.npy"),
        "folder": str(target / "images"),
    }


def write_random(folder: Path) -> Path:
    """Write random records in the layout of CIFAR-10's binary version; return the data folder."""
    rng = np.random.default_rng(0)
    target = folder / "random" / "cifar-10-batches-bin"
    target.mkdir(parents=True)
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        records = rng.integers(0, 256, (10_000, 3_073), dtype=np.uint8)
        records[:, 0] %= 10
        (target / name).write_bytes(records.tobytes())
    return target.parent
