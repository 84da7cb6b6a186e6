"""Predictions on corrupted images, and the record of looks, are read back as written, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.corruptions import Condition
from bakeoff.errors import StorageError, WorkspaceError
from bakeoff.ledger.corrupted import load_corrupted, read_stress, record_stress, save_corrupted
from bakeoff.workspace import TRIAL_FILE, Folders, list_files

LABELS = np.array([0, 1, 2, 1])
PREDICTED = np.array([0, 1, 1, 0])


@pytest.mark.parametrize("shift", [0, 300])
def test_hits_are_read_back(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "corrupted-fog-3.npz"
    save_corrupted(path, PREDICTED + shift, LABELS + shift, "abc")
    found = load_corrupted(path, "abc")
    assert found is not None
    assert found.tolist() == [True, True, False, False]
    with np.load(path, allow_pickle=False) as arrays:
        assert float(arrays["accuracy"]) == 0.5
        assert arrays["predicted"].dtype == (np.uint8 if shift == 0 else np.uint32)
    assert load_corrupted(path, "other images") is None
    assert list_files(tmp_path, TRIAL_FILE) == [path]  # collected with its trial


def test_nothing_is_read_from_a_missing_damaged_or_outdated_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "corrupted-fog-3.npz"
    assert load_corrupted(path, "abc") is None
    save_corrupted(path, PREDICTED, LABELS, "abc")
    with np.load(path, allow_pickle=False) as arrays:
        whole = dict(arrays)
    damages: list[dict[str, Any]] = [
        {"accuracy": np.float64(0.9)},
        {"labels": LABELS[:2]},
        {"predicted": np.array([{}], dtype=object)},
        {"version": np.int64(99)},
    ]
    for damage in damages:
        np.savez(path, **{**whole, **damage})
        assert load_corrupted(path, "abc") is None
    np.savez_compressed(path, **{**whole, "predicted": np.zeros(10**6, np.uint8)})
    assert load_corrupted(path, "abc") is None
    path.write_bytes(b"PK")
    assert load_corrupted(path, "abc") is None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "corrupted-fog-3.npz"
    save_corrupted(path, PREDICTED, LABELS, "abc")
    path.chmod(0)
    with pytest.raises(StorageError, match="cannot be read"):
        load_corrupted(path, "abc")


def test_a_look_is_recorded_unless_it_shows_nothing_new(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    assert read_stress(folders, "id") == ()

    def look(*names: str, trials: tuple[str, ...] = ("t",), fingerprint: str = "f", block: str = "digits") -> int:
        conditions = [Condition(name, 1) for name in names]
        record_stress(folders, "id", block=block, conditions=conditions, trials=trials, fingerprint=fingerprint)
        return len(read_stress(folders, "id"))

    assert look("fog", "snow") == 1
    assert look("fog") == 1
    assert look("fog", "contrast") == 2
    assert look("fog", trials=("t", "u")) == 3
    assert look("fog", fingerprint="g") == 4
    assert look("fog", block="other") == 5
    first = read_stress(folders, "id")[0]
    assert first.conditions == (Condition("fog", 1), Condition("snow", 1))
    assert (first.block, first.trials, first.fingerprint) == ("digits", ("t",), "f")


@pytest.mark.parametrize(
    "text", ["{", "[1]", '[{"block": "digits"}]', "3", json.dumps([{"conditions": 3}]), "[" * 10**5]
)
def test_a_damaged_record_of_looks_is_named(tmp_path: Path, text: str) -> None:
    path = Folders(tmp_path).stress("id")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(WorkspaceError, match=r"id\.json: this record of looks is damaged"):
        read_stress(Folders(tmp_path), "id")
