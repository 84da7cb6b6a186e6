"""Images of one patient never teach a network about others of the same patient."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bakeoff.api import run
from bakeoff.data.source import DataSource
from bakeoff.data.store import open_test, open_training
from bakeoff.engine.batches import held_out, split_view
from bakeoff.messages import DataView
from bakeoff.study.schema import Study
from bakeoff.workspace import Folders

pytestmark = pytest.mark.usefixtures("in_process")

NUM_PATIENTS, NUM_SHOTS = 50, 8


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 50 patients of 8 nearly equal images and a random label each: nothing can be learnt of other patients."""
    root, generator = tmp_path_factory.mktemp("patients"), np.random.default_rng(6)
    labels = generator.permutation(np.repeat(["ill", "well"], NUM_PATIENTS // 2))
    rows = [("path", "label", "group")]
    for patient, label in enumerate(labels):
        noise = generator.integers(0, 256, (16, 16))
        for shot in range(NUM_SHOTS):
            pixels = np.clip(noise + generator.integers(-5, 6, (16, 16)), 0, 255).astype(np.uint8)
            path = root / "photos" / label / f"patient{patient:02}" / f"p{patient:02}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            rows.append((str(path.relative_to(root)), label, f"p{patient}"))
    with (root / "grouped.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return root


SOURCES = {
    "column": {"manifest": "grouped.csv"},
    "regex": {"folder": "photos", "group": r"p\d\d(?=_)"},
    "parent": {"folder": "photos", "group": "parent"},
    "none": {"folder": "photos", "duplicates": "allow"},  # an audit finds some of them
}


def ask(root: Path, tmp_path: Path, data: dict[str, Any], **fields: Any) -> Any:
    given = {key: str(root / value) if key in ("folder", "manifest") else value for key, value in data.items()}
    study = Study(
        question="Does the learning rate matter?",
        data=given,
        recipe={"network": {"name": "mlp", "units": [32]}, "epochs": 15, "batch_size": 16},
        arms=[{"optimizer.learning_rate": [0.001, 0.003]}],
        numeric="float32",
        **{"replicates": 3, **fields},
    )
    return run(study, workspace=tmp_path / "workspace", workers=1)


def average(result: Any, split: str) -> float:
    return float(np.mean([arm.on(split)["accuracy"].mean for arm in result.summary.arms]))


@pytest.mark.parametrize("declared", SOURCES)
def test_a_random_label_per_patient_cannot_be_learnt_with_groups(patients, tmp_path, declared) -> None:
    result = ask(patients, tmp_path, {**SOURCES[declared], "test": 0.4})
    assert average(result, "train") > 0.95
    if declared == "none":
        assert average(result, "test") > 0.9
        assert all(verdict.spread.num_grouped is None for verdict in result.summary.verdicts)
        return
    # 20 patients: 50% with a standard deviation of 11 points.
    assert 0.2 < average(result, "test") < 0.8
    assert {(verdict.spread.num_images, verdict.num_images) for verdict in result.summary.verdicts} == {(20, 160)}
    predictions = next(iter(Folders(tmp_path / "workspace").root.rglob("*test*.npz")))
    assert len(np.unique(np.load(predictions)["groups"])) == 20


def test_folds_of_patients_are_at_chance(patients, tmp_path) -> None:
    for declared in ("regex", "none"):
        result = ask(patients, tmp_path / declared, {**SOURCES[declared], "folds": 2}, replicates=2)
        found = average(result, "held-out")
        assert found > 0.9 if declared == "none" else 0.25 < found < 0.75


@pytest.mark.parametrize("declared", ["column", "regex", "parent"])
def test_every_split_of_a_source_keeps_patients_on_one_side(patients, declared) -> None:
    data = {k: str(patients / v) if k in ("folder", "manifest") else v for k, v in SOURCES[declared].items()}
    source = DataSource(**data)
    images, test = open_training(source), open_test(source)

    def name(files: Any) -> set[str]:
        return {Path(file).name[:3] for file in files}

    files = np.array(images.files)
    assert not name(images.files) & name(test.files)
    assert len(test.labels) == 80
    for folds, fold in ((None, None), (3, 1), (2, 0)):
        view = DataView(source=source, validation=0.2, fingerprint=images.fingerprint, seed=5, folds=folds, fold=fold)
        train, validation = split_view(images, view)
        parts = [train, validation, *([] if folds is None else [held_out(images, view)])]
        assert sum(len(name(files[part])) for part in parts) == 40
        assert sum(map(len, parts)) == 320
