"""`bakeoff init`: what it writes for made folders of several kinds, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bakeoff import api, cli

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

Init = Callable[..., Any]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def init(monkeypatch: pytest.MonkeyPatch) -> Init:
    """Return a function that runs `bakeoff init` and checks its exit status; it returns the study file's fields."""

    def run(*arguments: str, status: int = 0, out: str = "study.yaml") -> Any:
        monkeypatch.setattr("sys.argv", ["bakeoff", "init", *arguments])
        monkeypatch.setattr(cli, "handle_interrupts", lambda: None)
        assert cli.main() == status
        return yaml.safe_load(Path(out).read_text("utf-8")) if status == 0 else None

    return run


def make_images(
    folder: Path, classes: Sequence[str], number: int, size: tuple[int, int], *, grey: bool = False, suffix: str = "png"
) -> None:
    rng = np.random.default_rng(len(str(folder)) + number)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(number):
            shape = size if grey else (*size, 3)
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"p{i // 4}_{i % 4}.{suffix}")


def test_few_photos_get_pretrained_networks(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(Path("photos"), ["cat", "dog"], 20, (100, 130), suffix="jpg")
    fields = init("photos")
    assert list(fields["arms"][0]) == ["frozen", "fine-tuned", "scratch"]
    assert fields["recipe"]["network"]["name"].startswith("torchvision:")
    assert (fields["data"]["folder"], fields["data"]["image_size"], fields["data"]["test"]) == ("photos", 96, 0.2)
    text = Path("study.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")
    assert "# group: " in text  # names such as p3_1.jpg may tell objects apart
    assert json.loads(Path("study.schema.json").read_text("utf-8"))["$schema"]
    assert "32 to train and validate, 8 to test" in capsys.readouterr().out


def test_small_images_get_layer_networks(init: Init) -> None:
    make_images(Path("signs"), [str(i) for i in range(10)], 5, (32, 32))
    fields = init("signs")
    assert [arm.get("network", {}).get("name") for arm in fields["arms"][0].values()] == ["mlp", "cnn", "cnn", None]
    assert "image_size" not in fields["data"]
    estimate = api.plan("study.yaml", workers=1, device="cpu")
    assert len(estimate.plan.arms) == 4


def test_tiny_grey_images(init: Init) -> None:
    make_images(Path("glyphs"), ["a", "b", "c"], 6, (8, 8), grey=True)
    fields = init("glyphs")
    assert list(fields["arms"][0]) == ["dense", "small", "large"]
    assert "# Grey, 8x8 pixels" in Path("study.yaml").read_text("utf-8")


def test_grey_photos_become_rgb_for_pretrained_networks(init: Init) -> None:
    make_images(Path("scans"), ["ill", "well"], 8, (80, 80), grey=True)
    assert init("scans")["data"]["colour"] == "rgb"


def test_a_folder_with_splits(init: Init) -> None:
    for part in ("train", "val", "test"):
        make_images(Path("split", part), ["a", "b"], 6, (16, 16 + len(part)))
    fields = init("split")
    assert fields["data"].get("test") is None
    assert fields["data"]["validation"] == "own"


def test_classes_of_different_sizes_are_judged_one_by_one(init: Init) -> None:
    make_images(Path("rare"), ["many"], 40, (16, 16))
    make_images(Path("rare2"), ["few"], 8, (16, 16))
    Path("rare2/few").rename("rare/few")
    assert init("rare")["decide"]["metric"] == "macro_recall"


def test_damaged_files_are_counted(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(Path("damaged"), ["a", "b"], 8, (16, 16))
    Path("damaged/a/broken.png").write_bytes(b"no image")
    Path("damaged/a/notes.txt").write_text("no image")
    init("damaged")
    assert "1 that cannot be read" in capsys.readouterr().out


def test_a_manifest(init: Init) -> None:
    make_images(Path("files"), ["a", "b"], 8, (16, 16))
    with Path("list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((str(path), path.parent.name) for path in sorted(Path("files").glob("*/*.png")))
    fields = init("list.csv", "--out", "elsewhere.yaml", out="elsewhere.yaml")
    assert fields["data"]["manifest"] == "list.csv"
    assert Path("elsewhere.schema.json").exists()


def test_paths_are_relative_to_the_study_file(init: Init) -> None:
    make_images(Path("my 'own' images"), ["a", "b"], 8, (16, 16))
    Path("studies").mkdir()
    fields = init("my 'own' images", "--out", "studies/mine.yaml", out="studies/mine.yaml")
    assert fields["data"]["folder"] == "../my 'own' images"


def test_a_shipped_study(init: Init) -> None:
    assert init("--from", "quickstart")["recipe"]["network"]["name"] == "lenet"
    assert api.plan("study.yaml", workers=1, device="cpu").plan.study.name == "study"


def test_a_file_is_replaced_only_by_force(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text("mine")
    init("--from", "quickstart", status=2)
    assert Path("study.yaml").read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    init("--from", "quickstart", "--force")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--from"),
        (("one", "--from", "quickstart"), "--from"),
        (("nowhere",), "nowhere"),
        (("digits",), "--from"),
        (("--from", "quickstrat"), "Did you mean 'quickstart'?"),
        (("one",), "class"),
        (("thin",), "b"),
    ],
)
def test_what_is_refused(arguments: Sequence[str], named: str, init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(Path("one"), ["only"], 6, (16, 16))
    make_images(Path("thin"), ["a"], 6, (16, 16))
    make_images(Path("thin2"), ["b"], 1, (16, 16))
    Path("thin2/b").rename("thin/b")
    init(*arguments, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line
    assert not Path("study.yaml").exists()
