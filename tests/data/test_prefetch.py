from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data import prefetch
from bakeoff.data.prefetch import read_ahead


class Asked:
    """Records what a memory map is asked for."""

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes, self.ranges = num_bytes, list[tuple[int, int]]()

    def __len__(self) -> int:
        return self.num_bytes

    def madvise(self, _: int, start: int, length: int) -> None:
        assert start % mmap.PAGESIZE == 0
        assert start + length <= self.num_bytes
        self.ranges.append((start, start + length))


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="the system cannot be asked")
@pytest.mark.parametrize(("memory", "num_asked"), [(10_000_000, 0), (100_000, 3)])
def test_the_pages_of_the_next_images_are_asked_for(tmp_path: Path, monkeypatch, memory: int, num_asked: int) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, 60, 60, 1), dtype=np.uint8))
    pixels = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr(prefetch, "measure_memory", lambda: memory)
    read_ahead(pixels, np.array([0, 39]))  # the system's own answer: no error
    asked = Asked(len(pixels._mmap))
    monkeypatch.setattr(pixels, "_mmap", asked)
    read_ahead(pixels, np.array([0, 5, 39]))
    assert len(asked.ranges) == num_asked
    read_ahead(pixels[1:], np.array([0, 1]))
    assert len(asked.ranges) == num_asked, "a part of a map is left alone"
    for number, (start, end) in zip((0, 5, 39), asked.ranges, strict=False):
        assert start <= 128 + 3_600 * number
        assert end == 128 + 3_600 * (number + 1)


def test_what_is_in_memory_is_left_alone() -> None:
    read_ahead(np.zeros((3, 2)), np.array([0, 1]))
