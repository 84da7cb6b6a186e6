"""Reads weights files: safetensors, or torch.save files that contain only tensors. Nothing else is ever unpickled."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from bakeoff.catalog.transfer import FileWeights, StudyWeights, TrialWeights
from bakeoff.engine.checkpoint_layout import find_weights
from bakeoff.engine.fused.build import State
from bakeoff.errors import BakeoffError, TransferError, WeightsFileError
from bakeoff.workspace import Folders, read_whole, refuse_reading

_AVERAGE_COUNTER = "n_averaged"
"""An extra key in the state of torch's averaged models."""


def read_source(weights: FileWeights | TrialWeights | StudyWeights, folders: Folders) -> State:
    """Return all tensors of a file or of an earlier trial, by their names there.

    Raises:
        WeightsError: it does not exist, is damaged, has a different hash, or has no tensors.
    """
    if isinstance(weights, FileWeights):
        path = find_weights_file(weights, folders)
        shown = weights.file if path == Path(weights.file) else f"{weights.file} (kept as {path})"
        return read_weights_file(path, weights.sha256, shown, weights.ema)
    if isinstance(weights, StudyWeights):
        raise TransferError(f"study {weights.study}, arm {weights.arm}: the trial was never resolved.")
    path = folders.weights(weights.trial)
    if not path.is_file():
        raise TransferError(
            f"trial {weights.trial} has no stored weights in {folders.root}: run its study there first."
        )
    return read_weights_file(path)


def read_kept_weights(path: Path) -> State:
    """Return the tensors of a trial's stored weights.

    Raises:
        StorageError: they cannot be read.
        FileNotFoundError, SafetensorError: they are missing or damaged.
    """
    return load(read_whole(path))


def find_weights_file(weights: FileWeights, folders: Folders) -> Path:
    """Return the path of a weights file: the workspace's copy if there is one, else the given path."""
    if weights.sha256 is not None:
        copy = folders.find_copied_weights(weights.sha256)
        if copy is not None:
            return copy
    return Path(weights.file).expanduser()


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file.

    Raises:
        WeightsError: it is not there.
        StorageError: it cannot be read.
    """
    _check_regular(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _refuse(path, error) from error


def read_weights_file(path: Path, sha256: str | None = None, shown: str = "", ema: bool | None = None) -> State:
    """Read a weights file; its first bytes determine the format.

    Args:
        path: the file.
        sha256: the expected SHA-256 (hex), or None.
        shown: its name in errors, if not its path.
        ema: whether to use the moving average of the weights in a training checkpoint; None: if it has one.

    Raises:
        WeightsError: it does not exist, is damaged, has a different hash, holds anything but tensors, or lacks the
            requested weights.
        StorageError: it cannot be read.
    """
    shown = shown or str(path)
    if sha256 is not None and (found := hash_file(path)) != sha256:
        raise WeightsFileError(f"{shown} differs from the file in the study: its SHA-256 is {found}, not {sha256}.")
    _check_regular(path)
    try:
        return _find_tensors(_read(path), path, ema)
    except OSError as error:
        raise _refuse(path, error) from error
    except BakeoffError:
        raise
    except _WrongSetError as error:
        raise WeightsFileError(f"{shown} has {error}.") from error
    except pickle.UnpicklingError as error:
        raise WeightsFileError(
            f"{shown} contains more than tensors, or is not a weights file, so it is not opened: "
            "save module.state_dict() alone, or use safetensors."
        ) from error
    # On malformed files torch's reader raises AssertionError, IndexError, struct.error and others.
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise WeightsFileError(
            f"{shown} is not a complete weights file (safetensors or torch.save): {reason}."
        ) from error


def _refuse(path: Path, error: OSError) -> BakeoffError:
    """Return the error for a missing file (an error in the study) or for one that the system refuses to read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return WeightsFileError(f"{path} cannot be read: {error.strerror or error}.")
    return refuse_reading(path, error)


class _WrongSetError(Exception):
    """A file does not have the requested weights; the message says what it has."""


def _check_regular(path: Path) -> None:
    """Reject anything but a regular file: opening a pipe may block forever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _refuse(path, error) from error
    if not stat.S_ISREG(mode):
        raise WeightsFileError(f"{path} is not a regular file.")


def _read(path: Path) -> object:
    with path.open("rb") as stream:
        head = stream.read(9)
    if head[8:] == b"{":
        return load(read_whole(path))
    if zipfile.is_zipfile(path):
        _check_members(path)
    # The settings stored by timm's and torchvision's training scripts are names and plain values.
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        # torch warns about unusual pickles; the error that follows reports the problem.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_members(path: Path) -> None:
    """Reject an archive that unpacks to more than the file size: torch.save does not compress."""
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is compressed, which torch.save never does")


def _check_tensor(name: str, tensor: Tensor, num_bytes: int) -> None:
    """Reject a tensor whose shape, strides or sparsity claim more values than the file can hold."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError(f"tensor {name[:80]!r} is sparse, quantized, or has no values")
    if tensor.numel() * tensor.element_size() > num_bytes:
        raise ValueError(f"tensor {name[:80]!r} claims more values than the file has")


def _find_tensors(content: object, path: Path, ema: bool | None) -> State:
    """Return the tensors by name, extracted from a training checkpoint if necessary."""
    found, is_average = find_weights(content, ema)
    if ema and not is_average:
        raise _WrongSetError("no moving average of its weights: leave out ema")
    items = found.items() if isinstance(found, Mapping) else ()
    state = {str(name): value for name, value in items if isinstance(value, Tensor)}
    state.pop(_AVERAGE_COUNTER, None)
    if not state and ema is False and find_weights(content, None)[1]:
        raise _WrongSetError("only the moving average of its weights: leave out ema")
    if not state:
        raise _WrongSetError("no tensors by name: save module.state_dict()")
    for name, tensor in state.items():
        _check_tensor(name, tensor, path.stat().st_size)
    return state
