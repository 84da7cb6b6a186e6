"""Reads CIFAR's binary version: fixed records of label bytes followed by 3,072 pixels (red, green, blue planes).

Format (https://www.cs.toronto.edu/~kriz/cifar.html): CIFAR-10 has one label byte; CIFAR-100 has two, coarse and fine.
Archives are read member by member: nothing is extracted and nothing is unpickled.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bakeoff.errors import DamagedDatasetError, DataError

NUM_PIXELS = 3 * 32 * 32
MAX_NAMES_BYTES = 100_000
MAX_UNPACKED_BYTES = 256 * 2**20
"""Maximum unpacked size of an archive, including headers and skipped members; CIFAR's archives have 177 MiB."""

MAX_MEMBERS = 1_000

_REMEDY = "Replace it with the publisher's file, or remove it to download it again."


def read_folder(paths: Sequence[Path], num_bytes: int) -> list[bytes]:
    """Read extracted files whole.

    Args:
        paths: the files, in order.
        num_bytes: the size every file must have; checked before reading.

    Raises:
        DataError: a file is unreadable or has another size.
    """
    return [_read_file(path, num_bytes) for path in paths]


def _read_file(path: Path, num_bytes: int) -> bytes:
    try:
        _check_size(str(path), path.stat().st_size, num_bytes)
        return path.read_bytes()
    except OSError as error:
        raise DamagedDatasetError(f"{path} cannot be read: {error}. {_REMEDY}") from error


def read_archive(
    path: Path, members: Sequence[str], num_bytes: int, text_members: Iterable[str] = ()
) -> Mapping[str, bytes]:
    """Read some members of a `.tar.gz` in one pass, skipping the others.

    Args:
        path: the archive.
        members: names inside the archive, folder included, that must be there.
        num_bytes: the size each of `members` must have; checked before reading.
        text_members: names that are read if present, up to 100,000 bytes each.

    Returns:
        Content by member name.

    Raises:
        DataError: the archive is damaged, or a member is missing or has another size.
    """
    sizes: dict[str, int | None] = {**dict.fromkeys(text_members), **dict.fromkeys(members, num_bytes)}
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=cast(Any, _Limited(stream)), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise tarfile.ReadError(f"it has more than {MAX_MEMBERS:,} members")
                name = str(PurePosixPath(member.name))
                if name in sizes and name not in found:
                    found[name] = _read_member(path, archive, member, sizes[name])
                if len(found) == len(sizes):
                    break
    except DataError:
        raise
    # On damaged files tarfile raises ValueError, IndexError, struct.error and others.
    except Exception as error:
        raise DamagedDatasetError(f"{path} is truncated or damaged: {error}. {_REMEDY}") from error
    for name in members:
        if name not in found:
            raise DamagedDatasetError(f"{path} has no member {name}. {_REMEDY}")
    return found


class _Limited:
    """A stream that raises after `MAX_UNPACKED_BYTES`, because a small archive can unpack to any size.

    Args:
        stream: the stream to read from.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED_BYTES

    def read(self, num_bytes: int) -> bytes:
        """Return the next bytes."""
        if num_bytes > self._left:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
        content = self._stream.read(num_bytes)
        self._left -= len(content)
        return content


def _read_member(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, num_bytes: int | None) -> bytes:
    stream = archive.extractfile(member) if member.isfile() else None
    if stream is None:
        raise DamagedDatasetError(f"{path}: member {member.name} is not a regular file. {_REMEDY}")
    if num_bytes is not None:
        _check_size(f"{path}: member {member.name}", member.size, num_bytes)
    elif member.size > MAX_NAMES_BYTES:
        raise DamagedDatasetError(
            f"{path}: member {member.name} is {member.size:,} bytes, too large for class names. {_REMEDY}"
        )
    return stream.read()


def _check_size(what: str, found: int, expected: int) -> None:
    if found != expected:
        state = "truncated" if found < expected else "too long"
        raise DamagedDatasetError(f"{what} is {state}: it has {found:,} bytes, expected {expected:,}. {_REMEDY}")


def read_text(path: Path) -> bytes:
    """Read a short text file whole.

    Raises:
        DataError: unreadable, or over 100,000 bytes.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_NAMES_BYTES + 1)
    except OSError as error:
        raise DamagedDatasetError(f"{path} cannot be read: {error}. {_REMEDY}") from error
    if len(content) > MAX_NAMES_BYTES:
        raise DamagedDatasetError(f"{path} is too large for class names. {_REMEDY}")
    return content


def decode_records(
    contents: Sequence[bytes], num_label_bytes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Turn records into images and labels.

    Args:
        contents: whole files of records, in order.
        num_label_bytes: label bytes before the pixels; the last one is the label.

    Returns:
        Pixels [n, 32, 32, 3] (contiguous) and labels [n].
    """
    flat = np.concatenate([np.frombuffer(content, dtype=np.uint8) for content in contents])
    records = flat.reshape(-1, num_label_bytes + NUM_PIXELS)
    planes_NCHW = records[:, num_label_bytes:].reshape(-1, 3, 32, 32)
    pixels_NHWC = np.ascontiguousarray(planes_NCHW.transpose(0, 2, 3, 1))
    return pixels_NHWC, records[:, num_label_bytes - 1].astype(np.int64)


def parse_class_names(content: bytes, where: str, num_classes: int) -> tuple[str, ...]:
    """Read one class name per line.

    Raises:
        DataError: not UTF-8 text, or another number of names.
    """
    try:
        found = tuple(line.strip() for line in content.decode("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise DamagedDatasetError(f"{where} is not text: {error}. {_REMEDY}") from error
    if len(found) != num_classes or len(set(found)) != num_classes:
        raise DamagedDatasetError(
            f"{where} has {len(set(found))} different class names; {num_classes} are expected. {_REMEDY}"
        )
    return found
