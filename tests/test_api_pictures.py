"""Pictures of mistakes, from a real run to a report on a machine without the images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bakeoff.api import Study, load, run, write_report
from bakeoff.report import thumbnails

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every split whose decoded images a report asks for."""
    splits: list[str] = []
    find = thumbnails.find_decoded

    def listen(source: Any, split: Any, data_dir: Any) -> Any:
        splits.append(split)
        return find(source, split, data_dir)

    monkeypatch.setattr(thumbnails, "find_decoded", listen)
    return splits


def make_study() -> Study:
    return Study(
        question="Which learning rate?",
        name="tiny",
        recipe={"network": {"name": "mlp", "units": [8]}, "epochs": 2, "batch_size": 128},
        arms=[{"optimizer.learning_rate": [0.001, 0.01]}],
        replicates=2,
        numeric="float32",
    )


def count_pictures(path: str | None) -> int:
    assert path is not None
    return Path(path).read_text(encoding="utf-8").count('<img src="data:image/png')


def test_a_report_keeps_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    result = run(make_study(), workspace=tmp_path / "runs", workers=1)
    num_pictures = count_pictures(result.report.html_path)
    assert num_pictures > 6
    assert asked == ["test"]  # the final test has been held
    moved = Path(shutil.move(tmp_path / "runs", tmp_path / "laptop"))
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "empty"))
    again = write_report(load("tiny", moved), moved)
    assert count_pictures(again.report.html_path) == num_pictures
    assert asked == ["test"]
    shutil.rmtree(moved / "pictures")
    bare = write_report(load("tiny", moved), moved)
    assert count_pictures(bare.report.html_path) == 0
    assert not (moved / "pictures").exists()


def test_without_an_exam_only_training_images_are_looked_at(tmp_path: Path, asked: list[str]) -> None:
    result = run(make_study(), workspace=tmp_path / "runs", workers=1, final_test=False)
    assert set(asked) == {"train"}
    assert count_pictures(result.report.html_path) > 0
