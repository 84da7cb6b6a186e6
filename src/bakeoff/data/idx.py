"""Reads the IDX format of MNIST, Fashion-MNIST and EMNIST: raw, gzipped, or gzipped inside a zip archive.

Format (http://yann.lecun.com/exdb/mnist): two zero bytes, a type code (8 is unsigned byte), the number of dimensions,
every dimension as a big-endian 32-bit integer, then the values, last dimension fastest.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from bakeoff.errors import DamagedDatasetError, DataError

UNSIGNED_BYTE = 8


def read_idx(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; a name that ends in `.gz` is decompressed while read.
        shape: the dimensions the file must have. Checked before the values are read, so that a malicious header or
            a gzip bomb costs no memory.

    Returns:
        The values, shape `shape`.

    Raises:
        DataError: unreadable, not IDX, other dimensions, too short, or too long.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            _check_header(stream, str(path), shape)
            return _read_values(stream, str(path), shape)
    except EOFError as error:
        raise DamagedDatasetError(f"{path} is truncated: the gzip stream ends early. {_REMEDY}") from error
    except (OSError, zlib.error) as error:
        raise DamagedDatasetError(f"{path} cannot be read: {error}. {_REMEDY}") from error


def read_zipped_idx(archive: Path, member: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file from inside a zip archive; the other members are neither read nor extracted.

    Args:
        archive: the zip archive.
        member: name inside it, folder included.
        shape: as in `read_idx`.

    Raises:
        DataError: the archive is damaged or has no such member, or as in `read_idx`.
    """
    where = f"{archive}: member {member}"
    try:
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(member)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DamagedDatasetError(f"{where} is compressed differently from the publisher's. {_REMEDY}")
            with opened.open(member) as packed, gzip.GzipFile(fileobj=packed) as stream:
                _check_header(stream, where, shape)
                return _read_values(stream, where, shape)
    except DataError:
        raise
    except KeyError as error:
        raise DamagedDatasetError(f"{archive} has no member {member}. {_REMEDY}") from error
    # On damaged files zipfile raises ValueError, struct.error, NotImplementedError and others.
    except Exception as error:
        raise DamagedDatasetError(f"{where} is truncated or damaged: {error}. {_REMEDY}") from error


_REMEDY = "Replace it with the publisher's file, or remove it to download it again."


def _check_header(stream: BinaryIO | gzip.GzipFile, path: str, shape: tuple[int, ...]) -> None:
    magic = stream.read(4)
    if len(magic) < 4:
        raise DamagedDatasetError(f"{path} is truncated: it ends within the IDX header. {_REMEDY}")
    expected = bytes([0, 0, UNSIGNED_BYTE, len(shape)])
    if magic != expected:
        raise DamagedDatasetError(
            f"{path} is not an IDX file of {len(shape)} dimensions: "
            f"it begins with {magic.hex()}, not {expected.hex()}. {_REMEDY}"
        )
    packed = stream.read(4 * len(shape))
    if len(packed) < 4 * len(shape):
        raise DamagedDatasetError(f"{path} is truncated: it ends within the IDX header. {_REMEDY}")
    found = struct.unpack(f">{len(shape)}I", packed)
    if found != shape:
        raise DamagedDatasetError(
            f"{path} has {_format_shape(found)} values, expected {_format_shape(shape)}. {_REMEDY}"
        )


def _read_values(stream: BinaryIO | gzip.GzipFile, path: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    num_values = int(np.prod(shape))
    values = stream.read(num_values)
    if len(values) < num_values:
        raise DamagedDatasetError(
            f"{path} is truncated: it has {len(values):,} of the {num_values:,} values its header states. {_REMEDY}"
        )
    # Reading past the end also makes gzip check its own checksum.
    if stream.read(1):
        raise DamagedDatasetError(
            f"{path} is too long: it has more than the {num_values:,} values its header states. {_REMEDY}"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)
