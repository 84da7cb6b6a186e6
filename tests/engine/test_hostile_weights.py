"""Files of weights and predictions that are made to harm: no code runs, no memory is taken, one line each."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bakeoff.engine.weight_files import hash_file, read_weights_file
from bakeoff.errors import WeightsError, WorkspaceError
from bakeoff.workspace import Folders, load_predictions, save_predictions


class Harm:
    """A pickle that leaves a mark if it runs."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def _refuse(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_weights_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 600
    return message


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("around", [False, True])
def test_a_pickle_does_not_run(tmp_path: Path, modern: bool, around: bool) -> None:
    content: object = {"weight": torch.zeros(3), "epoch": Harm(tmp_path / "mark")}
    content = {"state_dict": content} if around else content
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=modern)
    assert "than tensors" in _refuse(tmp_path / "w.pt")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Harm(tmp_path / "mark"), protocol))
    _refuse(tmp_path / "w.pt")
    assert not (tmp_path / "mark").exists()


def test_torch_is_asked_for_tensors_alone_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*_: object, **options: object) -> object:
        asked.append(options)
        raise pickle.UnpicklingError("no")

    (tmp_path / "w.pt").write_bytes(b"x" * 20)
    monkeypatch.setattr(torch, "load", load)
    _refuse(tmp_path / "w.pt")
    assert [options["weights_only"] for options in asked] == [True]


@pytest.mark.parametrize("modern", [True, False])
def test_tensors_that_claim_more_than_the_file_holds(tmp_path: Path, modern: bool) -> None:
    wide = torch.as_strided(torch.zeros(1), (10**12,), (0,))
    torch.save({"a": wide}, tmp_path / "w.pt", _use_new_zipfile_serialization=modern)
    assert "'a' claims" in _refuse(tmp_path / "w.pt")


def test_sparse_tensors(tmp_path: Path) -> None:
    places = torch.tensor([[0], [0]])
    sparse = torch.sparse_coo_tensor(places, torch.ones(1), (10**6, 10**6), check_invariants=True)
    torch.save({"a": sparse}, tmp_path / "w.pt")
    assert "'a' is sparse" in _refuse(tmp_path / "w.pt")


def test_a_zip_that_unpacks_to_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(10_000_000))
    assert "compressed" in _refuse(tmp_path / "w.pt")


@pytest.mark.parametrize("size", [2**62, 2**30, 100])
def test_headers_of_safetensors_that_promise_too_much(tmp_path: Path, size: int) -> None:
    text = b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", size) + text.ljust(100))
    assert "not a complete" in _refuse(tmp_path / "w.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    assert "regular file" in _refuse(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="regular file"):
        hash_file(tmp_path / "w.pt")


def _save(path: Path, labels: list[int]) -> None:
    numbers = np.array(labels)
    save_predictions(path, np.full((len(labels), 2), 0.5, np.float32), numbers, numbers)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_predictions_of_no_class(tmp_path: Path, labels: list[int]) -> None:
    _save(tmp_path / "test.npz", labels)
    with pytest.raises(WorkspaceError, match=r"test.npz: .*outside the classes"):
        load_predictions(tmp_path / "test.npz")


def test_predictions_that_hold_objects(tmp_path: Path) -> None:
    objects = np.array([Harm(tmp_path / "mark")], dtype=object)
    np.savez(tmp_path / "test.npz", probabilities=objects, labels=objects, indices=objects)
    with pytest.raises(WorkspaceError, match="allow_pickle=False"):
        load_predictions(tmp_path / "test.npz")
    assert not (tmp_path / "mark").exists()


def test_predictions_that_unpack_to_more(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "test.npz", probabilities=np.zeros((1000, 1000), np.float32))
    with pytest.raises(WorkspaceError, match="unpacks to more"):
        load_predictions(tmp_path / "test.npz")


def test_reports_go_without_damaged_predictions(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    path = folders.predictions("ab12", "test")
    path.parent.mkdir(parents=True)
    _save(path, [0, 1])
    assert folders.load_predictions("ab12", "test") is not None
    path.write_bytes(path.read_bytes()[:-30])
    assert folders.load_predictions("ab12", "test") is None


@pytest.mark.parametrize("trial_id", ["../../etc", "/etc", "", "a/b", "..", "a\0"])
def test_a_trials_folder_stays_in_the_workspace(tmp_path: Path, trial_id: str) -> None:
    with pytest.raises(WorkspaceError, match="trial id"):
        Folders(tmp_path).weights(trial_id)
