"""The layout of a workspace on disk, and atomic writing of its files. No torch."""

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
from typing import TYPE_CHECKING, Any

from bakeoff.errors import LedgerError, LostFileError, StorageError, WorkspaceError, WorkspaceOptionError
from bakeoff.system import avoid_reserved, flush_file, flush_folder, rename

if TYPE_CHECKING:  # NumPy is imported late: a shell's completion checks the workspace, and nothing more
    import numpy as np
    import numpy.typing as npt

_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG}
_LEAST_FREE_BYTES = 2**16
_MARKER_TEXT = """\
This folder is a workspace of bakeoff: a ledger of trials, and beside it what they left. `bakeoff gc` frees what nothing
refers to any more; it touches only files that bakeoff has made, so others are safe here.
"""

SHORT_ID_CHARACTERS = 8
"""Length of a shortened study id, enough to be unique in a workspace."""

HASH = r"[0-9a-f]{16,64}"
"""Pattern of the ids of trials, cohorts and content-addressed files."""

TRIAL_FILE = r"weights\.safetensors|[a-z][a-z0-9_-]*\.npz"
"""Pattern of the files in a trial's folder."""

FEATURES_FILE = r"features\.(?:npy|json)|part-\d+\.npz"
"""Pattern of the files in a folder of features."""

_HALF_WRITTEN = re.compile(
    rf"(?:{TRIAL_FILE}|{FEATURES_FILE}|{HASH}(?:\.\w+)?|verdict\.md|report\.html)\.\d+\.part|\.tmp[A-Za-z0-9]{{6}}"
)
"""Pattern of incomplete files written by `write_whole` and, inside it, safetensors."""


