"""A cohort's checkpoint: after every epoch, whole, so that an interruption does not change a digit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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
    write_whole(path, lambda temporary: torch.save(content, temporary))


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
