"""Where a workspace keeps what trials leave on disk, and how it is written: whole or not at all. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Folders:
    """The layout of a workspace. Every path is relative to `root`, so a workspace can be moved.

    Attributes:
        root: the workspace's folder.
    """

    root: Path

    @property
    def ledger(self) -> Path:
        """The ledger's database file."""
        return self.root / "ledger.sqlite"

    def weights(self, trial_id: str) -> Path:
        """One trial's kept weights (safetensors)."""
        return self._trial(trial_id) / "weights.safetensors"

    def predictions(self, trial_id: str, split: str) -> Path:
        """One trial's class probabilities on the `validation` or `test` split (npz)."""
        return self._trial(trial_id) / f"{split}.npz"

    def checkpoint(self, cohort_id: str) -> Path:
        """One unfinished cohort's checkpoint."""
        return self.root / "cohorts" / f"{cohort_id}.pt"

    def copied_weights(self, sha256: str, suffix: str) -> Path:
        """The workspace's own copy of a file of weights that trials start from, by the hash of its content."""
        return self.root / "weights" / f"{sha256}{suffix}"

    def find_copied_weights(self, sha256: str) -> Path | None:
        """Return the copy of the file with this hash, or None where there is none."""
        copies = sorted((self.root / "weights").glob(f"{sha256}*"))
        return next((path for path in copies if path.suffix != ".part"), None)

    def pictures(self, key: str) -> Path:
        """Pictures kept for reports, by a hash of which they are (npz)."""
        return self.root / "pictures" / f"{key}.npz"

    def reports(self, study_name: str) -> Path:
        """One study's reports. A name is reduced to letters, digits, '.', '_' and '-', so it stays inside."""
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in study_name).lstrip(".")
        return self.root / "reports" / (safe or "study")

    def load_predictions(self, trial_id: str, split: str) -> dict[str, npt.NDArray[Any]] | None:
        """Read one trial's predictions on one split, or None where there are none."""
        path = self.predictions(trial_id, split)
        return load_predictions(path) if path.is_file() else None

    def _trial(self, trial_id: str) -> Path:
        return self.root / "trials" / trial_id[:2] / trial_id


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then rename: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_predictions(
    path: Path,
    probabilities_NL: npt.NDArray[np.float32],
    labels_N: npt.NDArray[np.int64],
    indices_N: npt.NDArray[np.int64],
) -> None:
    """Write one trial's predictions on one split, with true labels and the images' numbers in their source split."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, probabilities=probabilities_NL, labels=labels_N, indices=indices_N)

    write_whole(path, write)


def load_predictions(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_predictions` wrote: `probabilities` (N, L) float32, `labels` and `indices` (N,) int64."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ("probabilities", "labels", "indices")}
