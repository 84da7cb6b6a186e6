"""Where a workspace keeps what trials leave on disk, and how it is written: whole or not at all. No torch."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
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
_MARKER_TEXT = """\
This folder is a workspace of bakeoff: a ledger of trials, and beside it what they left. `bakeoff gc` frees what nothing
refers to any more; it touches only files that bakeoff has made, so others are safe here.
"""

SHORT_ID_CHARACTERS = 8
"""Of a study's id: enough to tell those of a workspace apart."""

HASH = r"[0-9a-f]{16,64}"
"""Pattern of what trials, cohorts and files kept by their content are called."""

TRIAL_FILE = r"weights\.safetensors|[a-z][a-z_-]*\.npz"
"""Pattern of the files that a trial leaves in its folder."""

_HALF_WRITTEN = re.compile(
    rf"(?:{TRIAL_FILE}|{HASH}(?:\.\w+)?|verdict\.md|report\.html)\.\d+\.part|\.tmp[A-Za-z0-9]{{6}}"
)
"""What `write_whole` and, within it, safetensors call a file that is not whole yet."""


@dataclass(frozen=True)
class Folders:
    """The layout of a workspace. Every path is relative to `root`, so a workspace can be moved.

    Attributes:
        root: the workspace's folder.
    """

    root: Path

    @property
    def marker(self) -> Path:
        """The file that says what this folder is."""
        return self.root / "bakeoff-workspace.txt"

    def mark(self) -> None:
        """Say in the folder what it is, where that is not said yet."""
        if not self.marker.exists():
            write_whole(self.marker, lambda temporary: temporary.write_text(_MARKER_TEXT, encoding="utf-8"))

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
        """One trial's class probabilities on `validation`, `test`, `held-out`, or `train` where asked for (npz)."""
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

    def reports(self, study_name: str, study_id: str) -> Path:
        """One study's reports: a folder of its own, for several may share a name, or one that is reduced to the same.

        A name is reduced to letters, digits, '.', '_' and '-', so it stays inside.
        """
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in study_name).lstrip(".")
        return self.root / "reports" / f"{safe or 'study'}-{study_id[:SHORT_ID_CHARACTERS]}"

    def load_predictions(self, trial_id: str, split: str) -> dict[str, npt.NDArray[Any]] | None:
        """Read one trial's predictions on one split, or None where there are none, or damaged ones.

        Reports then go without them, as where none were kept; `doctor` names what is damaged.

        Raises:
            StorageError: they are there and cannot be read: a report without them would not say what the trials show.
        """
        try:
            return load_predictions(self.predictions(trial_id, split))
        except StorageError:
            raise
        except WorkspaceError:
            return None

    def _trial(self, trial_id: str) -> Path:
        if not (
            trial_id.isascii() and trial_id.replace(" ", "").isalnum()
        ):  # out of a damaged ledger it could lead anywhere
            raise WorkspaceError(f"{self.root}: {trial_id[:60]!r} is no trial's id: the ledger is damaged.")
        return self.trials / trial_id[:2] / trial_id


def check_workspace(workspace: str | Path) -> Path:
    """Return the path of a workspace that somebody has named; it need not exist.

    Raises:
        WorkspaceError: it is empty, as of a variable that is not set, or cannot be written down: ledger, reports and
            commands hold text.
    """
    text = str(workspace)
    if not text.strip():
        raise WorkspaceError("--workspace is empty. Name a folder; the current one is --workspace .")
    try:
        (text := str(Path(workspace).absolute())).encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="backslashreplace").decode()
        raise WorkspaceError(f"{shown}: this path is not UTF-8. Choose another --workspace DIR.") from None
    if "\0" in text:
        raise WorkspaceError("--workspace holds a null character. Choose another folder.")
    return Path(workspace)


def write_whole(path: Path, write: Callable[[Path], object], *, mode: int = 0o666) -> None:
    """Call `write` with a temporary path beside `path`, then rename: a kill leaves the old file or the new one.

    The file is on the disk, not in the system's memory, before it takes its name: a power cut leaves one of them too.

    Args:
        path: of the file.
        write: writes it whole, under the name it is given: that of an empty file, which it may replace.
        mode: who may read and write the file, as far as the umask (or the folder's access list) lets them.

    Raises:
        StorageError: the disk is full, cannot be written, or fails.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _make_folder(path.parent)
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=mode)
            permissions = stat.S_IMODE(temporary.stat().st_mode)
            write(temporary)
            if stat.S_IMODE(temporary.stat().st_mode) != permissions:
                temporary.chmod(permissions)  # safetensors puts a file of its own in its place, for the user alone
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


def read_whole(path: Path) -> bytes:
    """Read a file into memory. Not mapped: where a disk fails, a read says so, and a mapped page kills the process.

    Raises:
        FileNotFoundError, IsADirectoryError: there is none, or a folder in its place.
        StorageError: the system does not let it be read; that is no word on what it holds.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        raise refuse_reading(path, error) from error


def refuse_reading(path: Path, error: OSError) -> StorageError:
    """Return the error that says that the system does not let a file be read."""
    return StorageError(f"{path}: cannot be read: {error.strerror or error}.")


def find_half_written(folder: Path) -> Iterator[Path]:
    """Yield what a killed process has left half written in a folder: by `write_whole`, and by safetensors itself.

    Only files whose names bakeoff makes; no links, and nothing in folders below.
    """
    yield from list_files(folder, _HALF_WRITTEN)


def list_files(folder: Path, pattern: str | re.Pattern[str]) -> list[Path]:
    """Return the regular files of a folder whose whole name matches, sorted; none where it is no folder. No links."""
    return _list_entries(folder, pattern, stat.S_ISREG)


def list_folders(folder: Path, pattern: str | re.Pattern[str]) -> list[Path]:
    """Return the folders in a folder whose whole name matches, sorted; none where it is no folder. No links."""
    return _list_entries(folder, pattern, stat.S_ISDIR)


def _list_entries(folder: Path, pattern: str | re.Pattern[str], is_kind: Callable[[int], bool]) -> list[Path]:
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return []
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    paths = [folder / name for name in names if re.fullmatch(pattern, name)]
    return [path for path in paths if is_kind(path.lstat().st_mode)]


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
        WorkspaceError: the file is not there, is damaged, or another.
        StorageError: it cannot be read.
    """
    try:
        _check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("probabilities", "labels", "indices")}
        _check_predictions(found)
    except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
        if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
            raise refuse_reading(path, error) from error
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
