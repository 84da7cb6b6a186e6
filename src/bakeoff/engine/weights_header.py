"""Recognises weights files by their header, before anything is copied. No torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from bakeoff.catalog.model_record import METADATA_KEY

_LEGACY_HEAD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The start of torch.save's legacy format: a pickled magic number."""

_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors' own limit."""


def is_weights_file(path: Path) -> bool:
    """Return whether a file starts like those of safetensors or torch.save. Its content is not checked.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(len(_LEGACY_HEAD))
        if head == _LEGACY_HEAD:
            return True
        if head[8:9] == b"{":
            stream.seek(0)
            length = int.from_bytes(stream.read(8), "little")
            return length <= min(_LONGEST_HEADER, path.stat().st_size) and _names_tensors(stream.read(length))
        return _is_torch_archive(path)


def read_trial_id(path: Path) -> str | None:
    """Return the trial whose weights a safetensors file holds, as it says itself; None if it does not say.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(_LONGEST_HEADER, path.stat().st_size) else b""
    try:
        trial_id = json.loads(json.loads(header)["__metadata__"][METADATA_KEY])["trial_id"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return trial_id if isinstance(trial_id, str) and trial_id.isalnum() else None


def _names_tensors(header: bytes) -> bool:
    try:
        content = json.loads(header)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    tensors = [value for key, value in content.items() if key != "__metadata__"]
    return all(isinstance(value, dict) and {"dtype", "shape", "data_offsets"} <= value.keys() for value in tensors)


def _is_torch_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
