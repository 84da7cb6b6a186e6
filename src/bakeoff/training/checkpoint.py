"""A cohort's checkpoint: after every epoch, whole, so that an interruption does not change a digit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bakeoff.errors import WorkspaceError
from bakeoff.training.folders import write_whole
from bakeoff.training.runner import Runner

_FORMAT = 1


def save_checkpoint(path: Path, epoch: int, runners: Sequence[Runner]) -> None:
    """Write all runners after `epoch`, ended ones included: their outcomes are reported again on resuming."""
    content = {
        "format": _FORMAT,
        "epoch": epoch,
        "members": {runner.member.trial_id: runner.pack() for runner in runners},
    }
    on_host = bring_to_host(content)
    write_whole(path, lambda temporary: torch.save(on_host, temporary))


def bring_to_host(content: Any) -> Any:
    """Return nested mappings and lists with their tensors in the host's memory, those of a device in one copy a type.

    Hundreds of small tensors copied one by one would each wait for the device.
    """
    found: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    _collect(content, found)
    copied: dict[int, Tensor] = {}
    for tensors in found.values():
        whole = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
        parts = torch.split(whole, [tensor.numel() for tensor in tensors])
        copied |= {id(tensor): part.view(tensor.shape) for tensor, part in zip(tensors, parts, strict=True)}
    return _exchange(content, copied) if copied else content


def _collect(content: Any, found: dict[tuple[torch.device, torch.dtype], list[Tensor]]) -> None:
    if isinstance(content, Tensor):
        if content.device.type != "cpu":
            found.setdefault((content.device, content.dtype), []).append(content)
    elif isinstance(content, dict | list | tuple):
        for value in content.values() if isinstance(content, dict) else content:
            _collect(value, found)


def _exchange(content: Any, copied: dict[int, Tensor]) -> Any:
    if isinstance(content, dict):
        return {name: _exchange(value, copied) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_exchange(value, copied) for value in content)
    return copied.get(id(content), content)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, or None where there is no checkpoint.

    Raises:
        WorkspaceError: if the file is damaged or of another format. Only tensors and plain values are ever loaded.
    """
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}")
    except Exception as error:
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise WorkspaceError(
            f"{path}: this checkpoint cannot be read ({reason}). Delete it to train its trials from the start."
        ) from error
    return content
