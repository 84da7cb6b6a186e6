"""What is known of a folder before it is decoded, by a few of its training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.peek import peek
from bakeoff.data.source import DataSource


def write(folder: Path, size: tuple[int, int] = (5, 7), channels: int = 1) -> None:
    for part, number in (("train", 6), ("val", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                pixels = np.random.default_rng(index).integers(0, 256, (*size, channels), dtype=np.uint8)
                Image.fromarray(pixels.squeeze()).save(folder / part / name / f"{index}.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_counts_and_shape(tmp_path: Path, channels: int) -> None:
    write(tmp_path, channels=channels)
    found = peek(DataSource(folder=str(tmp_path)))
    assert (found.class_names, found.class_counts, found.num_own_validation) == (("cat", "dog"), (8, 8), 4)
    assert found.shape_HWC == (5, 7, channels)
    assert peek(DataSource(folder=str(tmp_path), image_size=4)).shape_HWC == (4, 4, channels)


def test_no_test_image_is_opened(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    assert peek(DataSource(folder=str(tmp_path))).shape_HWC == (5, 7, 1)


def test_sizes_that_differ_are_not_known(tmp_path: Path) -> None:
    write(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "train/cat/0.png")
    assert peek(DataSource(folder=str(tmp_path))).shape_HWC is None
