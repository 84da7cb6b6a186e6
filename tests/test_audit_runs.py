"""Studies of noise with random labels, with the same images on both sides of a split: refused, or at chance."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from bakeoff.api import Study, run
from bakeoff.data.audit.near import match
from bakeoff.data.audit.signatures import load_signatures, sign_images
from bakeoff.data.audited import audit_source
from bakeoff.data.files import list_source
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.driver.observer import RunObserver
from bakeoff.errors import DataError
from bakeoff.report.gather import gather_report
from bakeoff.report.sections.data import SECTION, exceed
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("in_process")
NUM_IMAGES = 60


def make_noise(seed: int, num_images: int = NUM_IMAGES) -> list[Image.Image]:
    """Return coloured noise of 6x6 cells, which survives a JPEG."""
    cells = np.random.default_rng(seed).integers(0, 256, (num_images, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(each).resize((24, 24), Image.Resampling.BILINEAR) for each in cells]


def write(folder: Path, images: list[Image.Image], name: str = "{}.png") -> Path:
    """Write images under one of two classes each, by chance."""
    labels = np.random.default_rng(7).integers(0, 2, len(images))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "ab"[label] / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder


def ask(data: dict[str, Any], tmp_path: Path, observer: Any = None, **fields: Any) -> Any:
    recipe = {"network": {"name": "mlp", "units": [32]}, "epochs": 8, "batch_size": 16}
    study = Study(
        question="Does the learning rate matter?",
        data=data,
        arms=[{"optimizer.learning_rate": [0.001, 0.003]}],
        numeric="float32",
        **{"replicates": 2, "recipe": recipe, **fields},
    )
    return run(study, workspace=tmp_path / "workspace", workers=1, observer=observer)


def average(result: Any, split: str) -> float:
    return float(np.mean([arm.on(split)["accuracy"].mean for arm in result.summary.arms]))


def copy_plain(train: Path, test: Path) -> None:
    shutil.copytree(train, test)


def copy_hard(train: Path, test: Path) -> None:
    shutil.copytree(train, test, copy_function=os.link)


def copy_links(train: Path, test: Path) -> None:
    shutil.copytree(train, test, copy_function=lambda source, target: os.symlink(os.path.abspath(source), target))


def link_whole(train: Path, test: Path) -> None:
    test.symlink_to(train)


def change_all(change: Callable[[Image.Image], Image.Image], suffix: str) -> Callable[[Path, Path], None]:
    def copy(train: Path, test: Path) -> None:
        for path in train.rglob("*.png"):
            target = (test / path.relative_to(train)).with_suffix(suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                change(image).save(target, quality=85)

    return copy


COPIES = {
    "plain": copy_plain,
    "hard links": copy_hard,
    "links": copy_links,
    "a link to train": link_whole,
    "JPEG": change_all(lambda image: image, ".jpg"),
    "mirrored": change_all(ImageOps.mirror, ".png"),
    "mirrored JPEG": change_all(ImageOps.mirror, ".jpg"),
    "larger": change_all(lambda image: image.resize((40, 40), Image.Resampling.BICUBIC), ".png"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_test_folder_of_copies_is_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "noise" / "train", make_noise(0))
    COPIES[kind](tmp_path / "noise" / "train", tmp_path / "noise" / "test")
    with pytest.raises(DataError) as raised:
        ask({"folder": str(tmp_path / "noise"), "image_size": 24}, tmp_path)
    assert "noise/test" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "workspace" / "trials").exists(), "nothing was trained"


@pytest.mark.parametrize("data", [{}, {"folds": 2}])
def test_noise_stored_twice_is_at_chance(tmp_path: Path, data: dict[str, Any]) -> None:
    images = make_noise(1)
    write(tmp_path / "noise", images)
    write(tmp_path / "noise", images, "again-{}.jpg")
    result = ask({"folder": str(tmp_path / "noise"), "test": 0.3, **data}, tmp_path)
    found = average(result, "held-out" if data else "test")
    assert 0.2 < found < 0.8
    report = gather_report(result.study_id, Folders(tmp_path / "workspace"))
    assert any("120 images in 60 sets of duplicates" in note for note in report.notes)


def test_with_allow_the_answer_says_so(tmp_path: Path) -> None:
    images = make_noise(2)
    write(tmp_path / "noise" / "train", images)
    write(tmp_path / "noise" / "test", images)
    data = {"folder": str(tmp_path / "noise"), "duplicates": "allow"}
    result = ask(data, tmp_path, recipe={"network": {"name": "mlp", "units": [64]}, "epochs": 40, "batch_size": 8})
    assert average(result, "test") > 0.8
    report = gather_report(result.study_id, Folders(tmp_path / "workspace"))
    (facts,) = report.data.values()
    assert "60 of 60 test images are duplicates" in facts["audit"]
    (audit,) = report.facts["audits"].values()
    assert audit.stored["counts"] == {"equal": 60, "across splits": 60}
    assert len(audit.pixels) == 2 * len(audit.stored["pictures"])


def test_with_allow_and_folds_the_answer_speaks_of_the_folds(tmp_path: Path) -> None:
    images = make_noise(2)
    write(write(tmp_path / "noise" / "train", images), images, "{}b.png")
    write(tmp_path / "noise" / "test", make_noise(3))
    source = DataSource(folder=str(tmp_path / "noise"), duplicates="allow")
    assert audit_source(source).headline == ""
    headline = audit_source(source, has_folds=True).headline
    assert "120 of 120 training images have duplicates" in headline
    result = ask({"folder": str(tmp_path / "noise"), "duplicates": "allow", "folds": 2}, tmp_path)
    (facts,) = gather_report(result.study_id, Folders(tmp_path / "workspace")).data.values()
    assert facts["audit"] == headline


def test_own_validation_images_that_are_all_copies_are_named_as_such(tmp_path: Path) -> None:
    images = make_noise(2)
    write(tmp_path / "noise" / "train", make_noise(3))
    write(tmp_path / "noise" / "val", images)
    write(tmp_path / "noise" / "test", images)
    with pytest.raises(DataError, match="none of its own validation images can be used"):
        ask({"folder": str(tmp_path / "noise"), "validation": "own"}, tmp_path)


def test_groups_of_duplicates_are_not_said_to_be_declared(tmp_path: Path) -> None:
    images = make_noise(2)
    write(write(tmp_path / "noise", images), images, "{}b.png")
    notes = list_source(DataSource(folder=str(tmp_path / "noise")), audited=True).notes
    assert "96 training images in 48 groups (sets of duplicates)" in notes


class Listener(RunObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def test_other_images_are_trained_anew_and_it_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "noise", make_noise(2))
    first = ask({"folder": str(folder)}, tmp_path)
    next(folder.rglob("5.png")).unlink()
    listener, again = Listener(), Listener()
    for each in (listener, again):
        assert ask({"folder": str(folder)}, tmp_path, observer=each).study_id == first.study_id
    sentence = "4 trials of this study in the ledger were trained on other images"
    assert [text.startswith(sentence) for text in listener.said].count(True) == 1
    assert not any(text.startswith(sentence) for text in again.said)


def test_a_test_score_far_above_validation_is_implausible() -> None:
    # Pooled 0.7: sqrt(0.7 * 0.3 * (1/100 + 1/100)) = 0.0648.
    assert exceed(0.5, 0.9, 100, 100) == pytest.approx(0.4 / np.sqrt(0.7 * 0.3 * 0.02))
    assert exceed(1.0, 1.0, 10, 10) == 0
    assert exceed(0.9, 0.92, 500, 1000) < 4


def test_a_few_copies_of_test_images_are_left_out(tmp_path: Path) -> None:
    images, others = make_noise(3), make_noise(4, 20)
    write(tmp_path / "noise" / "train", images)
    write(tmp_path / "noise" / "test", [*others, *images[:5]])
    # The labels of the copies are those of the test folder, which may contradict: give them the training ones.
    for path in (tmp_path / "noise" / "test").rglob("*.png"):
        number = int(path.stem) - 20
        if number >= 0:
            path.unlink()
            (original,) = (tmp_path / "noise" / "train").rglob(f"{number}.png")
            shutil.copy(original, tmp_path / "noise" / "test" / original.parent.name / path.name)
    for policy in (None, "drop"):
        source = DataSource(folder=str(tmp_path / "noise"), duplicates=policy)
        training, test = open_training(source), open_test(source)
        assert (len(training.labels), len(test.labels)) == (55, 25)
        assert any(
            note.startswith("5 training images left out as duplicates of test images") for note in training.notes
        )
    unchanged = DataSource(folder=str(tmp_path / "noise"), duplicates="allow")
    assert len(open_training(unchanged).labels) == 60


def test_a_manifest_with_one_file_by_two_paths(tmp_path: Path) -> None:
    root = write(tmp_path / "noise", make_noise(5))
    lines = ["path,label"]
    for path in sorted(root.rglob("*.png")):
        lines += [f"{path.relative_to(tmp_path)},{path.parent.name}", f"{path},{path.parent.name}"]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    source = DataSource(manifest=str(tmp_path / "all.csv"))
    training, test = open_training(source), open_test(source)
    trained = {images.tobytes() for images in np.asarray(training.pixels)}
    assert not trained & {images.tobytes() for images in np.asarray(test.pixels)}
    assert len(training.labels) + len(test.labels) == 2 * NUM_IMAGES
    with_splits = [f"{line},{'train' if number % 2 else 'test'}" for number, line in enumerate(lines[1:])]
    (tmp_path / "split.csv").write_text("\n".join(["path,label,split", *with_splits]))
    with pytest.raises(DataError, match="60 of 60 training images are copies"):
        open_training(DataSource(manifest=str(tmp_path / "split.csv")))


def test_one_image_in_two_classes_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "noise", make_noise(6))
    path = next((root / "a").glob("*.png"))
    shutil.copy(path, root / "b" / "copy.png")
    with pytest.raises(DataError, match=r"a/\d+\.png \('a'\) and b/copy\.png \('b'\) are the same image"):
        open_training(DataSource(folder=str(root)))
    assert len(open_training(DataSource(folder=str(root), duplicates="allow", test=0.2)).labels) > 40


def test_the_workspace_keeps_findings_and_signatures(tmp_path: Path) -> None:
    images = make_noise(8)
    write(tmp_path / "noise", images)
    write(tmp_path / "noise", images[:3], "again-{}.png")
    result = ask({"folder": str(tmp_path / "noise")}, tmp_path, replicates=1)
    folders = Folders(tmp_path / "workspace")
    training = open_training(DataSource(folder=str(tmp_path / "noise")))
    signatures = load_signatures(folders.signatures(training.fingerprint))
    assert signatures is not None
    assert len(signatures) == len(training.labels)
    own = sign_images(np.asarray(training.pixels))
    np.testing.assert_array_equal(signatures.digests, own.digests)
    assert {(n, n) for n in range(len(own))} <= set(map(tuple, match(signatures, own).tolist()))
    stored = json.loads(folders.audit(training.fingerprint).read_text())
    assert stored["counts"]["equal"] == 3
    report = gather_report(result.study_id, folders)
    rows = list(SECTION.tables["findings"](report).records())
    assert sum(row["kind"] == "equal" for row in rows) == 3
    assert SECTION.dump(report)["audits"]
