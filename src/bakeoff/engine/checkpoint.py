"""A cohort's checkpoint, written completely after every epoch, so that an interruption does not change a digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bakeoff.engine.checkpoint_file import explain_damage, read_file, write_file
from bakeoff.engine.member_trainer import MemberTrainer

_FORMAT = 2


def save_checkpoint(path: Path, epoch: int, runners: Sequence[MemberTrainer]) -> None:
    """Save all runners after `epoch`, including ended ones: their outcomes are reported again on resume."""
    tensors: list[Tensor] = []
    members = {runner.member.trial_id: _encode(runner.pack(), tensors) for runner in runners}
    arrays = {str(number): tensor.numpy() for number, tensor in enumerate(copy_to_host(tensors))}
    write_file(path, {"format": _FORMAT, "epoch": epoch, "members": members}, arrays)


def copy_to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return contiguous tensors in host memory; a device's tensors are copied in one transfer per dtype.

    Copying hundreds of small tensors one by one would synchronize with the device for each.
    """
    found: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for number, tensor in enumerate(tensors):
        found.setdefault((tensor.device, tensor.dtype), []).append(number)
    on_host = [tensor.detach() for tensor in tensors]
    for (device, _), numbers in found.items():
        if device.type != "cpu":
            whole = torch.cat([tensors[number].detach().reshape(-1) for number in numbers]).cpu()
            parts = torch.split(whole, [tensors[number].numel() for number in numbers])
            for number, part in zip(numbers, parts, strict=True):
                on_host[number] = part.view(tensors[number].shape)
    return [tensor.contiguous() for tensor in on_host]


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, or None if there is no checkpoint.

    Raises:
        DamagedCheckpoint: the file is damaged or has another format.
        StorageError: it cannot be read.
    """
    try:
        content, arrays = read_file(path)
    except FileNotFoundError:
        return None
    try:
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        members = {trial_id: _read(packed, tensors) for trial_id, packed in content["members"].items()}
        return {"epoch": int(content["epoch"]), "members": members}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise explain_damage(path, error) from error


def _encode(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Return a value in JSON form; tensors are collected in a list and replaced by their index."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, Mapping):
        return {"pairs": [[_encode(key, tensors), _encode(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encode(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_encode(each, tensors) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a checkpoint can store tensors and plain values, not {type(value).__name__}.")


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
