"""Files of weights: both kinds are read, and nothing else is."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bakeoff.catalog.transfer import FileWeights
from bakeoff.engine import weight_files
from bakeoff.engine.weight_files import find_weights_file, read_source, read_weights_file
from bakeoff.errors import StorageError, WeightsError
from bakeoff.workspace import Folders

STATE = {"0.weight": torch.arange(6.0).view(2, 3), "0.bias": torch.zeros(2)}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "workspace")


class Marker:
    """Unpickling one would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"0.weight": torch.zeros(1), "x": Marker(marker)}, tmp_path / "a.pt")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(Marker(marker)))
    torch.save(nn.Linear(1, 1), tmp_path / "c.pt")
    for name in ("a.pt", "b.pkl", "c.pt"):
        with pytest.raises(WeightsError, match="than tensors"):
            read_weights_file(tmp_path / name)
    assert not marker.exists()


def test_damaged_and_missing_files_are_one_line(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    torch.save(STATE, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"half-{name}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello, these are no weights\n")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    (tmp_path / "folder").mkdir()
    for name in ("half-a.safetensors", "half-a.pt", "empty", "text", "list.pt", "folder", "nowhere"):
        with pytest.raises(WeightsError, match=str(tmp_path / name)) as caught:
            read_weights_file(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_must_have_the_promised_hash(tmp_path: Path, folders: Folders) -> None:
    torch.save(STATE, tmp_path / "a.pt")
    right = hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert read_weights_file(tmp_path / "a.pt", right)
    with pytest.raises(WeightsError, match=f"{right}.*{'0' * 64}"):
        read_weights_file(tmp_path / "a.pt", "0" * 64)
    promised = FileWeights(file="moved/away.pt", sha256=right)
    assert find_weights_file(promised, folders) == Path("moved/away.pt")
    copy = folders.root / "weights" / f"{right}.pt"
    copy.parent.mkdir(parents=True)
    copy.write_bytes((tmp_path / "a.pt").read_bytes())
    assert find_weights_file(promised, folders) == copy


def test_hashing_names_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        weight_files.hash_file(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "b.anything"])
def test_both_kinds_are_read_whatever_their_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(STATE, path) if name != "a.pt" else torch.save({"epoch": 3, "state_dict": STATE}, path)
    read = read_weights_file(path)
    assert read.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[key]) for key, value in read.items())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_weights_that_cannot_be_read_end_the_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails is no fault of a trial: it was recorded as failed, one after the other."""

    def refuse(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    save_file(STATE, tmp_path / "a.safetensors")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match=f"a.safetensors: .*{os.strerror(number)}"):
        read_weights_file(tmp_path / "a.safetensors")


def test_errors_name_the_file_that_the_study_names(tmp_path: Path, folders: Folders) -> None:
    sha256 = "a" * 64
    path = folders.copied_weights(sha256, ".pt")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"^mine/w\.pt \(kept as .*\) differs"):
        read_source(FileWeights(file="mine/w.pt", sha256=sha256), folders)
