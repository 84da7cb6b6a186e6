"""Reads images ahead that are larger than the memory: a batch is loaded from disk while the one before it trains."""

from __future__ import annotations

import functools
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from bakeoff import system
from bakeoff.cgroups import read_memory_limit

LARGE_SHARE = 0.5
"""Arrays above this fraction of the memory are read ahead; smaller ones stay in memory once they were read."""


def read_ahead(pixels: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> None:
    """Ask the system to load rows of a large memory map, and return at once.

    Otherwise every access to an image waits for the disk, and the system reads megabytes around it. Does nothing for
    arrays that fit into memory, or where the system cannot be asked (Windows).

    Args:
        pixels: the array; anything but a memory map of a whole file is left alone.
        numbers: the rows that will be read next.
    """
    mapped = getattr(pixels, "_mmap", None)
    if mapped is None or pixels.nbytes < LARGE_SHARE * measure_memory():
        return
    begin = len(mapped) - pixels.nbytes
    if begin != getattr(pixels, "offset", 0) % mmap.ALLOCATIONGRANULARITY:
        return  # a part of a map
    row_bytes = pixels.nbytes // len(pixels)
    for number in numbers.tolist():
        system.read_ahead(mapped, begin + number * row_bytes, row_bytes)


@functools.cache
def measure_memory() -> int:
    """Return the memory in bytes that this process may use."""
    total = int(psutil.virtual_memory().total)
    return min(total, read_memory_limit() or total)
