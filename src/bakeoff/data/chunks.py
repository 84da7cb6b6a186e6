"""The pixels of decoded images: one growing `.npy` file, whose finished chunks survive a kill."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bakeoff.data.cache import JOURNAL_FILE, PIXELS_FILE
from bakeoff.errors import TooFewImagesError

_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        reason: why it was left out; empty if its pixels were taken.
        original_HW: height and width before resizing, upright.
        lost_colour: whether it was converted to grayscale.
        has_frames: whether it contains more frames than the one used.
    """

    reason: str = ""
    original_HW: tuple[int, int] = (0, 0)
    lost_colour: bool = False
    has_frames: bool = False

    def dump(self) -> list[object]:
        """Return the fields in order; `astuple` takes longer than decoding a small image."""
        return [self.reason, self.original_HW, self.lost_colour, self.has_frames]


class PixelStore:
    """Takes images one after the other and keeps their pixels in `folder`, as one copy at every moment.

    While all images are grey, one channel is stored; the first coloured one makes all of them have three. What was
    committed before the process was killed is checked and taken over.

    Args:
        folder: may contain what an earlier process left.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._journal, self.path = folder / JOURNAL_FILE, folder / PIXELS_FILE
        self.outcomes: list[Outcome] = []
        self._shape_HWC: tuple[int, int, int] | None = None
        self._num_images = self._num_committed = 0
        self._hash = hashlib.sha256()
        self._stream = self.path.open("r+b" if self.path.exists() else "w+b")
        self._resume()

    def __enter__(self) -> PixelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def size_HW(self) -> tuple[int, int] | None:
        """Height and width of all images; None before the first."""
        return None if self._shape_HWC is None else self._shape_HWC[:2]

    def append(self, outcome: Outcome, pixels_HWC: npt.NDArray[np.uint8] | None) -> None:
        """Take the next file's outcome and, unless it was left out, its pixels; all images have one size."""
        self.outcomes.append(outcome)
        if pixels_HWC is None:
            return
        height, width, num_channels = pixels_HWC.shape
        if self._shape_HWC is None:
            self._shape_HWC = (height, width, num_channels)
            self._stream.write(_make_header(0, self._shape_HWC))
        if num_channels > self._shape_HWC[2]:
            self._widen((height, width, num_channels))
        elif num_channels < self._shape_HWC[2]:
            pixels_HWC = np.repeat(pixels_HWC, self._shape_HWC[2], axis=2)
        content = np.ascontiguousarray(pixels_HWC).data
        self._stream.write(content)
        self._hash.update(content)
        self._num_images += 1

    def commit(self) -> None:
        """Finish a chunk: a later process takes over all files up to here."""
        if self._num_committed == len(self.outcomes):
            return
        self._stream.flush()
        record = {
            "shape_HWC": self._shape_HWC,
            "sha256": self._hash.hexdigest(),
            "outcomes": [outcome.dump() for outcome in self.outcomes[self._num_committed :]],
        }
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(record) + "\n")
        self._num_committed, self._hash = len(self.outcomes), hashlib.sha256()

    def finish(self) -> npt.NDArray[np.uint8]:
        """Return all pixels as a read-only memory map.

        Raises:
            DataError: there are none.
        """
        if self._shape_HWC is None:
            raise TooFewImagesError("There are no images to write.")
        self.commit()
        self._stream.seek(0)
        self._stream.write(_make_header(self._num_images, self._shape_HWC))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        pixels: npt.NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return pixels

    def _widen(self, shape_HWC: tuple[int, int, int]) -> None:
        """Repeat the only channel of all images so far to three, in place and from the end, so that no copy is needed.

        If the process is killed meanwhile, the next one starts afresh.
        """
        self._journal.unlink(missing_ok=True)
        begin, factor = len(_make_header(0, shape_HWC)), shape_HWC[2]
        end = self._num_images * math.prod(shape_HWC[:2])
        while end:
            start = max(0, end - _BLOCK_BYTES)
            self._stream.seek(begin + start)
            block = np.frombuffer(self._stream.read(end - start), np.uint8)
            self._stream.seek(begin + factor * start)
            self._stream.write(np.repeat(block, factor).data)
            end = start
        self._shape_HWC, self._num_committed = shape_HWC, 0
        self._hash = self._hash_file(_locate(0, shape_HWC), _locate(self._num_images, shape_HWC))

    def _resume(self) -> None:
        """Take over the chunks of an earlier process that are intact, and drop what follows."""
        lines = self._journal.read_bytes().splitlines(keepends=True) if self._journal.is_file() else []
        num_intact = 0
        while num_intact < len(lines) and self._take_over(lines[num_intact]):
            num_intact += 1
        self._journal.write_bytes(b"".join(lines[:num_intact]))
        self._stream.seek(0 if self._shape_HWC is None else _locate(self._num_images, self._shape_HWC))
        self._stream.truncate()
        self._num_committed = len(self.outcomes)

    def _take_over(self, line: bytes) -> bool:
        """Take over one chunk; return whether it is complete and its pixels are as they were."""
        try:
            record = json.loads(line)
            outcomes = [Outcome(reason, tuple(size), *rest) for reason, size, *rest in record["outcomes"]]
            shape = None if record["shape_HWC"] is None else tuple(record["shape_HWC"])
            expected = record["sha256"]
        except (ValueError, KeyError, TypeError):
            return False
        num_images = self._num_images + sum(not outcome.reason for outcome in outcomes)
        if shape is not None:
            found = self._hash_file(_locate(self._num_images, shape), _locate(num_images, shape)).hexdigest()
            if found != expected:
                return False
        self._shape_HWC, self._num_images = shape, num_images
        self.outcomes += outcomes
        return True

    def _hash_file(self, start: int, end: int) -> hashlib._Hash:
        """Return the running SHA-256 of a part of the file; the stream is then at its end."""
        found = hashlib.sha256()
        self._stream.seek(start)
        while start < end and (block := self._stream.read(min(end - start, _BLOCK_BYTES))):
            found.update(block)
            start += len(block)
        return found


def _locate(number: int, shape_HWC: tuple[int, int, int]) -> int:
    """Return where in the file an image begins."""
    return len(_make_header(0, shape_HWC)) + number * math.prod(shape_HWC)


def _make_header(num_images: int, shape_HWC: tuple[int, int, int]) -> bytes:
    """Return the header of the file; NumPy leaves room in it, so its length does not depend on the number of images."""
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (num_images, *shape_HWC)}
    np.lib.format.write_array_header_1_0(header, facts)
    return header.getvalue()
