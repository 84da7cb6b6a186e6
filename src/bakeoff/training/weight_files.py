"""Files of weights: safetensors, or what torch.save wrote of tensors alone. Nothing else is ever unpickled."""

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

from bakeoff.errors import BakeoffError
from bakeoff.networks.build import State
from bakeoff.training.checkpoint_layout import find_weights
from bakeoff.training.folders import Folders, read_whole, refuse_reading
from bakeoff.training.transfer import FileWeights, StudyWeights, TrialWeights, WeightsError

_AVERAGE_COUNTER = "n_averaged"
"""What torch's own averaged models hold beside the weights."""


def read_source(weights: FileWeights | TrialWeights | StudyWeights, folders: Folders) -> State:
    """Return all tensors of a file, or of an earlier trial, by the names they have there.

    Raises:
        WeightsError: it is not there, is damaged, is another file than promised, or holds no tensors.
    """
    if isinstance(weights, FileWeights):
        path = find_weights_file(weights, folders)
        shown = weights.file if path == Path(weights.file) else f"{weights.file} (kept as {path})"
        return read_weights_file(path, weights.sha256, shown, weights.ema)
    if isinstance(weights, StudyWeights):
        raise WeightsError(f"study {weights.study}, arm {weights.arm}: which trial that is was never looked up.")
    path = folders.weights(weights.trial)
    if not path.is_file():
        raise WeightsError(f"trial {weights.trial} kept no weights in {folders.root}: run its study there first.")
    return read_weights_file(path)


def read_kept_weights(path: Path) -> State:
    """Return the tensors of weights that a trial has kept.

    Raises:
        StorageError: they cannot be read.
        FileNotFoundError, SafetensorError: they are gone, or damaged.
    """
    return load(read_whole(path))


def find_weights_file(weights: FileWeights, folders: Folders) -> Path:
    """Return where a file of weights is: the workspace's own copy where there is one, else the path given."""
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
    """Read a file of weights; which of the two kinds it is, its first bytes tell.

    Args:
        path: the file.
        sha256: what its SHA-256 must be (hex), or None.
        shown: what errors call it, where that is not its path.
        ema: whether to take the moving average of the weights out of a training checkpoint; None: where it has one.

    Raises:
        WeightsError: it is not there, is damaged, is another file than promised, holds more or other than tensors, or
            not the weights that are asked for.
        StorageError: it cannot be read.
    """
    shown = shown or str(path)
    if sha256 is not None and (found := hash_file(path)) != sha256:
        raise WeightsError(f"{shown} is another file than the study asks for: its SHA-256 is {found}, not {sha256}.")
    _check_regular(path)
    try:
        return _find_tensors(_read(path), path, ema)
    except OSError as error:
        raise _refuse(path, error) from error
    except BakeoffError:
        raise
    except _WrongSetError as error:
        raise WeightsError(f"{shown} holds {error}.") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{shown} holds more than tensors, or is no file of weights, and is not opened: "
            "save module.state_dict() alone, or use safetensors."
        ) from error
    # A malformed file can fail anywhere inside torch's reader: AssertionError, IndexError, struct.error and others.
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise WeightsError(f"{shown} is no whole file of weights (safetensors or torch.save): {reason}.") from error


def _refuse(path: Path, error: OSError) -> BakeoffError:
    """Say that a file is not there, which is the study's fault, or that the system does not let it be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return WeightsError(f"{path} cannot be read: {error.strerror or error}.")
    return refuse_reading(path, error)


class _WrongSetError(Exception):
    """A file that does not hold the weights that are asked for; says what it holds."""


def _check_regular(path: Path) -> None:
    """Refuse what is no file: to open a pipe may wait forever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _refuse(path, error) from error
    if not stat.S_ISREG(mode):
        raise WeightsError(f"{path} is not a regular file.")


def _read(path: Path) -> object:
    with path.open("rb") as stream:
        head = stream.read(9)
    if head[8:] == b"{":
        return load(read_whole(path))
    if zipfile.is_zipfile(path):
        _check_members(path)
    # The settings that timm's and torchvision's training programs store are names and plain values.
    with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
        # torch wonders about unusual pickles; what is wrong with them is said by the error that follows.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_members(path: Path) -> None:
    """Refuse an archive that unpacks to more than the file holds: torch.save does not compress."""
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than it holds, which torch.save writes never do")


def _check_tensor(name: str, tensor: Tensor, num_bytes: int) -> None:
    """Refuse a tensor that claims more than the file can hold: by its shape, its strides, or being sparse."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError(f"tensor {name[:80]!r} is sparse, quantized, or has no values")
    if tensor.numel() * tensor.element_size() > num_bytes:
        raise ValueError(f"tensor {name[:80]!r} claims more values than the file holds")


def _find_tensors(content: object, path: Path, ema: bool | None) -> State:
    """Return the tensors by name, out of the checkpoint around them where there is one."""
    found, is_average = find_weights(content, ema)
    if ema and not is_average:
        raise _WrongSetError("no moving average of its weights: leave out ema")
    items = found.items() if isinstance(found, Mapping) else ()
    state = {str(name): value for name, value in items if isinstance(value, Tensor)}
    state.pop(_AVERAGE_COUNTER, None)
    if not state and ema is False and find_weights(content, None)[1]:
        raise _WrongSetError("the moving average of its weights alone: leave out ema")
    if not state:
        raise _WrongSetError("no tensors by name: save module.state_dict()")
    for name, tensor in state.items():
        _check_tensor(name, tensor, path.stat().st_size)
    return state
