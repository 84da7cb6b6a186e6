"""What a study reads or copies is told before it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bakeoff.driver.reads import Read, list_reads
from bakeoff.study.plan import Plan

MakePlan = Callable[..., Plan]


def test_nothing_but_what_an_installed_package_brings(make_plan: MakePlan) -> None:
    assert list_reads(make_plan(), None) == ()


def test_weights_are_named_by_where_they_were_found(
    make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.pt").touch()
    what = "weights, copied into the workspace"
    plan = make_plan(recipe={"transfer": {"weights": {"file": "w.pt"}, "freeze": 1}})
    assert list_reads(plan, tmp_path / "data") == (
        Read(what=what, path=str(tmp_path / "data" / "w.pt"), is_copied=True),
    )
    (read,) = list_reads(plan, None)
    assert read.text == f"{what}: w.pt (not found)"


def test_images_and_code(make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "mynet.py").touch()
    plan = make_plan(arms=1, recipe={"network": "mynet:Net"}, data={"folder": "photos"})
    images, code = list_reads(plan, None)
    assert [images.path, code.path] == [str(tmp_path / "photos"), str(tmp_path / "mynet.py")]
    assert images.text.startswith("images ")
    assert code.text.startswith("code ")
    (download,) = list_reads(make_plan(data={"name": "mnist"}), tmp_path)
    assert download.path == str(tmp_path)
    assert "mnist" in download.text
    assert "downloaded" in download.text


def test_every_file_of_a_data_set(make_plan: MakePlan, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    for name in names:
        (raw / name).touch()
    assert [read.path for read in list_reads(make_plan(data={"name": "mnist"}), tmp_path)] == [
        str(raw / name) for name in names
    ]
