"""Whatever was trained predicts as it was tested, from the files of its images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bakeoff.api import Study, run
from bakeoff.cli import main
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test
from bakeoff.deploy.photos import Unreadable
from bakeoff.deploy.predictor import Predictor
from bakeoff.deploy.votes import Vote
from bakeoff.errors import BakeoffError, WorkspaceError
from bakeoff.ledger.read import find_study, open_reading, read_study
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("shared_cache", "in_process")

ARMS: dict[str, dict[str, Any]] = {
    "layers": {"network": {"name": "cnn", "filters": [4], "units": []}},
    "residual": {"network": {"name": "resnet", "blocks": [1, 1], "filters": [4, 8]}},
    "mirrored": {"network": {"name": "cnn", "filters": [4], "units": []}, "evaluate": "mirrored"},
    "averaged": {"network": {"name": "cnn", "filters": [4], "units": []}, "averaging": {"name": "ema", "decay": 0.9}},
    "normalized": {
        "network": {"name": "cnn", "filters": [4], "units": []},
        "augmentation": [{"name": "random_crop", "size": 8}, {"name": "normalize"}],
    },
}


def _write_photos(root: Path, mode: str) -> Path:
    generator = np.random.default_rng(3)
    patterns = generator.uniform(0, 255, (3, 14, 10, 3))
    for part, number in (("train", 12), ("test", 5)):
        for label in range(3):
            folder = root / part / "abc"[label]
            folder.mkdir(parents=True)
            for count in range(number):
                noisy = patterns[label] + generator.normal(0, 40, (14, 10, 3))
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode).save(folder / f"{count}.png")
    return root


def _make_study(folder: Path, **fields: Any) -> Study:
    values: dict[str, Any] = {
        "question": "Which?",
        "name": "photos",
        "data": {"folder": str(folder), "image_size": 9, "validation": 0.25},
        "recipe": {"network": {"name": "cnn", "filters": [4], "units": []}, "epochs": 1, "batch_size": 8},
        "arms": [ARMS],
        "ensembles": {"together": {"of": ["layers", "mirrored"]}, "hard": {"by": "hard", "over": "replicates"}},
        "replicates": 2,
        "numeric": "float32",
    }
    return Study(**{**values, **fields})


@pytest.fixture(scope="module", params=["RGB", "L"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("predict")
    photos = _write_photos(root / "photos", request.param)
    run(_make_study(photos), workspace=root / "runs", workers=1)
    return root / "runs", photos


def _list_tested(photos: Path) -> list[Path]:
    """Return the test files in the order of the stored predictions."""
    return sorted((photos / "test").rglob("*.png"))


def _read_stored(workspace: Path, trial_id: str) -> Any:
    stored = Folders(workspace).load_predictions(trial_id, "test")
    assert stored is not None
    return stored["probabilities"][np.argsort(stored["indices"])]


@pytest.mark.parametrize("arm", ARMS)
def test_predictions_are_those_of_the_final_test(trained: tuple[Path, Path], arm: str) -> None:
    workspace, photos = trained
    predictor = Predictor.load("photos", workspace, arm=arm)
    found = predictor.predict_proba(_list_tested(photos))
    np.testing.assert_allclose(found, _read_stored(workspace, predictor.trial_ids[0]), atol=1e-6)
    assert list(predictor.classes_) == ["a", "b", "c"]
    assert list(predictor.predict(_list_tested(photos))) == [predictor.classes_[n] for n in found.argmax(axis=1)]


def test_files_are_decoded_as_the_test_images_were(trained: tuple[Path, Path]) -> None:
    from bakeoff.deploy.photos import decode_photos

    _, photos = trained
    images = open_test(DataSource(folder=str(photos), image_size=9))
    tested = [str(path) for path in _list_tested(photos)]
    ((files, pixels),) = decode_photos(tested, images.shape_HWC, "crop")
    np.testing.assert_array_equal(pixels, images.pixels)
    assert files == tested


def test_ensembles_vote_as_reported(trained: tuple[Path, Path]) -> None:
    workspace, photos = trained
    alone = {arm: Predictor.load("photos", workspace, arm=arm) for arm in ("layers", "mirrored")}
    together = Predictor.load("photos", workspace, arm="layers", ensemble="together")
    assert len(together.trial_ids) == 2
    mean = np.mean([_read_stored(workspace, trial_id) for trial_id in together.trial_ids], axis=0)
    np.testing.assert_allclose(together.predict_proba(_list_tested(photos)), mean, atol=1e-6)
    replicates = Predictor.load("photos", workspace, arm="layers", ensemble="replicates")
    assert replicates.trial_ids[0] == alone["layers"].trial_ids[0]
    assert len(replicates.trial_ids) == 2
    assert len(Predictor.load("photos", workspace, arm="layers", ensemble="hard").trial_ids) == 2
    with pytest.raises(WorkspaceError, match=r"togther.*Did you mean 'together'"):
        Predictor.load("photos", workspace, ensemble="togther")


def test_the_best_on_validation_is_chosen_and_ties_are_said(trained: tuple[Path, Path]) -> None:
    workspace, _ = trained
    predictor = Predictor.load("photos", workspace)
    with open_reading(Folders(workspace)) as connection:
        record = read_study(connection, find_study(connection, "photos"))
    scores: dict[str, list[float]] = {}
    for result in record.results:
        scores.setdefault(result.arm, []).append(result.metrics["validation"]["accuracy"])
    means = {arm: np.mean(found) for arm, found in scores.items()}
    assert means[predictor.winner.arm] == max(means.values())
    assert predictor.winner.tied  # two replicates tell nothing apart
    assert predictor.winner.tied[0] in predictor.describe()
    cheaper = Predictor.load("photos", workspace, prefer="cheaper").winner
    seconds = {arm: sum(r.seconds for r in record.results if r.arm == arm) for arm in means}
    assert seconds[cheaper.arm] == min(seconds[arm] for arm in (cheaper.arm, *cheaper.tied))


def test_images_in_memory_count_as_files(trained: tuple[Path, Path]) -> None:
    workspace, photos = trained
    predictor = Predictor.load("photos", workspace, arm="layers")
    path = _list_tested(photos)[0]
    expected = predictor.predict_proba(path)
    with Image.open(path) as image:
        array = np.array(image)
        np.testing.assert_array_equal(predictor.predict_proba(image), expected)
    channels_first = torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)
    batch = np.stack([array if array.ndim == 3 else array[..., None]] * 2)
    for images in (array, [array], array / 255, channels_first, [str(path)]):
        np.testing.assert_array_equal(predictor.predict_proba(images), expected)
    np.testing.assert_allclose(predictor.predict_proba(batch), np.concatenate([expected, expected]), atol=1e-6)
    half = (channels_first / 255).bfloat16()
    np.testing.assert_array_equal(predictor.predict_proba(half), predictor.predict_proba(half.float()))
    assert predictor.predict_proba([]).shape == (0, 3)
    with pytest.raises(BakeoffError, match="None is no image"):
        predictor.predict_proba(None)


@pytest.mark.parametrize(
    "image", [np.zeros((3, 3), np.int64), np.full((3, 3), 2.0), np.zeros((2, 3, 4, 5, 6)), "x.png"]
)
def test_what_is_no_image_is_refused(trained: tuple[Path, Path], image: object) -> None:
    predictor = Predictor.load("photos", trained[0], arm="layers")
    with pytest.raises(BakeoffError, match="image 0"):
        predictor.predict_proba(image)


def test_the_command_line(trained: tuple[Path, Path], tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    workspace, photos = trained
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    places = [str(tmp_path / "broken.jpg"), str(photos / "test" / "a")]
    command = ["bakeoff", "predict", "photos", *places, "--workspace", str(workspace), "--top", "2"]
    monkeypatch.setattr("sys.argv", [*command, "--json"])
    assert main() == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert [len(image["classes"]) for image in document["images"]] == [0, *[2] * 5]
    assert [image["error"] is None for image in document["images"]] == [False, *[True] * 5]
    assert "broken.jpg" in printed.err
    monkeypatch.setattr("sys.argv", [*command, "--csv"])
    assert main() == 1
    header, broken, *lines = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["path", "class_1", "probability_1", "class_2", "probability_2", "error"]
    assert broken == [places[0], "", "", "", "", document["images"][0]["error"]]
    assert [(len(line), line[-1]) for line in lines] == [(6, "")] * 5


def test_heat_maps_on_the_command_line(
    trained: tuple[Path, Path], tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    workspace, photos = trained
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    places = [str(tmp_path / "broken.jpg"), str(photos / "test" / "a" / "0.png"), str(photos / "test" / "b" / "0.png")]
    command = ["bakeoff", "predict", "photos", *places, "--workspace", str(workspace), "--json"]
    folder = tmp_path / "heat"
    monkeypatch.setattr("sys.argv", [*command, "--arm", "residual", "--explain", str(folder)])
    assert main() == 1
    images = json.loads(capsys.readouterr().out)["images"]
    assert [Path(image["heat_map"]).name for image in images[1:]] == ["0001-0.png", "0002-0.png"]
    for image in images[1:]:
        with Image.open(image["heat_map"]) as picture:
            assert (picture.width == picture.height >= 256, picture.mode) == (True, "RGB")
    (tmp_path / "file").write_text("mine", "utf-8")
    monkeypatch.setattr("sys.argv", [*command, "--explain", str(tmp_path / "file"), "--arm", "residual"])
    assert main() == 2


def test_an_ensemble_has_the_mean_of_its_models_maps(trained: tuple[Path, Path]) -> None:
    workspace, photos = trained
    tested = _list_tested(photos)[:4]
    together = Predictor.load("photos", workspace, arm="layers", ensemble="together")
    classes = list(together.predict(tested))
    alone = [Predictor([model], None, Vote(trial_ids=("x",))).explain(tested, classes) for model in together._models]
    np.testing.assert_allclose(together.explain(tested), np.mean(alone, axis=0))
    assert together.explain(tested).shape == (4, 9, 9)
    for given, message in ((["a"], "1 classes for 4"), (["z"] * 4, "no class 'z'")):
        with pytest.raises(BakeoffError, match=message):
            together.explain(tested, given)


def test_what_cannot_be_read_is_named_and_skipped(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, photos = trained
    good = _list_tested(photos)[0]
    (tmp_path / "photos.csv").write_text(f"path\n{good}\nmissing.png\n", encoding="utf-8")
    found = list(Predictor.load("photos", workspace).predict_files([tmp_path / "photos.csv"]))
    assert isinstance(found[1], Unreadable)
    with pytest.raises(BakeoffError, match="no file or folder"):
        list(Predictor.load("photos", workspace).predict_files([tmp_path / "nothing"]))


def test_calibration_keeps_the_classes_and_lowers_the_loss(trained: tuple[Path, Path]) -> None:
    workspace, photos = trained
    plain = Predictor.load("photos", workspace, arm="layers")
    calibrated = Predictor.load("photos", workspace, arm="layers", calibrate=True)
    assert calibrated.temperature != 1.0
    tested = _list_tested(photos)
    assert list(plain.predict(tested)) == list(calibrated.predict(tested))
    stored = Folders(workspace).load_predictions(plain.trial_ids[0], "validation")
    assert stored is not None
    from bakeoff.stats.temperature import scale

    rows = np.arange(len(stored["labels"]))
    losses = [
        -np.log(scale(stored["probabilities"], temperature)[rows, stored["labels"]]).mean()
        for temperature in (1.0, calibrated.temperature)
    ]
    assert losses[1] < losses[0]


def test_weights_of_an_earlier_version_predict_too(trained: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, photos = trained
    for arm in ("normalized", "residual"):
        predictor = Predictor.load("photos", workspace, arm=arm)
        path = Folders(workspace).weights(predictor.trial_ids[0])
        whole = path.read_bytes()
        save_file(load_file(path), path)  # without a record
        try:
            again = Predictor.load("photos", workspace, arm=arm)
        finally:
            path.write_bytes(whole)
        tested = _list_tested(photos)
        np.testing.assert_array_equal(again.predict_proba(tested), predictor.predict_proba(tested))


def test_a_later_format_and_a_damaged_record_are_refused(trained: tuple[Path, Path]) -> None:
    workspace, _ = trained
    path = Folders(workspace).weights(Predictor.load("photos", workspace, arm="layers").trial_ids[0])
    whole = path.read_bytes()
    for text, message in (('{"format": "bakeoff.model/9"}', "later version"), ("{", "damaged")):
        save_file(load_file(path), path, metadata={"bakeoff": text})
        try:
            with pytest.raises(BakeoffError, match=message):
                Predictor.load("photos", workspace, arm="layers")
        finally:
            path.write_bytes(whole)


def test_wrong_names(trained: tuple[Path, Path]) -> None:
    with pytest.raises(WorkspaceError, match=r"layer'.*Did you mean 'layers'"):
        Predictor.load("photos", trained[0], arm="layer")
    with pytest.raises(WorkspaceError, match="No block 'x'"):
        Predictor.load("photos", trained[0], block="x")
    with pytest.raises(WorkspaceError, match="other"):
        Predictor.load("other", trained[0])
