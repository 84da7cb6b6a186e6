from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bakeoff.data.idx import read_idx
from bakeoff.errors import DataError

VALUES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


@pytest.fixture(params=["raw", "gz"])
def write(request, tmp_path: Path):
    def write(content: bytes) -> Path:
        path = tmp_path / ("images" if request.param == "raw" else "images.gz")
        path.write_bytes(content if request.param == "raw" else gzip.compress(content))
        return path

    return write


def test_reads_values_in_order(write, idx) -> None:
    np.testing.assert_array_equal(read_idx(write(idx(VALUES)), (5, 4, 3)), VALUES)


def test_reads_a_file_spelled_out_byte_by_byte(write) -> None:
    content = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])
    np.testing.assert_array_equal(read_idx(write(content), (3,)), [7, 8, 9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-7], r"images(\.gz)? is truncated: it has 53 of the 60 values its header states"),
        (lambda content: content[:9], "truncated: it ends within the IDX header"),
        (lambda content: b"", "truncated: it ends within the IDX header"),
        (lambda content: content + b"x", "too long: it has more than the 60"),
        (lambda content: b"\x89PNG" + content[4:], "not an IDX file of 3 dimensions: it begins with 89504e47"),
        (lambda content: bytes([0, 0, 13, 3]) + content[4:], "begins with 00000d03, not 00000803"),
        (
            lambda content: content[:4] + struct.pack(">3I", 6, 4, 3) + content[16:],
            "has 6 x 4 x 3 values, expected 5 x",
        ),
    ],
)
def test_a_damaged_file_gets_one_clear_line(write, idx, change, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_idx(write(change(idx(VALUES))), (5, 4, 3))
    assert "\n" not in str(caught.value)
    assert "publisher's file" in str(caught.value)


def test_a_truncated_gzip_stream_is_named(tmp_path: Path, idx) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(VALUES))[:-20])
    with pytest.raises(DataError, match="truncated: the gzip stream ends early"):
        read_idx(path, (5, 4, 3))


def test_a_changed_gzip_stream_is_caught(tmp_path: Path, idx) -> None:
    content = bytearray(gzip.compress(idx(VALUES)))
    content[-8] ^= 1
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read: CRC check failed"):
        read_idx(path, (5, 4, 3))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere cannot be read"):
        read_idx(tmp_path / "nowhere", (5,))


def test_a_gzip_bomb_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**32 - 1) + bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"has 4,294,967,295 values, expected 5"):
        read_idx(path, (5,))
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
