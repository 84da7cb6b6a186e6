"""A cohort's checkpoint: after every epoch, whole, so that an interruption does not change a digit.

A safetensors file: tensors, and beside them one JSON text that says where each belongs. Nothing is pickled. A checksum
over both tells a flipped bit from a trained weight.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bakeoff.errors import WorkspaceError
from bakeoff.training.folders import write_whole
from bakeoff.training.runner import Runner

_FORMAT = 2


class DamagedCheckpoint(WorkspaceError):
    """A checkpoint that is not what was written, or was written by another version."""


def save_checkpoint(path: Path, epoch: int, runners: Sequence[Runner]) -> None:
    """Write all runners after `epoch`, ended ones included: their outcomes are reported again on resuming."""
    members = {runner.member.trial_id: runner.pack() for runner in runners}
    tensors: list[torch.Tensor] = []
    text = json.dumps(_spell({"format": _FORMAT, "epoch": epoch, "members": members}, tensors))
    arrays = {str(number): _to_array(tensor) for number, tensor in enumerate(tensors)}
    metadata = {"content": text, "crc32": str(_check(text, arrays))}
    write_whole(path, lambda temporary: save_file(arrays, temporary, metadata))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, or None where there is no checkpoint.

    Raises:
        DamagedCheckpoint: the file is damaged, or of another format.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        text = metadata["content"]
        if _check(text, {name: _to_array(tensor) for name, tensor in tensors.items()}) != int(metadata["crc32"]):
            raise ValueError("its checksum is wrong")
        content: dict[str, Any] = _read(json.loads(text), tensors)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise DamagedCheckpoint(f"{path}: this checkpoint cannot be read ({reason}).") from error
    return content


def _spell(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Return a value as JSON has it; tensors are put aside, for their number."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, Mapping):
        return {"pairs": [[_spell(key, tensors), _spell(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_spell(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_spell(each, tensors) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(value).__name__}.")


def _read(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_read(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[str(content)]
    if kind == "tuple":
        return tuple(_read(each, tensors) for each in content)
    if kind == "pairs":
        return {_read(key, tensors): _read(each, tensors) for key, each in content}
    raise ValueError(f"unknown kind {kind}")


def _to_array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy()


def _check(text: str, arrays: Mapping[str, Any]) -> int:
    """Return the CRC-32 over the text and every array, in order."""
    checksum = zlib.crc32(text.encode())
    for number in range(len(arrays)):
        array = arrays[str(number)]
        checksum = zlib.crc32(f"{array.dtype}{array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.reshape(-1).view("uint8"), checksum)
    return checksum
