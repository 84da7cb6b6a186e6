"""The checkpoint file format: arrays and one JSON text, with a common checksum. No torch.

It is a safetensors file. Nothing is pickled. The checksum over both parts detects flipped bits.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from bakeoff.errors import LostFileError
from bakeoff.workspace import read_whole, write_whole

Arrays = Mapping[str, npt.NDArray[Any]]


class DamagedCheckpoint(LostFileError):
    """A checkpoint that is damaged, or was written by another version."""


def write_file(path: Path, content: Any, arrays: Arrays) -> None:
    """Write arrays, named "0", "1" and so on, and a JSON value."""
    text = json.dumps(content)
    metadata = {"content": text, "crc32": str(_check(text, arrays))}
    write_whole(path, lambda temporary: save_file(dict(arrays), temporary, metadata))


def read_file(path: Path) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """Return the JSON value and the arrays of a checkpoint.

    Raises:
        DamagedCheckpoint: the file is damaged.
        StorageError: the file cannot be read, which says nothing about its content.
        FileNotFoundError: there is no such file.
    """
    try:
        whole = read_whole(path)
        arrays = {name: np.array(array) for name, array in load(whole).items()}  # copies, to be writable
        metadata = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]
        if _check(metadata["content"], arrays) != int(metadata["crc32"]):
            raise ValueError("its checksum is wrong")
        return json.loads(metadata["content"]), arrays
    except (
        IsADirectoryError,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise explain_damage(path, error) from error


def explain_damage(path: Path, error: Exception) -> DamagedCheckpoint:
    """Return the error that says why a checkpoint cannot be used."""
    reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    return DamagedCheckpoint(f"{path}: this checkpoint cannot be read ({reason}).")


def _check(text: str, arrays: Arrays) -> int:
    """Return the CRC-32 over the text and every array, in order."""
    checksum = zlib.crc32(text.encode())
    for number in range(len(arrays)):
        array = arrays[str(number)]
        checksum = zlib.crc32(f"{array.dtype}{array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, checksum)
    return checksum