@dataclass(frozen=True)
class Folders:
    """The layout of a workspace. Every path is relative to `root`, so a workspace can be moved.

    Attributes:
        root: the workspace's folder.
    """

    root: Path

    @property
    def marker(self) -> Path:
        """The file that describes this folder."""
        return self.root / "bakeoff-workspace.txt"

    def mark(self) -> None:
        """Write the file that describes the folder, unless it exists."""
        if not self.marker.exists():
            write_whole(self.marker, lambda temporary: temporary.write_text(_MARKER_TEXT, encoding="utf-8"))

    @property
    def ledger(self) -> Path:
        """The ledger's database file."""
        return self.root / "ledger.sqlite"

    @property
    def driver_lock(self) -> Path:
        """The file that a run locks to exclude others."""
        return self.root / "driver.lock"

    @property
    def tags(self) -> Path:
        """The tags of studies (JSON)."""
        return self.root / "tags.json"

    def brief(self, study_id: str) -> Path:
        """What a table of studies shows of one, until its results change (JSON)."""
        return self.root / "briefs" / f"{study_id}.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints of unfinished cohorts."""
        return self.root / "cohorts"

    @property
    def trials(self) -> Path:
        """The folder of trials' files, in subfolders `AB/ABC...`."""
        return self.root / "trials"

    def weights(self, trial_id: str) -> Path:
        """One trial's stored weights (safetensors)."""
        return self._trial(trial_id) / "weights.safetensors"

    def predictions(self, trial_id: str, split: str) -> Path:
        """One trial's class probabilities on `validation`, `test`, `held-out` or, if requested, `train` (npz)."""
        return self._trial(trial_id) / f"{split}.npz"

    def corrupted(self, trial_id: str, corruption: str, severity: int) -> Path:
        """One trial's predictions on the test images corrupted in one way, at one severity (npz)."""
        return self._trial(trial_id) / f"corrupted-{corruption}-{severity}.npz"

    def stress(self, study_id: str) -> Path:
        """When one study's trials were looked at on corrupted test images (JSON)."""
        return self.root / "stress" / f"{study_id}.json"

    def checkpoint(self, cohort_id: str) -> Path:
        """One unfinished cohort's checkpoint."""
        return self.checkpoints / f"{cohort_id}.safetensors"

    @property
    def features(self) -> Path:
        """The folder of frozen bodies' features, a subfolder for every key."""
        return self.root / "features"

    def feature_rows(self, key: str) -> Path:
        """The features with this key, if all are computed (npy)."""
        return self.features / key / "features.npy"

    def feature_facts(self, key: str) -> Path:
        """How long these features took (JSON)."""
        return self.features / key / "features.json"

    def feature_part(self, key: str, start: int) -> Path:
        """One part of these features, from the row `start`, until all are computed (npz)."""
        return self.features / key / f"part-{start}.npz"

    def copied_weights(self, sha256: str, suffix: str) -> Path:
        """The workspace's copy of a weights file that trials start from, by its content hash."""
        return self.root / "weights" / f"{sha256}{suffix}"

    def find_copied_weights(self, sha256: str) -> Path | None:
        """Return the copy of the file with this hash, or None if there is none."""
        copies = sorted((self.root / "weights").glob(f"{sha256}*"))
        return next((path for path in copies if path.suffix != ".part"), None)

    def audit(self, fingerprint: str) -> Path:
        """What the audit of a source found, by the fingerprint of its training images (JSON)."""
        return self.root / "audits" / f"{fingerprint}.json"

    def audit_pictures(self, fingerprint: str) -> Path:
        """Pictures of pairs of duplicates, by the same fingerprint (npz)."""
        return self.root / "audits" / f"{fingerprint}-pictures.npz"

    def signatures(self, fingerprint: str) -> Path:
        """The signatures of training images, in their order, by the fingerprint of these images (npz)."""
        return self.root / "audits" / f"{fingerprint}.npz"

    def pictures(self, key: str) -> Path:
        """Images stored for reports, by a hash of their selection (npz)."""
        return self.root / "pictures" / f"{key}.npz"

    def labels(self, fingerprint: str) -> Path:
        """Labels, groups and own validation images of training images, by the same fingerprint (npz)."""
        return self.root / "audits" / f"{fingerprint}-labels.npz"

    def reports(self, study_name: str, study_id: str) -> Path:
        """One study's reports: a separate folder, because several studies may share a (reduced) name.

        A name is reduced to letters, digits, '.', '_' and '-', so it cannot leave the reports folder.
        """
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in study_name).lstrip(".")
        return self.root / "reports" / avoid_reserved(f"{safe or 'study'}-{study_id[:SHORT_ID_CHARACTERS]}")

    def load_predictions(self, trial_id: str, split: str) -> dict[str, npt.NDArray[Any]] | None:
        """Read one trial's predictions on one split; None if they are missing or damaged.

        Reports then omit them; `doctor` reports damaged files.

        Raises:
            StorageError: they exist but cannot be read: a report must not silently omit them.
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
        ):  # an id from a damaged ledger could lead anywhere
            raise LedgerError(f"{self.root}: {trial_id[:60]!r} is not a trial id: the ledger is damaged.")
        return self.trials / trial_id[:2] / trial_id


def check_workspace(workspace: str | Path) -> Path:
    """Return the path of a workspace given by the user; it need not exist.

    Raises:
        WorkspaceError: it is empty, for instance from an unset variable, or not valid text: ledger, reports and
            commands contain it as text.
    """
    text = str(workspace)
    if not text.strip():
        raise WorkspaceOptionError("--workspace is empty. Give a folder; the current one is --workspace .")
    try:
        (text := str(Path(workspace).absolute())).encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="backslashreplace").decode()
        raise WorkspaceOptionError(f"{shown}: this path is not UTF-8. Choose another --workspace DIR.") from None
    if "\0" in text:
        raise WorkspaceOptionError("--workspace holds a null character. Choose another folder.")
    return Path(workspace)


def write_whole(path: Path, write: Callable[[Path], object], *, mode: int = 0o666) -> None:
    """Call `write` with a temporary path beside `path`, then rename: a kill leaves either the old file or the new one.

    The file is flushed to disk before it is renamed, so the same holds for a power cut.

    Args:
        path: path of the file.
        write: writes the complete file to the path it is given: that of an empty file, which it may replace.
        mode: permissions of the file, limited by the umask (or the folder's access control list).

    Raises:
        StorageError: the disk is full, cannot be written, or fails.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _make_folder(path.parent)
        try:
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=mode | stat.S_IWUSR)  # Windows neither flushes nor removes a read-only file
            permissions = stat.S_IMODE(temporary.stat().st_mode)
            write(temporary)
            if stat.S_IMODE(temporary.stat().st_mode) != permissions:
                temporary.chmod(permissions)  # safetensors replaces it by its own file, readable by the user only
            flush_file(temporary)
            rename(temporary, path)
            flush_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except Exception as error:  # torch and safetensors report a full disk by their own exceptions
        reason = explain_storage(error, path.parent)
        if reason is None:
            raise
        raise StorageError(f"{path}: cannot be written: {reason}.") from error


