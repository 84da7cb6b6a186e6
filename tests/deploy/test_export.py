"""A study's winner leaves the workspace: whole, checked, described, and loadable without the study."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bakeoff.api import Study, load, run
from bakeoff.catalog.model_record import ORIGIN_KEY, ModelRecord, Origin
from bakeoff.cli import main
from bakeoff.data.pictures import read_picture
from bakeoff.data.source import Fit
from bakeoff.deploy.export.export import export_study
from bakeoff.deploy.predictor import Predictor
from bakeoff.engine.export import example
from bakeoff.engine.fused.vision import import_torchvision
from bakeoff.errors import BakeoffError, WorkspaceError
from bakeoff.ledger.read import open_reading, read_study
from bakeoff.stats.calibration import calibrate
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

FROZEN = {"network": "timm:test_resnet", "augmentation": [{"name": "normalize", "mean": "imagenet"}]}
ARMS: dict[str, dict[str, Any]] = {
    "layers": {"network": {"name": "cnn", "filters": [4], "units": [5]}, "augmentation": ["normalize"]},
    "averaged": {"averaging": {"name": "ema", "decay": 0.9}, "evaluate": "mirrored"},
    "frozen layers": {"network": {"name": "cnn", "filters": [4], "units": [5]}},
    "frozen body": FROZEN,
}


def _write_photos(root: Path) -> Path:
    generator = np.random.default_rng(3)
    patterns = generator.uniform(0, 255, (2, 14, 10, 3))
    for part, number in (("train", 12), ("test", 5)):
        for label in range(2):
            folder = root / part / "ab"[label]
            folder.mkdir(parents=True)
            for count in range(number):
                noisy = patterns[label] + generator.normal(0, 40, (14, 10, 3))
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{count}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    import torch

    from bakeoff.engine.fused.vision import import_timm

    root = tmp_path_factory.mktemp("export")
    photos = _write_photos(root / "photos")
    import_torchvision()
    torch.manual_seed(0)
    save_file(import_timm().create_model("test_resnet").state_dict(), root / "body.safetensors")
    cnn = {"0.weight": torch.randn(4, 3, 3, 3), "0.bias": torch.randn(4)}
    cnn |= {"2.weight": torch.randn(5, 64), "2.bias": torch.randn(5)}
    save_file(cnn, root / "layers.safetensors")
    arms: Any = {name: dict(arm) for name, arm in ARMS.items()}
    arms["frozen body"]["transfer"] = {"weights": {"file": str(root / "body.safetensors")}, "freeze": "always"}
    arms["frozen layers"]["transfer"] = {"weights": {"file": str(root / "layers.safetensors")}, "freeze": "always"}
    study = Study(
        question="Which | *network*?",
        name="photos",
        data={"folder": str(photos), "image_size": 9, "validation": 0.25},
        recipe={"network": {"name": "cnn", "filters": [4], "units": []}, "epochs": 1, "batch_size": 8},
        arms=[arms],
        replicates=2,
        numeric="float32",
    )
    run(study, workspace=root / "runs", workers=1)
    return root / "runs", photos


def _list_tested(photos: Path) -> list[Path]:
    return sorted((photos / "test").rglob("*.png"))


@pytest.mark.parametrize("arm", ARMS)
def test_an_exported_folder_predicts_as_its_study(arm: str, trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, photos = trained
    done = export_study("photos", ["torch"], tmp_path / "out", workspace, arm=arm)
    assert [check.format for check in done.checks] == ["weights", "torch"]
    assert max(check.difference for check in done.checks) < 1e-6
    assert (done.checked_on, done.rounding) == ("10 test images", None)
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    expected = Predictor.load("photos", workspace, arm=arm).predict_proba(_list_tested(photos))
    for place in (tmp_path / "elsewhere", str(tmp_path / "elsewhere" / "model.safetensors")):
        predictor = Predictor.load(place, tmp_path / "no workspace")
        np.testing.assert_allclose(predictor.predict_proba(_list_tested(photos)), expected, atol=1e-6)
        assert predictor.arm == arm
        assert arm in predictor.describe()
        assert list(predictor.classes_) == ["a", "b"]


def test_a_frozen_body_is_in_the_file(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    done = export_study("photos", [], tmp_path, workspace, arm="frozen body")
    stored = load_file(Folders(workspace).weights(done.record.trial_id))
    exported = load_file(tmp_path / "model.safetensors")
    assert {name.partition(".")[0] for name in stored} == {"head"}
    assert {name.partition(".")[0] for name in exported} == {"head", "body"}
    assert done.record.recipe.transfer is not None
    assert done.record.recipe.transfer.weights is None


def test_what_model_py_needs(trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _ = trained
    done = export_study("photos", ["torch"], tmp_path / "traced", workspace, arm="frozen body")
    assert (done.needed, (tmp_path / "traced" / "body.torchscript.pt").is_file()) == ("", True)
    assert "trainable=True" in (tmp_path / "traced" / "README.md").read_text("utf-8")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("cannot be traced")

    monkeypatch.setattr("torch.jit.trace", refuse)
    done = export_study("photos", ["torch"], tmp_path / "untraced", workspace, arm="frozen body")
    assert done.needed == "timm"
    assert "needs timm" in (tmp_path / "untraced" / "README.md").read_text("utf-8")


def test_the_example_classifies_photos(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, photos = trained
    export_study("photos", ["torch"], tmp_path, workspace, arm="averaged")
    tested = _list_tested(photos)[:3]
    command = [sys.executable, str(tmp_path / "example.py"), *map(str, tested)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    predictor = Predictor.load("photos", workspace, arm="averaged")
    for line, path, probabilities in zip(printed, tested, predictor.predict_proba(tested), strict=True):
        best = int(probabilities.argmax())
        assert line.startswith(f"{path}: {predictor.classes_[best]} {probabilities[best]:.1%}, ")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(30, 20), (20, 30), (9, 7), (9, 9), (4, 50)])
def test_the_example_reads_photos_as_training_does(tmp_path: Path, fit: Fit, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    photo = {"width": 9, "height": 9, "colour": "rgb", "fit": fit}
    expected = read_picture(str(tmp_path / "photo.png"), (9, 9), "rgb", fit).pixels_HWC
    np.testing.assert_array_equal(example.read_photo(str(tmp_path / "photo.png"), photo), expected)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(301, 203), (203, 301), (160, 160), (90, 40)])
@pytest.mark.parametrize("orientation", range(10))
def test_the_example_reads_large_jpegs_as_training_does(
    tmp_path: Path, fit: Fit, size: tuple[int, int], orientation: int
) -> None:
    """They are decoded at a reduced scale, which changes every pixel; and cameras turn them."""
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    photo = {"width": 31, "height": 17, "colour": "rgb", "fit": fit}
    expected = read_picture(str(tmp_path / "photo.jpg"), (17, 31), "rgb", fit).pixels_HWC
    np.testing.assert_array_equal(example.read_photo(str(tmp_path / "photo.jpg"), photo), expected)


def test_the_example_reads_16_bits_as_training_does(tmp_path: Path) -> None:
    Image.fromarray(np.arange(0, 65_000, 650, dtype=np.uint16).reshape(10, 10)).save(tmp_path / "photo.png")
    photo = {"width": 8, "height": 8, "colour": "grey", "fit": "crop"}
    expected = read_picture(str(tmp_path / "photo.png"), (8, 8), "grey", "crop").pixels_HWC
    np.testing.assert_array_equal(example.read_photo(str(tmp_path / "photo.png"), photo), expected)


def test_the_card_shows_the_worst_mistakes_and_what_the_audit_found(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    best = load("photos", workspace).report.evidence_of("photos")
    assert best is not None
    export_study("photos", [], tmp_path, workspace, arm=best.arm)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "images audited for duplicates" in card
    assert ("mistakes.png" in card) == (tmp_path / "mistakes.png").is_file() == bool(best.confusions)
    if best.confusions:
        with Image.open(tmp_path / "mistakes.png") as sheet:
            assert sheet.height == 2 * len(best.confusions) * (9 + 4)  # a row of pictures and a row of heat maps each
        assert sum("predicted as" in line for line in card.splitlines()) == len(best.confusions)
        assert "Grad-CAM" in card


@pytest.mark.parametrize(
    ("arm", "formats"),
    [("layers", ["torchscript", "onnx"]), ("averaged", ["torch"]), ("frozen body", ["timm"])],
)
def test_a_calibrated_export_predicts_as_the_calibrated_study(
    arm: str, formats: list[str], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace, photos = trained
    done = export_study("photos", formats, tmp_path / "out", workspace, arm=arm, calibrate=True)
    expected = Predictor.load("photos", workspace, arm=arm, calibrate=True)
    assert done.origin.temperature == expected.temperature != 1.0
    assert [check.format for check in done.checks] == ["weights", *formats]
    assert max(check.difference for check in done.checks) < 2e-6
    exported = Predictor.load(tmp_path / "out")
    assert exported.temperature == expected.temperature
    tested = _list_tested(photos)
    np.testing.assert_allclose(exported.predict_proba(tested), expected.predict_proba(tested), atol=1e-6)
    plain = Predictor.load("photos", workspace, arm=arm).predict_proba(tested)
    assert np.abs(plain - exported.predict_proba(tested)).max() > 1e-3
    labels = np.array([0] * 5 + [1] * 5)
    assert done.calibration is not None
    errors = [calibrate(each, labels).error for each in (plain, expected.predict_proba(tested))]
    assert done.calibration.errors == pytest.approx(tuple(errors), abs=1e-5)
    with pytest.raises(WorkspaceError, match="calibrate"):
        export_study("photos", formats, tmp_path / "out", workspace, arm=arm)


def test_the_file_says_where_it_is_from(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    done = export_study("photos", [], tmp_path, workspace, arm="layers")
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        metadata = file.metadata()
    origin, record = Origin.parse(metadata, ""), ModelRecord.parse(metadata, "")
    assert origin == done.origin
    assert record == done.record
    stored = Folders(workspace).load_predictions(done.record.trial_id, "test")
    assert stored is not None
    right = (stored["probabilities"].argmax(axis=1) == stored["labels"]).mean()
    assert (done.origin.split, done.origin.score) == ("test", pytest.approx(right))
    assert done.origin.interval is not None
    assert done.origin.interval[0] <= right <= done.origin.interval[1]


def test_the_card(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    done = export_study("photos", ["torch"], tmp_path, workspace, arm="layers")
    _, front, body = (tmp_path / "README.md").read_text("utf-8").split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["pipeline_tag"] == "image-classification"
    result = metadata["model-index"][0]["results"][0]
    assert result["metrics"] == [{"type": "accuracy", "value": pytest.approx(done.origin.score)}]
    assert result["dataset"]["split"] == "test"
    assert "Which \\| \\*network\\*?" in body
    assert "| a | 5 |" in body
    assert done.record.trial_id in body
    assert "license" not in metadata  # trained from random weights


def test_formats_are_added_to_a_folder(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    folder = tmp_path / "out"
    export_study("photos", ["torch"], folder, workspace, arm="layers")
    export_study("photos", ["torchscript"], folder, workspace, arm="layers")
    files = [check["file"] for check in json.loads((folder / "checks.json").read_text("utf-8"))["checks"]]
    assert files == ["model.safetensors", "model.py", "model.torchscript.pt"]
    assert all(name in (folder / "README.md").read_text("utf-8") for name in files)
    with pytest.raises(WorkspaceError, match="something else"):
        export_study("photos", ["torch"], folder, workspace, arm="averaged")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine", "utf-8")
    with pytest.raises(WorkspaceError, match="something else"):
        export_study("photos", ["torch"], tmp_path / "full", workspace)


def test_a_file_that_predicts_otherwise_is_refused(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bakeoff.engine.export import standalone

    monkeypatch.setitem(standalone.ACTIVATIONS, "relu", lambda x: x)
    with pytest.raises(BakeoffError, match=r"torchscript.* differs from the trial's predictions"):
        export_study("photos", ["torchscript"], tmp_path / "out", trained[0], arm="layers")
    assert not list((tmp_path / "out").iterdir())


def test_bfloat16_is_exported_in_float32(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, photos = trained
    study = Study(
        question="Which?",
        name="half",
        data={"folder": str(photos), "image_size": 9, "validation": 0.25},
        recipe={"network": {"name": "cnn", "filters": [4], "units": []}, "epochs": 1, "batch_size": 8},
        arms=[{"a": {}, "b": {"batch_size": 4}}],
        replicates=1,
        numeric="bfloat16",
    )
    run(study, workspace=tmp_path / "runs", workers=1)
    done = export_study("half", ["torch"], tmp_path / "out", tmp_path / "runs")
    assert max(check.difference for check in done.checks) < 1e-6
    assert done.rounding is not None
    assert 0 < done.rounding < 0.05
    assert done.record.numeric == "float32"
    assert "bfloat16" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_the_command_line(trained: tuple[Path, Path], tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    workspace, photos = trained
    out = str(tmp_path / "out")
    command = ["bakeoff", "export", "photos", "--workspace", str(workspace), "--out", out]
    monkeypatch.setattr("sys.argv", [*command, "--format", "torch", "--arm", "layers"])
    assert main() == 0
    assert "model.py (torch): " in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["bakeoff", "predict", out, str(photos / "test" / "a"), "--json"])
    assert main() == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["arm"], len(document["images"])) == ("layers", 5)
    for given, message in (
        (["--format", "onyx"], "Did you mean 'onnx'"),
        (["--format", "timm", "--arm", "layers"], "not a network of timm"),
    ):
        monkeypatch.setattr("sys.argv", [*command, *given])
        assert main() == 2
        assert message in capsys.readouterr().err


def test_what_is_no_model(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = trained
    export_study("photos", [], tmp_path / "out", workspace, arm="layers")
    with pytest.raises(WorkspaceError, match="single model"):
        Predictor.load(tmp_path / "out", arm="layers")
    path = tmp_path / "out" / "model.safetensors"
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, ORIGIN_KEY: "{"})
    with pytest.raises(BakeoffError, match="damaged"):
        Predictor.load(path)
    save_file(load_file(path), path)
    with pytest.raises(WorkspaceError, match="does not describe itself"):
        Predictor.load(path)


def test_a_refit_trains_on_all_images(
    trained: tuple[Path, Path], tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("bakeoff.deploy.export.refit.LocalExecutor", in_process)
    _, photos = trained
    study = Study(
        question="Which?",
        name="again",
        data={"folder": str(photos), "image_size": 9, "validation": 0.25},
        recipe={
            "network": {"name": "cnn", "filters": [4], "units": []},
            "epochs": 4,
            "batch_size": 8,
            "early_stopping": {"patience": 1},
        },
        arms=[{"a": {}, "b": {"schedule": "plateau"}}],
        replicates=3,
        numeric="float32",
    )
    result = run(study, workspace=tmp_path / "runs", workers=1)
    with open_reading(Folders(tmp_path / "runs")) as connection:
        results = read_study(connection, result.study_id).results
    best = sorted(each.best_epoch or 0 for each in results if each.arm == "a")
    command = ["bakeoff", "export", "again", "--workspace", str(tmp_path / "runs"), "--format", "torch", "--refit"]
    monkeypatch.setattr("sys.argv", [*command, "--arm", "a", "--out", str(tmp_path / "out")])
    assert main() == 0
    assert "its score was not measured anew" in capsys.readouterr().out
    predictor = Predictor.load(tmp_path / "out")
    assert predictor.origin is not None
    assert (predictor.origin.is_refit, predictor.origin.score) == (True, None)
    with safe_open(tmp_path / "out" / "model.safetensors", framework="np") as file:
        record = ModelRecord.parse(file.metadata(), "")
    assert record is not None
    assert (record.recipe.epochs, record.recipe.early_stopping) == (best[1], None)
    assert record.trial_id not in {each.trial_id for each in results}
    kept = Folders(tmp_path / "runs").weights(record.trial_id)
    written = kept.stat().st_mtime_ns
    assert main() == 0  # trains nothing
    assert kept.stat().st_mtime_ns == written
    assert sorted(path.name for path in kept.parent.iterdir()) == ["weights.safetensors"]
    monkeypatch.setattr("sys.argv", [*command, "--arm", "b", "--out", str(tmp_path / "other")])
    assert main() == 2
    assert "plateau" in capsys.readouterr().err
