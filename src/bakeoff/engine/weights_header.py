"""Recognises weights files by their header, before anything is copied. No torch."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TrainedBy:
    """The trial that weights are of.

    Attributes:
        is_refit: whether its recipe was trained anew, on all training images, for them.
    """

    trial_id: str
    is_refit: bool = False


def read_training(path: Path) -> TrainedBy | None:
    """Return the trial whose weights a safetensors file holds, as it says itself; None if it does not say.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(_LONGEST_HEADER, path.stat().st_size) else b""
    try:
        record = json.loads(json.loads(header)["__metadata__"][METADATA_KEY])
        refit_of = record.get("refit_of")
        trial_id = record["trial_id"] if refit_of is None else refit_of
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    is_known = isinstance(trial_id, str) and trial_id.isalnum()
    return TrainedBy(trial_id, is_refit=refit_of is not None) if is_known else None


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
