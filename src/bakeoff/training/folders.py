"""Where a workspace keeps what trials leave on disk, and how it is written: whole or not at all. No torch."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bakeoff.errors import StorageError, WorkspaceError

_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG}
_LEAST_FREE_BYTES = 2**16


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

    @property
    def driver_lock(self) -> Path:
        """The file that a run locks to keep others out."""
        return self.root / "driver.lock"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints of cohorts that are not at their end."""
        return self.root / "cohorts"

    @property
    def trials(self) -> Path:
        """The folder of what trials leave, in folders `AB/ABC...`."""
        return self.root / "trials"

    def weights(self, trial_id: str) -> Path:
        """One trial's kept weights (safetensors)."""
        return self._trial(trial_id) / "weights.safetensors"

    def predictions(self, trial_id: str, split: str) -> Path:
        """One trial's class probabilities on the `validation` or `test` split, or on `train` where asked for (npz)."""
        return self._trial(trial_id) / f"{split}.npz"

    def checkpoint(self, cohort_id: str) -> Path:
        """One unfinished cohort's checkpoint."""
        return self.checkpoints / f"{cohort_id}.safetensors"

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
        """Read one trial's predictions on one split, or None where there are none, or damaged ones.

        Reports then go without them, as where none were kept; `doctor` names what is damaged.
        """
        path = self.predictions(trial_id, split)
        try:
            return load_predictions(path) if path.is_file() else None
        except WorkspaceError:
            return None

    def _trial(self, trial_id: str) -> Path:
        if not (
            trial_id.isascii() and trial_id.replace(" ", "").isalnum()
        ):  # out of a damaged ledger it could lead anywhere
            raise WorkspaceError(f"{self.root}: {trial_id[:60]!r} is no trial's id: the ledger is damaged.")
        return self.trials / trial_id[:2] / trial_id


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then rename: a kill leaves the old file or the new one.

    The file is on the disk, not in the system's memory, before it takes its name: a power cut leaves one of them too.

    Raises:
        StorageError: the disk is full, cannot be written, or fails.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _make_folder(path.parent)
        try:
            write(temporary)
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except Exception as error:  # torch and safetensors tell of a full disk in exceptions of their own
        reason = explain_storage(error, path.parent)
        if reason is None:
            raise
        raise StorageError(f"{path}: cannot be written: {reason}.") from error


def find_half_written(folder: Path, below: str = "") -> Iterator[Path]:
    """Yield what a killed process has left half written in a folder: by `write_whole`, and by safetensors itself.

    Args:
        folder: where to look.
        below: `**/` looks in all folders below it, too.
    """
    for pattern in ("*.part", ".tmp*"):
        yield from folder.glob(below + pattern)


def explain_storage(error: Exception, folder: Path) -> str | None:
    """Return what of the disk made writing to a folder fail, in words; None where it was something else."""
    if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
        return error.strerror or str(error)
    try:
        is_full = shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return None
    return os.strerror(errno.ENOSPC) if is_full else None


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it; each that is new is on the disk in the folder that holds it."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _flush(each.parent)


def _flush(path: Path) -> None:
    """Have the system write a file or a folder's entries to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows flushes folders itself, and opens none
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """Read what `save_predictions` wrote: `probabilities` (N, L) float32, `labels` and `indices` (N,) int64.

    Raises:
        WorkspaceError: the file is damaged, or another.
    """
    try:
        _check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("probabilities", "labels", "indices")}
        _check_predictions(found)
    except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WorkspaceError(f"{path}: these predictions cannot be read ({reason}).") from error
    return found


def _check_members(path: Path) -> None:
    """Refuse what unpacks to more than the file holds: NumPy packs predictions without compressing them."""
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than was written")


def _check_predictions(found: dict[str, npt.NDArray[Any]]) -> None:
    probabilities_NL, labels_N, indices_N = found["probabilities"], found["labels"], found["indices"]
    if probabilities_NL.dtype.kind != "f" or labels_N.dtype.kind != "i" or indices_N.dtype.kind != "i":
        raise ValueError("its arrays are of other kinds")
    if probabilities_NL.ndim != 2 or not probabilities_NL.shape[:1] == labels_N.shape == indices_N.shape:
        raise ValueError("its arrays are of other shapes")
    if labels_N.size and not 0 <= labels_N.min() <= labels_N.max() < probabilities_NL.shape[1]:
        raise ValueError("it holds labels of no class")