def read_whole(path: Path) -> bytes:
    """Read a file into memory. Not memory-mapped: a failing disk is an error on read, but kills the process if mapped.

    Raises:
        FileNotFoundError, IsADirectoryError: there is no such file, or it is a folder.
        StorageError: the system refuses to read it; that says nothing about its content.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        raise refuse_reading(path, error) from error


def refuse_reading(path: Path, error: OSError) -> StorageError:
    """Return the error for a file that the system refuses to read."""
    return StorageError(f"{path}: cannot be read: {error.strerror or error}.")


def find_half_written(folder: Path) -> Iterator[Path]:
    """Yield the incomplete files of killed processes in a folder, written by `write_whole` or safetensors.

    Only files with names that bakeoff generates; no links, and nothing in subfolders.
    """
    yield from list_files(folder, _HALF_WRITTEN)


def list_files(folder: Path, pattern: str | re.Pattern[str]) -> list[Path]:
    """Return the sorted regular files in a folder whose full name matches; none if it is not a folder. No links."""
    return _list_entries(folder, pattern, stat.S_ISREG)


def list_folders(folder: Path, pattern: str | re.Pattern[str]) -> list[Path]:
    """Return the sorted subfolders whose full name matches; none if it is not a folder. No links."""
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
    """Return the disk error that made writing to a folder fail, in words; None for any other cause."""
    if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
        return error.strerror or str(error)
    try:
        is_full = shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return None
    return os.strerror(errno.ENOSPC) if is_full else None


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents; each new one is flushed to disk in its parent folder."""
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        flush_folder(each.parent)


def save_predictions(
    path: Path,
    probabilities_NL: npt.NDArray[np.float32],
    labels_N: npt.NDArray[np.int64],
    indices_N: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64] | None = None,
) -> None:
    """Write one trial's predictions on one split, with true labels and the images' indices in their source split.

    `groups` holds the number of every group of that source split, by image; None if every image stands alone.
    """
    import numpy as np

    arrays: dict[str, Any] = {"probabilities": probabilities_NL, "labels": labels_N, "indices": indices_N}
    if groups is not None:
        arrays["groups"] = groups[indices_N]

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)

    write_whole(path, write)


def load_predictions(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_predictions` wrote: `probabilities` (N, L) float32, `labels` and `indices` (N,) int64.

    And `groups` (N,) int64, if images share groups.

    Raises:
        WorkspaceError: the file does not exist, is damaged, or is not a predictions file.
        StorageError: it cannot be read.
    """
    import numpy as np

    try:
        check_members(path)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("probabilities", "labels", "indices")}
            if "groups" in arrays:
                found["groups"] = arrays["groups"]
        _check_predictions(found)
    except Exception as error:  # NumPy and zipfile raise many exceptions for damaged files
        if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
            raise refuse_reading(path, error) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise LostFileError(f"{path}: these predictions cannot be read ({reason}).") from error
    return found


def check_members(path: Path) -> None:
    """Reject an npz file that unpacks to more than its size: NumPy stores predictions uncompressed.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it is missing, is no archive, or does.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than was written")


def _check_predictions(found: dict[str, npt.NDArray[Any]]) -> None:
    probabilities_NL, labels_N, indices_N = found["probabilities"], found["labels"], found["indices"]
    if probabilities_NL.dtype.kind != "f" or labels_N.dtype.kind != "i" or indices_N.dtype.kind != "i":
        raise ValueError("its arrays have other dtypes")
    if probabilities_NL.ndim != 2 or not probabilities_NL.shape[:1] == labels_N.shape == indices_N.shape:
        raise ValueError("its arrays have other shapes")
    groups_N = found.get("groups", indices_N)
    if groups_N.dtype.kind != "i" or groups_N.shape != indices_N.shape:
        raise ValueError("its groups have another dtype or shape")
    if labels_N.size and not 0 <= labels_N.min() <= labels_N.max() < probabilities_NL.shape[1]:
        raise ValueError("it holds labels outside the classes")
