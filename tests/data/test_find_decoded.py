"""Images that are decoded already are found again; nothing else is decoded, downloaded or opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import files, store
from bakeoff.data.source import DataSource
from bakeoff.data.store import find_decoded, open_test, open_training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "pictures" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


@pytest.fixture(params=["whole", "subset", "classes", "folder"])
def source(request: pytest.FixtureRequest) -> DataSource:
    if request.param == "folder":
        return DataSource(folder=str(request.getfixturevalue("folder")))
    chosen: dict[str, Any] = {"whole": {}, "subset": {"subset": 0.5}, "classes": {"classes": ("3", "1")}}[request.param]
    return DataSource(name="digits", **chosen)


def test_what_was_opened_is_found_and_nothing_is_decoded(source: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"train": open_training(source), "test": open_test(source)}

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("decoded or downloaded")

    for module, name in ((store, "decode_split"), (store, "store_once"), (files, "store_once")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(store, "obtain_dataset", refuse)
    for split, images in opened.items():
        found = find_decoded(source, split)  # type: ignore[arg-type]
        assert found is not None
        assert found.fingerprint == images.fingerprint
        assert np.array_equal(found.pixels, images.pixels)


def test_what_was_never_opened_is_not_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "empty"))
    for source in (DataSource(name="digits"), DataSource(name="mnist"), DataSource(folder=str(folder))):
        assert find_decoded(source, "train") is None
        assert find_decoded(source, "test") is None
    assert find_decoded(DataSource(folder=str(tmp_path / "nowhere")), "train") is None
    assert not (tmp_path / "empty").exists()
